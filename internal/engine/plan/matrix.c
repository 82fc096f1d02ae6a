#include <math.h>

#include "operators.h"

int gv_linear(const gv_stage *stage, gv_run *run) {
  const gv_matrix_params *p = stage->params;
  const gv_value *in = &run->values[stage->in[0]];
  double *out = run->values[stage->out].f64;
  for (int32_t row = 0; row < run->rows; row++) {
    int32_t from = in->sparse ? in->start[row] : 0, to = in->sparse ? in->start[row + 1] : p->w;
    const double *x = in->sparse ? in->entry : in->f64 + (size_t)row * p->w;
    if (p->finite) {
      for (int32_t e = from; e < to; e++) {
        if (!isfinite(x[e])) gv_fail(run, stage->number, row, GV_NOT_FINITE);
      }
    }
    for (int32_t c = 0; c < p->k; c++) {
      const double *coef = p->matrix + (size_t)c * p->w;
      double sum = 0;
      for (int32_t e = from; e < to; e++) sum += coef[in->sparse ? in->index[e] : e] * x[e];
      out[(size_t)row * p->k + c] = sum + p->intercept[c];
    }
  }
  return 0;
}
