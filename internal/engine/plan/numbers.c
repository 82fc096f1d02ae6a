#include "operators.h"

#include <float.h>
#include <math.h>

int gv_like(gv_run *run, gv_value *out, const gv_value *in) {
  int32_t n = in->start[run->rows];
  if (gv_grow(run, out, n)) return GV_MEMORY;
  memcpy(out->start, in->start, sizeof(int32_t) * (size_t)(run->rows + 1));
  if (n > 0) memcpy(out->index, in->index, sizeof(int32_t) * (size_t)n);
  return 0;
}

double gv_sum(const double *x, int32_t n) {
  if (n < 8) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += x[i];
    return sum;
  }
  if (n > 128) {
    int32_t half = n / 2 - n / 2 % 8;
    return gv_sum(x, half) + gv_sum(x + half, n - half);
  }
  double r[8];
  memcpy(r, x, sizeof r);
  int32_t i = 8;
  for (; i < n - n % 8; i += 8) {
    for (int j = 0; j < 8; j++) r[j] += x[i + j];
  }
  double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
  for (; i < n; i++) sum += x[i];
  return sum;
}

// EACH_COLUMN defines a stage that computes y from x and v, the parameter of its column.
#define EACH_COLUMN(name, expression)                                               \
  int name(const gv_stage *stage, gv_run *run) {                                    \
    const double *value = ((const gv_columns_params *)stage->params)->value;        \
    const gv_value *in = &run->values[stage->in[0]];                                \
    gv_value *out = &run->values[stage->out];                                       \
    if (in->sparse) {                                                               \
      if (gv_like(run, out, in)) return GV_MEMORY;                                  \
      for (int32_t e = 0; e < in->start[run->rows]; e++) {                          \
        double x = in->entry[e], v = value[in->index[e]];                           \
        out->entry[e] = (expression);                                               \
      }                                                                             \
      return 0;                                                                     \
    }                                                                               \
    for (int32_t row = 0; row < run->rows; row++) {                                 \
      const double *restrict from = in->f64 + (size_t)row * in->width;              \
      double *restrict to = out->f64 + (size_t)row * in->width;                     \
      for (int32_t j = 0; j < in->width; j++) {                                     \
        double x = from[j], v = value[j];                                           \
        to[j] = (expression);                                                       \
      }                                                                             \
    }                                                                               \
    return 0;                                                                       \
  }

EACH_COLUMN(gv_add, x + v)
EACH_COLUMN(gv_sub, x - v)
EACH_COLUMN(gv_mul, x * v)
EACH_COLUMN(gv_div, x / v)
EACH_COLUMN(gv_impute, x != x ? v : x)

// each sets up a loop over all numbers of a dense value.
#define EACH(expression)                                            \
  do {                                                              \
    const gv_value *in = &run->values[stage->in[0]];                \
    const double *restrict from = in->f64;                          \
    double *restrict to = run->values[stage->out].f64;              \
    size_t n = (size_t)run->rows * (size_t)in->width;               \
    for (size_t i = 0; i < n; i++) {                                \
      double x = from[i];                                           \
      to[i] = (expression);                                         \
    }                                                               \
  } while (0)

int gv_clip(const gv_stage *stage, gv_run *run) {
  const gv_clip_params p = *(const gv_clip_params *)stage->params;
  EACH((x = x < p.low ? p.low : x, x > p.high ? p.high : x));
  return 0;
}

int gv_missing(const gv_stage *stage, gv_run *run) {
  EACH(x != x ? 1.0 : 0.0);
  return 0;
}

int gv_equal_missing(const gv_stage *stage, gv_run *run) {
  const double value = ((const gv_number_params *)stage->params)->value;
  EACH(x == value ? (double)NAN : x);
  return 0;
}

int gv_binarize(const gv_stage *stage, gv_run *run) {
  const double threshold = ((const gv_number_params *)stage->params)->value;
  const gv_value *in = &run->values[stage->in[0]];
  if (!in->sparse) {
    EACH(x > threshold ? 1.0 : 0.0);
    return 0;
  }
  gv_value *out = &run->values[stage->out];
  if (gv_grow(run, out, in->start[run->rows])) return GV_MEMORY;
  int32_t n = 0;
  out->start[0] = 0;
  for (int32_t row = 0; row < run->rows; row++) {
    for (int32_t e = in->start[row]; e < in->start[row + 1]; e++) {
      if (!(in->entry[e] > threshold)) continue;
      out->index[n] = in->index[e];
      out->entry[n++] = 1;
    }
    out->start[row + 1] = n;
  }
  return 0;
}

