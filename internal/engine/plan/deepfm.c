// deepfm and fm. E are a row's fields, each a row of the table:
//
//   S = Σ E   Q = Σ E²   H = max(0, … max(0, E · kernel0 + bias0) · kernel1 + bias1 …)   logit = [S, S² − Q, H] · head + bias
//
// The candidates of one auction share most of their fields, which describe page and user. So fields are taken in groups. The sums of
// a group, and its products with the first kernel, are computed once for rows that follow each other and have the same indices in it.
// A row's result is the sum over groups, in their order, of the sums within groups, in the order of columns. So it has the same bits
// whatever other rows are beside it. How many fields a group has follows from a model of its cost: the end of a group costs as much as
// two thirds of a field, in every row; and of the groups that are only partly shared, half a group of fields is computed again. For the
// 33 fields of models/ctr the sum is least at 7 fields; docs/decisions/0020-shared-context.md has what was measured. So groups have
// GV_GROUP columns, 8 fields of 8.
//
// The arithmetic is in deepfm_kernel.h. All rows of a process are computed by one form of it. The forms with FMA round once where the
// portable one rounds twice; all are within 1e-6 of TensorFlow's probability. With AVX-512 a batch takes two thirds of its time with
// AVX2, and gives the same bits: a sum is added up in the same order.
#include <string.h>

#include "indices.h"

enum {
  GV_PANELS = 4,             // panels that are computed together
  CHUNK_BYTES = 256 * 1024,  // of what the first layer reads of the rows of a chunk
};

typedef float vec __attribute__((vector_size(4 * GV_VEC), aligned(4)));
typedef int32_t bits __attribute__((vector_size(4 * GV_VEC)));
#define LOAD(p) (*(vec *)(uintptr_t)(p))  // no function: it would return a vector

// Columns of a layer's input: of a group of fields, or all of a hidden layer.
typedef struct {
  float *x;  // [count][stride]
  size_t stride;
  int32_t k;      // columns
  int32_t count;  // distinct rows; all are distinct if it is as many as the chunk has
} part;

_Static_assert(GV_TILE <= 256, "slots are bytes");

// Sums of a group of fields, of the linear column and GV_VEC others.
typedef struct {
  vec s, q;
  float linear, linear_squares;
} sums;

// What a chunk of n rows is computed in.
typedef struct {
  part *parts;  // groups of fields
  int32_t part_count;
  uint8_t *slots;  // [n][part_count]: which row of a part's x is that of a row; ascending
  sums *group_sums;     // [part_count]
  float *interactions;  // [n][interaction_stride], as gv_deepfm_params has the head: Q in place of S² − Q, but for the linear column
  size_t interaction_stride;
  float *shared;  // [n][GV_PANELS · GV_PANEL]: products of the distinct rows of a part
  float *hidden;  // [2][n][hidden_stride]
  size_t hidden_stride;
} memory;

#define SPLAT8(x) {(x), (x), (x), (x), (x), (x), (x), (x)}

#define TARGET
#define NAME(x) x##_portable
#define FMA(a, b, c) ((a) * (b) + (c))
#define LANES GV_VEC
#define SPLAT(x) SPLAT8(x)
#define FMA_WIDE FMA
#define ROWS 2
#define SUMS 8
#include "deepfm_kernel.h"

#if defined(__x86_64__) && !defined(GV_PORTABLE)  // tests run the portable form by it
#include <immintrin.h>
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) x##_fma
#define FMA(a, b, c) ((vec)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define LANES GV_VEC
#define SPLAT(x) SPLAT8(x)
#define FMA_WIDE FMA
#define ROWS 6
#define SUMS 8
#include "deepfm_kernel.h"

#define TARGET __attribute__((target("avx2,fma,avx512f,avx512vl")))
#define NAME(x) x##_512
#define FMA(a, b, c) ((vec)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define LANES GV_PANEL
#define SPLAT(x) ((wide_512)_mm512_set1_ps(x))
#define FMA_WIDE(a, b, c) ((wide_512)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define ROWS 6
#define SUMS 24
#include "deepfm_kernel.h"

