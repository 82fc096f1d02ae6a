#include "operators.h"

#include <math.h>

static int concat_sparse(const gv_stage *stage, gv_run *run) {
  gv_value *out = &run->values[stage->out];
  int64_t n = 0;
  out->start[0] = 0;
  for (int32_t row = 0; row < run->rows; row++) {
    int64_t most = n;
    for (int32_t i = 0; i < stage->inputs; i++) {
      const gv_value *in = &run->values[stage->in[i]];
      most += in->sparse ? in->start[row + 1] - in->start[row] : in->width;
    }
    if (most > INT32_MAX || gv_grow(run, out, most)) return GV_MEMORY;
    int32_t *index = out->index;
    double *entry = out->entry;
    int32_t first = 0;
    for (int32_t i = 0; i < stage->inputs; i++) {
      const gv_value *in = &run->values[stage->in[i]];
      if (in->sparse) {
        for (int32_t e = in->start[row]; e < in->start[row + 1]; e++, n++) {
          index[n] = first + in->index[e];
          entry[n] = in->entry[e];
        }
      } else {
        const double *x = in->f64 + (size_t)row * in->width;
        for (int32_t j = 0; j < in->width; j++) {
          index[n] = first + j;
          entry[n] = x[j];
          n += x[j] != 0;  // NaN is listed
        }
      }
      first += in->width;
    }
    out->start[row + 1] = (int32_t)n;
  }
  return 0;
}

int gv_concat(const gv_stage *stage, gv_run *run) {
  gv_value *out = &run->values[stage->out];
  if (out->sparse) return concat_sparse(stage, run);
  double *to = out->f64;
  for (int32_t i = 0; i < stage->inputs; i++) {
    const gv_value *in = &run->values[stage->in[i]];
    if (in->width == 1) {
      for (int32_t row = 0; row < run->rows; row++) to[(size_t)row * out->width] = in->f64[row];
    } else {
      for (int32_t row = 0; row < run->rows; row++) {
        memcpy(to + (size_t)row * out->width, in->f64 + (size_t)row * in->width, sizeof(double) * (size_t)in->width);
      }
    }
    to += in->width;
  }
  return 0;
}

// sort_row orders entries by their column: insertion sort with gaps.
static void sort_row(int32_t *index, double *entry, int32_t n) {
  int32_t gap = 1;
  while (gap < n / 3) gap = 3 * gap + 1;
  for (; gap > 0; gap /= 3) {
    for (int32_t i = gap; i < n; i++) {
      int32_t column = index[i], to = i;
      double value = entry[i];
      for (; to >= gap && index[to - gap] > column; to -= gap) {
        index[to] = index[to - gap];
        entry[to] = entry[to - gap];
      }
      index[to] = column;
      entry[to] = value;
    }
  }
}

static int select_sparse(const gv_select_params *p, gv_run *run, const gv_value *in, gv_value *out) {
  if (gv_grow(run, out, in->start[run->rows])) return GV_MEMORY;
  int32_t n = 0;
  out->start[0] = 0;
  for (int32_t row = 0; row < run->rows; row++) {
    int32_t from = n;
    for (int32_t e = in->start[row]; e < in->start[row + 1]; e++) {
      int32_t column = p->target[in->index[e]];
      if (column < 0) continue;
      out->index[n] = column;
      out->entry[n++] = in->entry[e];
    }
    if (!p->ascending) sort_row(out->index + from, out->entry + from, n - from);
    out->start[row + 1] = n;
  }
  return 0;
}

int gv_select(const gv_stage *stage, gv_run *run) {
  const gv_select_params *p = stage->params;
  const gv_value *in = &run->values[stage->in[0]];
  gv_value *out = &run->values[stage->out];
  if (in->sparse) return select_sparse(p, run, in, out);
  for (int32_t row = 0; row < run->rows; row++) {
    const double *x = in->f64 + (size_t)row * in->width;
    double *y = out->f64 + (size_t)row * out->width;
    for (int32_t j = 0; j < out->width; j++) y[j] = x[p->columns[j]];
  }
  return 0;
}