// norm_of adds in the order in which scikit-learn does: rows of sparse matrices from first to last, l1 of dense ones as NumPy.
static double norm_of(gv_norm norm, const double *x, int32_t n, int sparse, double *scratch) {
  double sum = 0;
  switch (norm) {
    case GV_L1:
      for (int32_t i = 0; i < n; i++) {
        scratch[i] = fabs(x[i]);
        sum += scratch[i];
      }
      return sparse ? sum : gv_sum(scratch, n);
    case GV_L2:
      for (int32_t i = 0; i < n; i++) sum += x[i] * x[i];
      return sqrt(sum);
    default:
      for (int32_t i = 0; i < n; i++) sum = fabs(x[i]) > sum || x[i] != x[i] ? fabs(x[i]) : sum;
      return sum;
  }
}

int gv_normalize(const gv_stage *stage, gv_run *run) {
  gv_norm norm = (gv_norm)((const gv_normalize_params *)stage->params)->norm;
  const gv_value *in = &run->values[stage->in[0]];
  gv_value *out = &run->values[stage->out];
  if (in->sparse) {
    if (gv_like(run, out, in)) return GV_MEMORY;
    for (int32_t row = 0; row < run->rows; row++) {
      int32_t from = in->start[row], n = in->start[row + 1] - from;
      double by = norm_of(norm, in->entry + from, n, 1, out->entry + from);
      if (by == 0) by = 1;
      for (int32_t e = from; e < from + n; e++) out->entry[e] = in->entry[e] / by;
    }
    return 0;
  }
  for (int32_t row = 0; row < run->rows; row++) {
    const double *x = in->f64 + (size_t)row * in->width;
    double *y = out->f64 + (size_t)row * in->width;
    double by = norm_of(norm, x, in->width, 0, y);
    if (by < 10 * DBL_EPSILON) by = 1;
    for (int32_t j = 0; j < in->width; j++) y[j] = x[j] / by;
  }
  return 0;
}

static double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x; }

int gv_function(const gv_stage *stage, gv_run *run) {
  switch ((gv_function_name)((const gv_function_params *)stage->params)->name) {
    case GV_LOG: EACH(log(x)); break;
    case GV_LOG1P: EACH(log1p(x)); break;
    case GV_LOG2: EACH(log2(x)); break;
    case GV_LOG10: EACH(log10(x)); break;
    case GV_EXP: EACH(exp(x)); break;
    case GV_EXPM1: EACH(expm1(x)); break;
    case GV_SQRT: EACH(sqrt(x)); break;
    case GV_CBRT: EACH(cbrt(x)); break;
    case GV_SQUARE: EACH(x * x); break;
    case GV_ABS: EACH(fabs(x)); break;
    case GV_NEGATIVE: EACH(-x); break;
    case GV_RECIPROCAL: EACH(1 / x); break;
    case GV_SIGN: EACH(sign(x)); break;
    case GV_SIN: EACH(sin(x)); break;
    case GV_COS: EACH(cos(x)); break;
    case GV_TANH: EACH(tanh(x)); break;
    case GV_FLOOR: EACH(floor(x)); break;
    case GV_CEIL: EACH(ceil(x)); break;
    case GV_RINT: EACH(rint(x)); break;
  }
  return 0;
}

// count_le returns how many of n ascending numbers are ≤ x: none if x is NaN.
static int32_t count_le(const double *sorted, int32_t n, double x) {
  int32_t count = 0;
  if (n <= 16) {
    for (int32_t i = 0; i < n; i++) count += sorted[i] <= x;
    return count;
  }
  while (n > 0) {  // the answer lies in [count, count + n]
    int32_t half = (n + 1) / 2;
    count += sorted[count + half - 1] <= x ? half : 0;
    n -= half;
  }
  return count;
}

int gv_bins(const gv_stage *stage, gv_run *run) {
  const gv_bins_params *p = stage->params;
  const gv_value *in = &run->values[stage->in[0]];
  double *out = run->values[stage->out].f64;
  for (int32_t row = 0; row < run->rows; row++) {
    for (int32_t j = 0; j < in->width; j++) {
      size_t at = (size_t)row * in->width + j;
      out[at] = count_le(p->edges + p->start[j], p->start[j + 1] - p->start[j], in->f64[at]);
    }
  }
  return 0;
}

int gv_polynomial(const gv_stage *stage, gv_run *run) {
  const gv_polynomial_params *p = stage->params;
  const gv_value *in = &run->values[stage->in[0]];
  const gv_value *out = &run->values[stage->out];
  for (int32_t row = 0; row < run->rows; row++) {
    const double *x = in->f64 + (size_t)row * in->width;
    double *y = out->f64 + (size_t)row * out->width;
    for (int32_t c = 0; c < out->width; c++) {
      double product = p->base[c] < 0 ? 1 : y[p->base[c]];
      for (int32_t f = p->start[c]; f < p->start[c + 1]; f++) product *= x[p->factor[f]];
      y[c] = product;
    }
  }
  return 0;
}
