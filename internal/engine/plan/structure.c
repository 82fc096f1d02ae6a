#include <string.h>

#include "operators.h"

int gv_concat(const gv_stage *stage, gv_run *run) {
  gv_value *out = &run->values[stage->out];
  int64_t n = 0;
  if (out->sparse) out->start[0] = 0;
  for (int32_t row = 0; row < run->rows; row++) {
    int32_t first = 0;
    for (int32_t i = 0; i < stage->inputs; i++) {
      const gv_value *in = &run->values[stage->in[i]];
      if (!out->sparse) {
        memcpy(out->f64 + (size_t)row * out->width + first, in->f64 + (size_t)row * in->width, sizeof(double) * in->width);
      } else if (in->sparse) {
        if (gv_grow(run, out, n + in->start[row + 1] - in->start[row])) return GV_MEMORY;
        for (int32_t e = in->start[row]; e < in->start[row + 1]; e++, n++) {
          out->index[n] = first + in->index[e];
          out->entry[n] = in->entry[e];
        }
      } else {
        if (gv_grow(run, out, n + in->width)) return GV_MEMORY;
        for (int32_t j = 0; j < in->width; j++) {
          double x = in->f64[(size_t)row * in->width + j];
          if (x == 0) continue;  // NaN is listed
          out->index[n] = first + j;
          out->entry[n++] = x;
        }
      }
      first += in->width;
    }
    if (out->sparse) out->start[row + 1] = (int32_t)n;
  }
  return 0;
}

int gv_select(const gv_stage *stage, gv_run *run) {
  const gv_select_params *p = stage->params;
  const gv_value *in = &run->values[stage->in[0]];
  gv_value *out = &run->values[stage->out];
  if (!out->sparse) {
    for (int32_t row = 0; row < run->rows; row++) {
      for (int32_t j = 0; j < out->width; j++) out->f64[(size_t)row * out->width + j] = in->f64[(size_t)row * in->width + p->columns[j]];
    }
    return 0;
  }
  if (gv_grow(run, out, in->start[run->rows])) return GV_MEMORY;
  int32_t n = 0;
  out->start[0] = 0;
  for (int32_t row = 0; row < run->rows; row++) {
    int32_t first = n;
    for (int32_t e = in->start[row]; e < in->start[row + 1]; e++) {
      int32_t to = p->target[in->index[e]], at = n;
      if (to < 0) continue;
      for (; at > first && out->index[at - 1] > to; at--) {
        out->index[at] = out->index[at - 1];
        out->entry[at] = out->entry[at - 1];
      }
      out->index[at] = to;
      out->entry[at] = in->entry[e];
      n++;
    }
    out->start[row + 1] = n;
  }
  return 0;
}
