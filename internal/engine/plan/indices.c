// Rows of indices: which of them are in the table, and the sums of indices_linear and fm.
#include "indices.h"

void gv_rows(const gv_indices_params *p, const gv_stage *stage, gv_run *run, const int32_t *zeros, const int32_t *rows[GV_TILE]) {
  const int32_t *x = run->values[stage->in[0]].i32;
  for (int32_t r = 0; r < run->rows; r++, x += p->fields) {
    uint32_t outside = 0;
    for (int32_t f = 0; f < p->fields; f++) outside |= (uint32_t)x[f] >= (uint32_t)p->n;
    rows[r] = outside ? zeros : x;
    if (outside) gv_fail(run, stage->number, r, GV_RANGE);
  }
}

int gv_indices_linear(const gv_stage *stage, gv_run *run) {
  const gv_indices_params *p = stage->params;
  const int32_t *rows[GV_TILE], *zeros = gv_zeros(&run->arena, sizeof(int32_t) * (size_t)p->fields);
  float *out = run->values[stage->out].f32;
  if (!zeros) return GV_MEMORY;
  gv_rows(p, stage, run, zeros, rows);
  for (int32_t r = 0; r < run->rows; r++) {
    float sum = 0;
    for (int32_t f = 0; f < p->fields; f++) sum += p->table[rows[r][f]];
    out[r] = rows[r] == zeros ? 0 : sum + p->bias;
  }
  return 0;
}

int gv_fm(const gv_stage *stage, gv_run *run) {
  const gv_indices_params *p = stage->params;
  const int32_t *rows[GV_TILE], *zeros = gv_zeros(&run->arena, sizeof(int32_t) * (size_t)p->fields);
  float *out = run->values[stage->out].f32;
  if (!zeros) return GV_MEMORY;
  gv_rows(p, stage, run, zeros, rows);
  for (int32_t r = 0; r < run->rows; r++) {
    float linear = 0, pairs = 0;
    for (int32_t j = 0; j < p->width; j++) {
      float sum = 0, squares = 0;
      for (int32_t f = 0; f < p->fields; f++) {
        float e = p->table[(size_t)rows[r][f] * (size_t)p->width + (size_t)j];
        sum += e;
        squares += e * e;
      }
      if (j == 0) linear = sum;
      if (j > 0) pairs += sum * sum - squares;
    }
    out[r] = rows[r] == zeros ? 0 : linear + 0.5f * pairs + p->bias;
  }
  return 0;
}
