#include "operators.h"

#include <math.h>

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static void softmax(const double *x, double *y, int32_t k) {
  double most = x[0];
  for (int32_t c = 1; c < k; c++) most = x[c] > most || x[c] != x[c] ? x[c] : most;
  for (int32_t c = 0; c < k; c++) y[c] = exp(x[c] - most);
  double sum = gv_sum(y, k);
  for (int32_t c = 0; c < k; c++) y[c] /= sum;
}

static void one_versus_rest(const double *x, double *y, int32_t k) {
  for (int32_t c = 0; c < k; c++) y[c] = sigmoid(x[c]);
  double sum = gv_sum(y, k);
  for (int32_t c = 0; c < k; c++) y[c] /= sum;
}

static void shares(const double *x, double *y, int32_t k) {
  double sum = gv_sum(x, k);
  for (int32_t c = 0; c < k; c++) y[c] = sum == 0 ? 1.0 / k : x[c] / sum;
}

static void parts(const double *x, double *y, int32_t k) {
  double sum = gv_sum(x, k);
  for (int32_t c = 0; c < k; c++) y[c] = sum == 0 ? x[c] : x[c] / sum;
}

int gv_link(const gv_stage *stage, gv_run *run) {
  const gv_value *in = &run->values[stage->in[0]];
  const double *x = in->f64;
  double *y = run->values[stage->out].f64;
  size_t k = (size_t)in->width, n = (size_t)run->rows * k;
  switch ((gv_link_kind)((const gv_link_params *)stage->params)->kind) {
    case GV_SIGMOID:
      for (size_t i = 0; i < n; i++) y[i] = sigmoid(x[i]);
      break;
    case GV_BINARY:
      for (size_t i = 0; i < n; i++) {
        double p = sigmoid(x[i]);
        y[2 * i] = 1 - p;
        y[2 * i + 1] = p;
      }
      break;
    case GV_SOFTMAX:
      for (size_t i = 0; i < n; i += k) softmax(x + i, y + i, in->width);
      break;
    case GV_OVR:
      for (size_t i = 0; i < n; i += k) one_versus_rest(x + i, y + i, in->width);
      break;
    case GV_EXPONENT:
      for (size_t i = 0; i < n; i++) y[i] = exp(x[i]);
      break;
    case GV_HUBER:
      for (size_t i = 0; i < n; i++) {
        double clipped = x[i] < -1 ? -1 : x[i] > 1 ? 1 : x[i];
        y[i] = (clipped + 1) / 2;
      }
      break;
    case GV_SHARES:
      for (size_t i = 0; i < n; i += k) shares(x + i, y + i, in->width);
      break;
    case GV_PARTS:
      for (size_t i = 0; i < n; i += k) parts(x + i, y + i, in->width);
      break;
  }
  return 0;
}

// As NumPy, NaN is greater than every number.
int gv_argmax(const gv_stage *stage, gv_run *run) {
  const gv_value *in = &run->values[stage->in[0]];
  double *out = run->values[stage->out].f64;
  for (int32_t row = 0; row < run->rows; row++) {
    const double *x = in->f64 + (size_t)row * in->width;
    int32_t best = in->width == 1 && x[0] > 0;
    for (int32_t c = 1; c < in->width; c++) {
      if (!(x[c] <= x[best]) && x[best] == x[best]) best = c;
    }
    out[row] = best;
  }
  return 0;
}

int gv_sigmoid_calibration(const gv_stage *stage, gv_run *run) {
  const gv_calibration_params p = *(const gv_calibration_params *)stage->params;
  const double *in = run->values[stage->in[0]].f64;
  double *out = run->values[stage->out].f64;
  for (int32_t row = 0; row < run->rows; row++) out[row] = 1 / (1 + exp(p.a * in[row] + p.b));
  return 0;
}

// As numpy.interp: slope · (x − x₀) + y₀.
int gv_isotonic(const gv_stage *stage, gv_run *run) {
  const gv_isotonic_params *p = stage->params;
  const double *in = run->values[stage->in[0]].f64;
  double *out = run->values[stage->out].f64;
  int32_t last = p->n - 1;
  for (int32_t row = 0; row < run->rows; row++) {
    double x = in[row];
    if (x != x) {
      out[row] = x;
    } else if (x <= p->x[0]) {
      out[row] = p->y[0];
    } else if (x >= p->x[last]) {
      out[row] = p->y[last];
    } else {
      int32_t at = 0;
      for (int32_t n = last; n > 1;) {  // the last point that is ≤ x lies in [at, at + n)
        int32_t half = n / 2;
        at += p->x[at + half] <= x ? half : 0;
        n -= half;
      }
      double slope = (p->y[at + 1] - p->y[at]) / (p->x[at + 1] - p->x[at]);
      out[row] = x == p->x[at] ? p->y[at] : slope * (x - p->x[at]) + p->y[at];
    }
  }
  return 0;
}