int gv_select_text(const gv_stage *stage, gv_run *run) {
  const gv_select_params *p = stage->params;
  const gv_value *in = &run->values[stage->in[0]];
  gv_value *out = &run->values[stage->out];
  for (int32_t row = 0; row < run->rows; row++) {
    for (int32_t j = 0; j < out->width; j++) {
      out->text[(size_t)row * (size_t)out->width + (size_t)j] = in->text[(size_t)row * (size_t)in->width + (size_t)p->columns[j]];
    }
  }
  return 0;
}

int gv_dense(const gv_stage *stage, gv_run *run) {
  const gv_value *in = &run->values[stage->in[0]];
  gv_value *out = &run->values[stage->out];
  memset(out->f64, 0, sizeof(double) * (size_t)run->rows * (size_t)out->width);
  for (int32_t row = 0; row < run->rows; row++) {
    double *y = out->f64 + (size_t)row * out->width;
    for (int32_t e = in->start[row]; e < in->start[row + 1]; e++) y[in->index[e]] = in->entry[e];
  }
  return 0;
}

int gv_cast(const gv_stage *stage, gv_run *run) {
  const gv_value *in = &run->values[stage->in[0]];
  gv_value *out = &run->values[stage->out];
  size_t n = (size_t)run->rows * (size_t)in->width;
#define CAST(to, from)                                       \
  do {                                                       \
    for (size_t i = 0; i < n; i++) out->to[i] = in->from[i]; \
  } while (0)
  if (out->type == GV_F64) {
    if (in->type == GV_F64) CAST(f64, f64);
    if (in->type == GV_F32) CAST(f64, f32);
    if (in->type == GV_I32) CAST(f64, i32);
  } else {
    if (in->type == GV_F64) {
      for (size_t i = 0; i < n; i++) out->f32[i] = (float)in->f64[i];
    }
    if (in->type == GV_F32) CAST(f32, f32);
    if (in->type == GV_I32) {
      for (size_t i = 0; i < n; i++) out->f32[i] = (float)in->i32[i];
    }
  }
#undef CAST
  return 0;
}

int gv_mean(const gv_stage *stage, gv_run *run) {
  gv_value *out = &run->values[stage->out];
  size_t n = (size_t)run->rows * (size_t)out->width;
  memcpy(out->f64, run->values[stage->in[0]].f64, n * sizeof(double));
  for (int32_t i = 1; i < stage->inputs; i++) {
    const double *x = run->values[stage->in[i]].f64;
    for (size_t at = 0; at < n; at++) out->f64[at] += x[at];
  }
  for (size_t at = 0; at < n; at++) out->f64[at] /= stage->inputs;
  return 0;
}

int gv_finite(const gv_stage *stage, gv_run *run) {
  int nan = ((const gv_finite_params *)stage->params)->nan;
  const gv_value *in = &run->values[stage->in[0]];
  gv_value *out = &run->values[stage->out];
  if (in->sparse && gv_like(run, out, in)) return GV_MEMORY;
  for (int32_t row = 0; row < run->rows; row++) {
    size_t from = in->sparse ? (size_t)in->start[row] : (size_t)row * (size_t)in->width;
    size_t to = in->sparse ? (size_t)in->start[row + 1] : from + (size_t)in->width;
    const double *x = in->sparse ? in->entry : in->f64;
    double *y = in->sparse ? out->entry : out->f64;
    int bad = 0;
    for (size_t i = from; i < to; i++) {
      y[i] = x[i];
      bad |= isinf(x[i]) != 0 || (!nan && isnan(x[i]));
    }
    if (bad) gv_fail(run, stage->number, row, GV_NOT_FINITE);
  }
  return 0;
}