static int fused(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#ifdef GV_NARROW  // tests run the form without AVX-512 by it
static int wide(void) { return 0; }
#else
// Not on processors before Ice Lake, which lower their clock for it: these lack VBMI2.
static int wide(void) { return fused() && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi2"); }
#endif
#else
#define chunk_fma chunk_portable
#define chunk_512 chunk_portable
static int fused(void) { return 0; }
static int wide(void) { return 0; }
#endif

int gv_first_unused(const float *kernel, int32_t in, int32_t out, int32_t width) {
  for (int32_t i = 0; i < in; i += width) {
    for (int32_t c = 0; c < out; c++) {
      if (kernel[(size_t)i * (size_t)out + (size_t)c] != 0) return 0;
    }
  }
  return 1;
}

void gv_pack(const float *kernel, int32_t in, int32_t out, int32_t width, float *packed) {
  for (int32_t c = 0; c < out; c += GV_PANEL) {
    size_t n = (size_t)(out - c < GV_PANEL ? out - c : GV_PANEL);
    for (int32_t i = 0; i < in; i++) {
      if (width > 0 && i % width == 0) continue;
      memcpy(packed, kernel + (size_t)i * (size_t)out + (size_t)c, n * sizeof(float));
      packed += GV_PANEL;
    }
  }
}

void gv_head(const float *head, int32_t width, int32_t last, float *to) {
  const float *pairs = head + width;
  to[0] = head[0];
  to[1] = pairs[0];
  for (int32_t j = 0; j < width - 1; j++) {
    float *block = to + GV_VEC + j / GV_VEC * (2 * GV_VEC);
    block[j % GV_VEC] = head[1 + j];
    block[GV_VEC + j % GV_VEC] = pairs[1 + j];
  }
  memcpy(to + gv_interactions(width), head + 2 * width, sizeof(float) * (size_t)last);
}

// ask_for brings the table's row of an index into the cache.
static inline void ask_for(const gv_indices_params *p, int32_t index) {
  const float *row = p->table + (size_t)index * (size_t)p->width;
  __builtin_prefetch(row);
  __builtin_prefetch(row + p->width - 1);
}

// find says which rows of a chunk are like the one before in each group of fields, and asks for the table's rows of the others.
static void find(const gv_deepfm_params *p, const int32_t *const *rows, int32_t n, memory *m) {
  int32_t fields = p->indices.fields;
  for (int32_t i = 0; i < m->part_count; i++) m->parts[i].count = 0;
  for (int32_t r = 0; r < n; r++) {
    const int32_t *x = rows[r], *before = r > 0 ? rows[r - 1] : NULL;
    for (int32_t i = 0, f = 0; i < m->part_count; i++) {
      int32_t end = fields - f < p->group ? fields : f + p->group, differs = !before;
      for (int32_t g = f; before && g < end; g++) differs |= x[g] ^ before[g];
      if (differs) {
        m->parts[i].count++;
        for (int32_t g = f; g < end; g++) ask_for(&p->indices, x[g]);
      }
      m->slots[(size_t)r * (size_t)m->part_count + (size_t)i] = (uint8_t)(m->parts[i].count - 1);
      f = end;
    }
  }
}

// prepare gives a chunk of up to n rows its memory; 0, or GV_MEMORY.
static int prepare(const gv_deepfm_params *p, gv_run *run, int32_t n, memory *m) {
  const gv_indices_params *of = &p->indices;
  size_t rows = (size_t)n, columns = (size_t)(of->width - p->skip), most = 0;
  for (int32_t i = 0; i < p->layer_count; i++) most = (size_t)p->layers[i].out > most ? (size_t)p->layers[i].out : most;
  m->hidden_stride = gv_padded(most, GV_PANEL) + GV_PANEL;  // rows must not be a power of two apart
  m->part_count = (of->fields + p->group - 1) / p->group;
  size_t count = (size_t)m->part_count;
  m->parts = gv_take(&run->arena, sizeof(part) * count);
  m->interaction_stride = gv_interactions(of->width);
  m->slots = gv_take(&run->arena, rows * count);
  m->group_sums = gv_take(&run->arena, sizeof(sums) * count);
  float *x = gv_take(&run->arena, p->layer_count > 0 ? sizeof(float) * rows * (size_t)of->fields * columns : 0);
  m->interactions = gv_take(&run->arena, sizeof(float) * rows * m->interaction_stride);
  m->shared = gv_take(&run->arena, sizeof(float) * rows * GV_PANELS * GV_PANEL);
  m->hidden = gv_take(&run->arena, sizeof(float) * 2 * rows * m->hidden_stride);
  if (!m->parts || !m->slots || !x || !m->group_sums || !m->interactions || !m->shared || !m->hidden) return GV_MEMORY;
  for (int32_t i = 0; i < m->part_count; i++) {
    int32_t first = i * p->group, fields = of->fields - first < p->group ? of->fields - first : p->group;
    size_t k = (size_t)fields * columns;
    m->parts[i] = (part){.x = p->layer_count > 0 ? x : NULL, .stride = k, .k = (int32_t)k};
    x += p->layer_count > 0 ? rows * k : 0;
  }
  return 0;
}

int gv_deepfm(const gv_stage *stage, gv_run *run) {
  const gv_deepfm_params *p = stage->params;
  const gv_indices_params *of = &p->indices;
  const int32_t *rows[GV_TILE], *zeros = gv_zeros(&run->arena, sizeof(int32_t) * (size_t)of->fields);
  float *out = run->values[stage->out].f32;
  if (!zeros) return GV_MEMORY;
  gv_rows(of, stage, run, zeros, rows);
  size_t row = sizeof(float) * (size_t)of->fields * (size_t)(of->width - p->skip), fit = CHUNK_BYTES / row;
  int32_t most = fit < 1 ? 1 : fit < (size_t)run->rows ? (int32_t)fit : run->rows;
  memory m;
  if (prepare(p, run, most, &m)) return GV_MEMORY;
  void (*compute)(const gv_deepfm_params *, const int32_t *const *, int32_t, const memory *, float *) =
      wide() ? chunk_512 : fused() ? chunk_fma : chunk_portable;
  for (int32_t r = 0; r < run->rows; r += most) {
    int32_t n = run->rows - r < most ? run->rows - r : most;
    find(p, rows + r, n, &m);
    compute(p, rows + r, n, &m, out + r);
  }
  for (int32_t r = 0; r < run->rows; r++) out[r] = rows[r] == zeros ? 0 : out[r];
  return 0;
}
