// deepfm: sums and sums of squares of the table's rows, an MLP over all of them, and one product of both with the head.
#include <string.h>

#include "indices.h"

int gv_deepfm(const gv_stage *stage, gv_run *run) {
  const gv_deepfm_params *p = stage->params;
  const gv_indices_params *of = &p->indices;
  const int32_t *rows[GV_TILE], *zeros = gv_zeros(&run->arena, sizeof(int32_t) * (size_t)of->fields);
  float *out = run->values[stage->out].f32;
  size_t width = (size_t)of->width, most = (size_t)p->layers[0].in;
  for (int32_t i = 0; i < p->layer_count; i++) most = (size_t)p->layers[i].out > most ? (size_t)p->layers[i].out : most;
  float *sums = gv_take(&run->arena, sizeof(float) * 2 * width);
  float *x = gv_take(&run->arena, sizeof(float) * most), *y = gv_take(&run->arena, sizeof(float) * most);
  if (!zeros || !sums || !x || !y) return GV_MEMORY;
  gv_rows(of, stage, run, zeros, rows);
  for (int32_t r = 0; r < run->rows; r++) {
    float *squares = sums + width;
    memset(sums, 0, sizeof(float) * 2 * width);
    for (int32_t f = 0; f < of->fields; f++) {
      const float *e = of->table + (size_t)rows[r][f] * width;
      for (size_t j = 0; j < width; j++) {
        sums[j] += e[j];
        squares[j] += e[j] * e[j];
        x[(size_t)f * width + j] = e[j];
      }
    }
    float logit = 0;
    for (size_t j = 0; j < width; j++) logit += sums[j] * p->head[j];
    for (size_t j = 0; j < width; j++) logit += (sums[j] * sums[j] - squares[j]) * p->head[width + j];
    for (int32_t i = 0; i < p->layer_count; i++) {
      const gv_layer *layer = &p->layers[i];
      memset(y, 0, sizeof(float) * (size_t)layer->out);
      for (int32_t k = 0; k < layer->in; k++) {
        const float *w = layer->kernel + (size_t)k * (size_t)layer->out;
        for (int32_t c = 0; c < layer->out; c++) y[c] += x[k] * w[c];
      }
      for (int32_t c = 0; c < layer->out; c++) {
        float h = y[c] + layer->bias[c];
        x[c] = h < 0 ? 0 : h;
      }
    }
    int32_t last = p->layers[p->layer_count - 1].out;
    for (int32_t c = 0; c < last; c++) logit += x[c] * p->head[2 * width + (size_t)c];
    out[r] = rows[r] == zeros ? 0 : logit + of->bias;
  }
  return 0;
}
