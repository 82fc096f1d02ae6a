// Products of rows with a matrix: linear, project, distances, nearest.
//
// Products are compared later: by trees, bins, the nearest center. There the last bit of a sum decides, so sums are those of the
// libraries that scikit-learn calls on x86-64 for a batch, bit for bit.
//
//   dense rows, two outputs or more   OpenBLAS: a chain of fused multiply-adds in the order of columns
//   sparse rows, likewise             SciPy: products are rounded, and added in the order of entries
//   x·x and c·c of dense rows         NumPy's einsum: even columns and odd ones, each in an order of its own
//   x·x of sparse rows                products are rounded, and added in the order of entries
//
// Rows that scikit-learn has dense may be sparse here, which `fused` says. Zeros change no sum, so these are the sums of dense rows.
//
// One output has no such order: OpenBLAS takes another for each kind of processor. There eight sums of a dense row are kept side by
// side, four of a sparse one. So the order of a sum depends on the matrix alone, never on the rows of a run. With two outputs or more
// a transposed copy of the matrix is read, so that vectors lie across outputs. Coefficients that are not listed are multiplied as
// zeros, so that sums have the same bits as if they were.
//
// The arithmetic is in matrix_kernel.h. A machine without AVX2 and FMA computes the same bits, one product after another.
#include "operators.h"

#include <math.h>

typedef double vec __attribute__((vector_size(8 * GV_LANES), aligned(8)));
typedef double pair __attribute__((vector_size(16), aligned(8)));

#define LOAD(p) (*(const vec *)(p))  // no function: it would return a vector
#define PAIR(p) (*(const pair *)(p))
#define FOUND 128  // coefficients that are fetched together; a multiple of 4
#define SUMS 8  // vectors of sums side by side: an addition takes four cycles, and two begin in each

#define TARGET
#define NAME(x) x##_portable
#define FMA(a, b, c)                                                                                          \
  ({                                                                                                          \
    vec a_ = (a), b_ = (b), c_ = (c);                                                                         \
    for (int lane_ = 0; lane_ < GV_LANES; lane_++) c_[lane_] = fma(a_[lane_], b_[lane_], c_[lane_]);          \
    c_;                                                                                                       \
  })
#include "matrix_kernel.h"

#if defined(__x86_64__) && !defined(GV_PORTABLE)  // tests run the portable form by it
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma,popcnt")))
#define NAME(x) x##_fma
#define FMA(a, b, c) ((vec)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c)))
#include "matrix_kernel.h"

