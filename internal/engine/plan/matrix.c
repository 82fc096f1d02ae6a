// Products of rows with a matrix: linear, project, distances, nearest.
//
// The order of a sum depends on the matrix alone, never on the rows of a run. With fewer than GV_TRANSPOSED outputs the matrix is
// read as it lies: of a dense row, every eighth column is added to one of eight sums, of a sparse one every fourth entry to one of
// four. Else a transposed copy is read, and columns, or entries, are added to two sums in turn. AVX2 computes the same bits as SSE2,
// two to seven times as fast. Coefficients that are not listed are multiplied as zeros, so that sums have the same bits as if they were.
#include "operators.h"

#include <math.h>

typedef double vec __attribute__((vector_size(8 * GV_LANES), aligned(8)));

#define INLINE static inline __attribute__((always_inline))
#define LOAD(p) (*(const vec *)(p))  // no function: it would return a vector
#define ROWS 4  // rows that share a load of the matrix
#define FOUND 128  // coefficients that are fetched together; a multiple of 4

INLINE double dot(const double *a, const double *b, int32_t n) {
  vec low = {0}, high = {0};
  int32_t j = 0;
  for (; j + 8 <= n; j += 8) {
    low += LOAD(a + j) * LOAD(b + j);
    high += LOAD(a + j + 4) * LOAD(b + j + 4);
  }
  for (int lane = 0; j < n; j++, lane++) {
    if (lane < 4) {
      low[lane] += a[j] * b[j];
    } else {
      high[lane - 4] += a[j] * b[j];
    }
  }
  low += high;
  return (low[0] + low[2]) + (low[1] + low[3]);
}

// dense_block computes out[r][0 … columns) of `rows` ≤ ROWS rows, columns ≤ wide · GV_LANES; both are constants where it is called.
INLINE void dense_block(const gv_matrix_params *p, const double *x, const double *m, int rows, int wide, int32_t columns, double *out) {
  vec even[ROWS][4] = {{{0}}}, odd[ROWS][4] = {{{0}}};
  size_t stride = (size_t)gv_stride(p->k);
  int32_t j = 0;
  for (; j + 2 <= p->w; j += 2, m += 2 * stride) {
#pragma GCC unroll 4
    for (int v = 0; v < wide; v++) {
      vec first = LOAD(m + v * GV_LANES), second = LOAD(m + stride + v * GV_LANES);
#pragma GCC unroll 4
      for (int r = 0; r < rows; r++) {
        even[r][v] += x[(size_t)r * p->w + j] * first;
        odd[r][v] += x[(size_t)r * p->w + j + 1] * second;
      }
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < wide; v++) {
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
      if (j < p->w) even[r][v] += x[(size_t)r * p->w + j] * LOAD(m + v * GV_LANES);
      even[r][v] += odd[r][v];
    }
  }
  for (int r = 0; r < rows; r++) {
    for (int32_t c = 0; c < columns; c++) out[(size_t)r * p->k + c] = even[r][c / GV_LANES][c % GV_LANES];
  }
}

INLINE void dense_rows(const gv_matrix_params *p, const double *x, int rows, double *out) {
  for (int32_t c = 0; c < p->k;) {
    int32_t left = gv_stride(p->k - c) / GV_LANES, wide = left == 1 ? 1 : left < 4 || rows > 1 ? 2 : 4;
    int32_t columns = p->k - c < wide * GV_LANES ? p->k - c : wide * GV_LANES;
    const double *m = p->transposed + c;
    if (wide == 4) dense_block(p, x, m, 1, 4, columns, out + c);
    if (wide == 2) {
      for (int r = 0; r < rows; r += 2) dense_block(p, x + (size_t)r * p->w, m, rows < 2 ? rows : 2, 2, columns, out + c + (size_t)r * p->k);
    }
    if (wide == 1) dense_block(p, x, m, rows, 1, columns, out + c);
    c += columns;
  }
}

INLINE void dense_products(const gv_matrix_params *p, const double *x, int32_t rows, double *out) {
  int32_t r = 0;
  if (!p->transposed) {
    for (; r < rows; r++) {
      for (int32_t c = 0; c < p->k; c++) out[(size_t)r * p->k + c] = dot(x + (size_t)r * p->w, p->matrix + (size_t)c * p->w, p->w);
    }
    return;
  }
  for (; r + ROWS <= rows; r += ROWS) dense_rows(p, x + (size_t)r * p->w, ROWS, out + (size_t)r * p->k);
  for (; r < rows; r++) dense_rows(p, x + (size_t)r * p->w, 1, out + (size_t)r * p->k);
}

