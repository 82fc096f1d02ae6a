#include <math.h>

#include "operators.h"

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

int gv_link(const gv_stage *stage, gv_run *run) {
  const gv_value *in = &run->values[stage->in[0]];
  int32_t kind = ((const gv_link_params *)stage->params)->kind, k = in->width;
  for (int32_t row = 0; row < run->rows; row++) {
    const double *x = in->f64 + (size_t)row * k;
    double *y = run->values[stage->out].f64 + (size_t)row * (kind == GV_BINARY ? 2 : k), most = x[0], sum = 0;
    if (kind == GV_BINARY) {
      y[1] = sigmoid(x[0]);
      y[0] = 1 - y[1];
      continue;
    }
    for (int32_t c = 1; c < k; c++) most = x[c] > most ? x[c] : most;
    for (int32_t c = 0; c < k; c++) {
      switch (kind) {
        case GV_SOFTMAX: y[c] = exp(x[c] - most); break;
        case GV_EXPONENT: y[c] = exp(x[c]); break;
        case GV_HUBER: y[c] = ((x[c] < -1 ? -1 : x[c] > 1 ? 1 : x[c]) + 1) / 2; break;
        default: y[c] = sigmoid(x[c]);
      }
      sum += y[c];
    }
    if (kind == GV_SOFTMAX || kind == GV_OVR) {
      for (int32_t c = 0; c < k; c++) y[c] /= sum;
    }
  }
  return 0;
}
