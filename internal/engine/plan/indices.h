// The stages that score rows of indices: indices_linear, fm and deepfm, pytrain's own models. docs/plan-format.md says what they
// compute. They add in float32. A row with an index outside its table fails alone, by GV_RANGE, and gives 0.
#ifndef GAVEL_INDICES_H
#define GAVEL_INDICES_H

#include "plan.h"

// A table of weights; its first column is linear, the others are embeddings. Also the parameters of indices_linear and fm.
typedef struct {
  const float *table;  // [n][width]
  int32_t n, width;    // n ≥ 1, width ≥ 1
  int32_t fields;      // indices a row
  float bias;
} gv_indices_params;
int gv_indices_linear(const gv_stage *, gv_run *);
int gv_fm(const gv_stage *, gv_run *);

typedef struct {
  const float *kernel;  // [in][out]
  const float *bias;    // [out]
  int32_t in, out;
} gv_layer;

typedef struct {
  gv_indices_params indices;
  const gv_layer *layers;
  int32_t layer_count;  // ≥ 1
  const float *head;    // [2 · width + out of the last layer]
} gv_deepfm_params;
int gv_deepfm(const gv_stage *, gv_run *);

// gv_rows gives where each row of the run begins; a row with an index outside the table fails, and is one of zeros. zeros: at least
// `fields` zeros.
void gv_rows(const gv_indices_params *, const gv_stage *, gv_run *, const int32_t *zeros, const int32_t *rows[GV_TILE]);

#endif
