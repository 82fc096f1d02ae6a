#include <math.h>
#include <string.h>

#include "text.h"

int gv_tfidf(const gv_stage *stage, gv_run *run) {
  const gv_tfidf_params *p = stage->params;
  const gv_value *in = &run->values[stage->in[0]];
  gv_value *out = &run->values[stage->out];
  int32_t n = in->start[run->rows];
  if (gv_grow(run, out, n)) return GV_MEMORY;
  memcpy(out->start, in->start, sizeof(int32_t) * (size_t)(run->rows + 1));
  if (n > 0) memcpy(out->index, in->index, sizeof(int32_t) * (size_t)n);
  for (int32_t e = 0; e < n; e++) {
    double x = in->entry[e];
    if (p->sublinear) x = x == 1 ? 1 : log(x) + 1;
    out->entry[e] = p->idf ? x * p->idf[in->index[e]] : x;
  }
  return 0;
}
