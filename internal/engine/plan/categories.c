#include "operators.h"

static double code_of(const gv_lookup_params *p, int32_t number, gv_run *run, const gv_stage *stage, int32_t row) {
  if (number >= 0) return p->codes[number];
  if (!p->refuse) return p->unknown;
  gv_fail(run, stage->number, row, GV_UNKNOWN);
  return 0;
}

int gv_lookup_text(const gv_stage *stage, gv_run *run) {
  const gv_lookup_params *p = stage->params;
  const gv_text *text = run->values[stage->in[0]].text;
  double *out = run->values[stage->out].f64;
  uint64_t key[GV_TILE];
  for (int32_t row = 0; row < run->rows; row++) {
    key[row] = gv_key(text[row].bytes, text[row].length);
    gv_prefetch(&p->texts, key[row]);
  }
  for (int32_t row = 0; row < run->rows; row++) {
    out[row] = code_of(p, gv_find_key(&p->texts, key[row], text[row].bytes, text[row].length), run, stage, row);
  }
  return 0;
}

int gv_lookup_number(const gv_stage *stage, gv_run *run) {
  const gv_lookup_params *p = stage->params;
  const double *in = run->values[stage->in[0]].f64;
  double *out = run->values[stage->out].f64;
  for (int32_t row = 0; row < run->rows; row++) {
    double x = in[row];
    int32_t number = -1;
    if (x != x) {
      if (p->nan) number = p->n;
    } else if (p->n > 0) {
      int32_t at = 0;
      for (int32_t n = p->n; n > 1;) {  // the last key that is ≤ x, or the first key, lies in [at, at + n)
        int32_t half = n / 2;
        at += p->keys[at + half] <= x ? half : 0;
        n -= half;
      }
      if (p->keys[at] == x) number = at;
    }
    out[row] = code_of(p, number, run, stage, row);
  }
  return 0;
}

int gv_expand(const gv_stage *stage, gv_run *run) {
  const gv_expand_params *p = stage->params;
  const gv_value *in = &run->values[stage->in[0]];
  gv_value *out = &run->values[stage->out];
  int64_t most = (int64_t)run->rows * in->width;
  if (most > INT32_MAX || gv_grow(run, out, most)) return GV_MEMORY;
  int32_t n = 0;
  out->start[0] = 0;
  for (int32_t row = 0; row < run->rows; row++) {
    const double *x = in->f64 + (size_t)row * in->width;
    for (int32_t j = 0; j < in->width; j++) {
      if (!(x[j] >= 0 && x[j] < p->start[j + 1] - p->start[j])) continue;  // nor NaN
      int32_t number = (int32_t)x[j];
      if (number != x[j]) continue;
      out->index[n] = p->start[j] + number;
      out->entry[n++] = 1;
    }
    out->start[row + 1] = n;
  }
  return 0;
}

int gv_gather(const gv_stage *stage, gv_run *run) {
  const gv_gather_params *p = stage->params;
  const double *in = run->values[stage->in[0]].f64;
  gv_value *out = &run->values[stage->out];
  size_t k = (size_t)out->width;
  for (int32_t row = 0; row < run->rows; row++) {
    double x = in[row];
    int32_t number = x >= 0 && x < p->n ? (int32_t)x : -1;
    if (number < 0 || number != x) {
      gv_fail(run, stage->number, row, GV_RANGE);
      memset(out->f64 + (size_t)row * k, 0, k * sizeof(double));
      continue;
    }
    memcpy(out->f64 + (size_t)row * k, p->table + (size_t)number * k, k * sizeof(double));
  }
  return 0;
}