static int fused(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt"); }
#else
#define products_fma products_portable
static int fused(void) { return 0; }
#endif

// square_rows computes x·x of `rows` ≤ 4 rows, a constant. Of each eight columns NumPy takes the last two first.
static inline __attribute__((always_inline)) void square_rows(const double *x, int rows, int32_t n, double *out) {
  pair sum[4] = {{0}};
  int32_t j = 0;
  for (; j + 8 <= n; j += 8) {
    for (int32_t at = j + 6; at >= j; at -= 2) {
      for (int r = 0; r < rows; r++) sum[r] += PAIR(x + (size_t)r * n + at) * PAIR(x + (size_t)r * n + at);
    }
  }
  for (; j + 2 <= n; j += 2) {
    for (int r = 0; r < rows; r++) sum[r] += PAIR(x + (size_t)r * n + j) * PAIR(x + (size_t)r * n + j);
  }
  for (int r = 0; r < rows; r++) {
    if (j < n) sum[r][0] += x[(size_t)r * n + j] * x[(size_t)r * n + j];
    out[r] = sum[r][0] + sum[r][1];
  }
}

void gv_squares(const double *matrix, int32_t k, int32_t w, double *norms) {
  int32_t r = 0;
  for (; r + 4 <= k; r += 4) square_rows(matrix + (size_t)r * w, 4, w, norms + r);
  for (; r < k; r++) square_rows(matrix + (size_t)r * w, 1, w, norms + r);
}

// sparse_squares computes x·x of sparse rows: in the order of entries, or if fused as square_rows does of the same rows, dense.
static void sparse_squares(const gv_value *in, int32_t rows, int fused, double *out) {
  int32_t tail = in->width / 8 * 8;  // where the last columns begin, fewer than eight
  for (int32_t row = 0; row < rows; row++) {
    double sum[2] = {0};
    for (int32_t e = in->start[row], end = in->start[row + 1]; e < end;) {
      int32_t next = e + 1, column = in->index[e];
      if (!fused || column >= tail) {
        sum[fused ? column % 2 : 0] += in->entry[e] * in->entry[e];
      } else {
        while (next < end && in->index[next] / 8 == column / 8) next++;
        for (int32_t i = next - 1; i >= e; i--) sum[in->index[i] % 2] += in->entry[i] * in->entry[i];
      }
      e = next;
    }
    out[row] = sum[0] + sum[1];
  }
}

static int all_finite(const gv_value *in, int32_t row) {
  size_t from = in->sparse ? (size_t)in->start[row] : (size_t)row * in->width;
  size_t to = in->sparse ? (size_t)in->start[row + 1] : from + in->width;
  const double *x = in->sparse ? in->entry : in->f64;
  for (; from < to; from++) {
    if (!isfinite(x[from])) return 0;
  }
  return 1;
}

// products computes out[row][c] = matrix[c] · x[row], and fails rows that are not finite.
static void products(const gv_stage *stage, gv_run *run, const gv_value *in, const gv_matrix_params *p, double *out) {
  (fused() ? products_fma : products_portable)(p, in, run->rows, out);
  if (!p->finite) return;
  for (int32_t row = 0; row < run->rows; row++) {
    // A number that is not finite makes each of the row's sums not finite; they may be so without it, too.
    if (!isfinite(out[(size_t)row * p->k]) && !all_finite(in, row)) gv_fail(run, stage->number, row, GV_NOT_FINITE);
  }
}

int gv_linear(const gv_stage *stage, gv_run *run) {
  const gv_matrix_params *p = stage->params;
  double *out = run->values[stage->out].f64;
  products(stage, run, &run->values[stage->in[0]], p, out);
  if (!p->intercept) return 0;
  for (int32_t row = 0; row < run->rows; row++) {
    for (int32_t c = 0; c < p->k; c++) out[(size_t)row * p->k + c] += p->intercept[c];
  }
  return 0;
}

static void add_rows_of_table(const gv_part *part, const gv_value *in, int32_t rows, double *out) {
  int32_t k = part->matrix.k;
  for (int32_t row = 0; row < rows; row++, out += k) {
    const double *x = in->f64 + (size_t)row * in->width;
    for (int32_t j = 0; j < in->width; j++) {
      if (!(x[j] >= 0 && x[j] < part->start[j + 1] - part->start[j])) continue;  // nor NaN
      int32_t number = (int32_t)x[j];
      if (number != x[j]) continue;
      const double *of = part->table + (size_t)(part->start[j] + number) * k;
      for (int32_t c = 0; c < k; c++) out[c] += of[c];
    }
  }
}

int gv_parts(const gv_stage *stage, gv_run *run) {
  const gv_parts_params *p = stage->params;
  double *out = run->values[stage->out].f64, *product = NULL;
  size_t n = (size_t)run->rows * (size_t)p->k;
  memset(out, 0, sizeof(double) * n);
  for (int32_t i = 0; i < stage->inputs; i++) {
    const gv_value *in = &run->values[stage->in[i]];
    if (p->parts[i].table) {
      add_rows_of_table(&p->parts[i], in, run->rows, out);
      continue;
    }
    if (!product && !(product = gv_take(&run->arena, sizeof(double) * n))) return GV_MEMORY;
    products(stage, run, in, &p->parts[i].matrix, product);
    for (size_t at = 0; at < n; at++) out[at] += product[at];
  }
  for (int32_t row = 0; row < run->rows; row++) {
    for (int32_t c = 0; c < p->k; c++) out[(size_t)row * p->k + c] += p->intercept[c];
  }
  return 0;
}

int gv_distances(const gv_stage *stage, gv_run *run) {
  const gv_matrix_params *p = stage->params;
  const gv_value *in = &run->values[stage->in[0]];
  double *out = run->values[stage->out].f64;
  double *squares = gv_take(&run->arena, sizeof(double) * (size_t)run->rows);
  if (!squares) return GV_MEMORY;
  products(stage, run, in, p, out);
  if (in->sparse) {
    sparse_squares(in, run->rows, p->fused, squares);
  } else {
    gv_squares(in->f64, run->rows, p->w, squares);
  }
  for (int32_t row = 0; row < run->rows; row++, out += p->k) {
    for (int32_t c = 0; c < p->k; c++) {
      double square = (-2 * out[c] + squares[row]) + p->norms[c];
      out[c] = sqrt(square < 0 ? 0 : square);
    }
  }
  return 0;
}

int gv_nearest(const gv_stage *stage, gv_run *run) {
  const gv_matrix_params *p = stage->params;
  double *out = run->values[stage->out].f64;
  double *product = gv_take(&run->arena, sizeof(double) * (size_t)run->rows * (size_t)p->k);
  if (!product) return GV_MEMORY;
  products(stage, run, &run->values[stage->in[0]], p, product);
  for (int32_t row = 0; row < run->rows; row++, product += p->k) {
    int32_t best = 0;
    double least = p->norms[0] - 2 * product[0];
    for (int32_t c = 1; c < p->k; c++) {
      double square = p->norms[c] - 2 * product[c];
      if (square < least) {
        least = square;
        best = c;
      }
    }
    out[row] = best;
  }
  return 0;
}

void gv_transpose(const double *matrix, int32_t k, int32_t w, double *transposed) {
  size_t stride = (size_t)gv_stride(k);
  for (int32_t c = 0; c < k; c++) {
    for (int32_t j = 0; j < w; j++) transposed[(size_t)j * stride + c] = matrix[(size_t)c * w + j];
  }
}

const char *gv_listed_fault(const uint64_t *listed, int64_t words, int64_t width, const double *values, int64_t n) {
  const double zero = 0;
  if (words != (width + 31) / 32) return "there is not a word for each 32 columns";
  if (n < 1 || n > INT32_MAX || memcmp(values, &zero, sizeof zero) != 0) return "the first value is not 0";
  int64_t next = 1;
  for (int64_t i = 0; i < words; i++) {
    if ((int64_t)(listed[i] >> 32) != next) return "the columns do not list the values in their order";
    next += __builtin_popcount((uint32_t)listed[i]);
  }
  if (next != n) return "the columns do not list each value";
  if (width % 32 != 0 && (uint32_t)listed[words - 1] >> width % 32 != 0) return "there are more columns than the model reads";
  return NULL;
}
