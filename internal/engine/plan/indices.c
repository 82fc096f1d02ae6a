// Rows of indices: which of them are in the table, and their sum for indices_linear.
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

// Every eighth field is added to one of eight sums.
static float sum_of(const float *table, const int32_t *x, int32_t fields) {
  float sum[GV_VEC] = {0};
  int32_t f = 0;
  for (; f + GV_VEC <= fields; f += GV_VEC) {
    for (int lane = 0; lane < GV_VEC; lane++) sum[lane] += table[x[f + lane]];
  }
  for (int lane = 0; f < fields; f++, lane++) sum[lane] += table[x[f]];
  for (int lane = 0; lane < 4; lane++) sum[lane] += sum[lane + 4];
  return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

int gv_indices_linear(const gv_stage *stage, gv_run *run) {
  const gv_indices_params *p = stage->params;
  const int32_t *rows[GV_TILE], *zeros = gv_zeros(&run->arena, sizeof(int32_t) * (size_t)p->fields);
  float *out = run->values[stage->out].f32;
  if (!zeros) return GV_MEMORY;
  gv_rows(p, stage, run, zeros, rows);
  for (int32_t f = 0; f < p->fields; f++) __builtin_prefetch(p->table + rows[0][f]);
  for (int32_t r = 0; r < run->rows; r++) {
    if (r + 1 < run->rows) {
      for (int32_t f = 0; f < p->fields; f++) __builtin_prefetch(p->table + rows[r + 1][f]);
    }
    out[r] = rows[r] == zeros ? 0 : sum_of(p->table, rows[r], p->fields) + p->bias;
  }
  return 0;
}