INLINE double sparse_dot(const int32_t *index, const double *x, int32_t n, const double *of) {
  double sum[4] = {0};
  int32_t e = 0;
  for (; e + 4 <= n; e += 4) {
    for (int lane = 0; lane < 4; lane++) sum[lane] += x[e + lane] * of[index[e + lane]];
  }
  for (int lane = 0; e < n; e++, lane++) sum[lane] += x[e] * of[index[e]];
  return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

// listed_dot first finds where all coefficients are, and has them fetched, so that these cache misses overlap.
INLINE double listed_dot(const int32_t *index, const double *x, int32_t n, const gv_matrix_params *p) {
  double sum[4] = {0};
  uint32_t at[FOUND];
  for (int32_t from = 0; from < n; from += FOUND) {
    int32_t some = n - from < FOUND ? n - from : FOUND, e = 0;
    for (int32_t i = 0; i < some; i++) {
      at[i] = gv_listed(p->listed, (uint32_t)(p->first + index[from + i]));
      __builtin_prefetch(p->matrix + at[i]);
    }
    for (; e + 4 <= some; e += 4) {
      for (int lane = 0; lane < 4; lane++) sum[lane] += x[from + e + lane] * p->matrix[at[e + lane]];
    }
    for (int lane = 0; e < some; e++, lane++) sum[lane] += x[from + e] * p->matrix[at[e]];
  }
  return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

INLINE void sparse_block(const int32_t *index, const double *x, int32_t n, const double *m, size_t stride, int wide, int32_t columns, double *out) {
  vec even[4] = {{0}}, odd[4] = {{0}};
  int32_t e = 0;
  for (; e + 2 <= n; e += 2) {
    const double *first = m + (size_t)index[e] * stride, *second = m + (size_t)index[e + 1] * stride;
#pragma GCC unroll 4
    for (int v = 0; v < wide; v++) {
      even[v] += x[e] * LOAD(first + v * GV_LANES);
      odd[v] += x[e + 1] * LOAD(second + v * GV_LANES);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < wide; v++) {
    if (e < n) even[v] += x[e] * LOAD(m + (size_t)index[e] * stride + v * GV_LANES);
    even[v] += odd[v];
  }
  for (int32_t c = 0; c < columns; c++) out[c] = even[c / GV_LANES][c % GV_LANES];
}

INLINE void sparse_products(const gv_matrix_params *p, const gv_value *in, int32_t rows, double *out) {
  size_t stride = (size_t)gv_stride(p->k);
  for (int32_t r = 0; r < rows; r++, out += p->k) {
    const int32_t *index = in->index + in->start[r];
    const double *x = in->entry + in->start[r];
    int32_t n = in->start[r + 1] - in->start[r];
    if (p->listed) {
      *out = listed_dot(index, x, n, p);
      continue;
    }
    if (!p->transposed) {
      for (int32_t c = 0; c < p->k; c++) out[c] = sparse_dot(index, x, n, p->matrix + (size_t)c * p->w);
      continue;
    }
    for (int32_t c = 0; c < p->k;) {
      int32_t left = gv_stride(p->k - c) / GV_LANES, wide = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      int32_t columns = p->k - c < wide * GV_LANES ? p->k - c : wide * GV_LANES;
      if (wide == 4) sparse_block(index, x, n, p->transposed + c, stride, 4, columns, out + c);
      if (wide == 2) sparse_block(index, x, n, p->transposed + c, stride, 2, columns, out + c);
      if (wide == 1) sparse_block(index, x, n, p->transposed + c, stride, 1, columns, out + c);
      c += columns;
    }
  }
}

INLINE void any_products(const gv_matrix_params *p, const gv_value *in, int32_t rows, double *out) {
  if (in->sparse) {
    sparse_products(p, in, rows, out);
  } else {
    dense_products(p, in->f64, rows, out);
  }
}

static void products_sse2(const gv_matrix_params *p, const gv_value *in, int32_t rows, double *out) { any_products(p, in, rows, out); }

#ifdef __x86_64__
__attribute__((target("avx2,popcnt"))) static void products_avx2(const gv_matrix_params *p, const gv_value *in, int32_t rows, double *out) {
  any_products(p, in, rows, out);
}
#endif

static double squares_of(const double *x, int32_t n) { return dot(x, x, n); }

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
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2")) {
    products_avx2(p, in, run->rows, out);
  } else {
    products_sse2(p, in, run->rows, out);
  }
#else
  products_sse2(p, in, run->rows, out);
#endif
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
    if (!product && !(product = gv_alloc(&run->arena, sizeof(double) * n))) return GV_MEMORY;
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
  products(stage, run, &run->values[stage->in[0]], p, out);
  for (int32_t row = 0; row < run->rows; row++, out += p->k) {
    double squares = in->sparse ? squares_of(in->entry + in->start[row], in->start[row + 1] - in->start[row])
                                : squares_of(in->f64 + (size_t)row * p->w, p->w);
    for (int32_t c = 0; c < p->k; c++) {
      double square = (-2 * out[c] + squares) + p->norms[c];
      out[c] = sqrt(square < 0 ? 0 : square);
    }
  }
  return 0;
}

int gv_nearest(const gv_stage *stage, gv_run *run) {
  const gv_matrix_params *p = stage->params;
  double *out = run->values[stage->out].f64;
  double *product = gv_alloc(&run->arena, sizeof(double) * (size_t)run->rows * (size_t)p->k);
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

void gv_squares(const double *matrix, int32_t k, int32_t w, double *norms) {
  for (int32_t c = 0; c < k; c++) norms[c] = squares_of(matrix + (size_t)c * w, w);
}
