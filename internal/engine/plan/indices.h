// The stages that score rows of indices: indices_linear, fm and deepfm, pytrain's own models. docs/plan-format.md says what they
// compute. They add in float32. A row with an index outside its table fails alone, by GV_RANGE, and gives 0.
#ifndef GAVEL_INDICES_H
#define GAVEL_INDICES_H

#include "plan.h"

#define GV_VEC 8     // float32 values of a vector
#define GV_PANEL 16  // columns of a kernel that lie together
#define GV_GROUP 64  // columns of a group of fields, at least

static inline size_t gv_padded(size_t n, size_t to) { return (n + to - 1) / to * to; }

// A table of weights; its first column is linear, the others are embeddings. Also the parameters of indices_linear.
typedef struct {
  const float *table;  // [n][width]
  int32_t n, width;    // n ≥ 1, width ≥ 1
  int32_t fields;      // indices a row
  float bias;
} gv_indices_params;
int gv_indices_linear(const gv_stage *, gv_run *);

// A layer of the MLP. Columns are padded to whole panels with zeros.
typedef struct {
  const float *packed;  // [panels][in][GV_PANEL]
  const float *bias;    // [panels · GV_PANEL]
  int32_t in, out;
} gv_layer;

// Fields are taken in groups, in their order. Columns `skip` to `width` of the table are what the first layer reads.
typedef struct {
  gv_indices_params indices;
  int32_t skip;   // 0 or 1
  int32_t group;  // fields a group, but the last
  const gv_layer *layers;
  int32_t layer_count;  // 0: fm
  // Of what is added up of the fields, [gv_interactions(width)]: of S and S² − Q of the linear column, then of each GV_VEC other columns
  // of S and as many of S² − Q, zeros behind. Then of the last layer, its panels · GV_PANEL.
  const float *head;
} gv_deepfm_params;
int gv_deepfm(const gv_stage *, gv_run *);  // and fm

// gv_interactions is how many values the sums of the fields take.
static inline size_t gv_interactions(int32_t width) { return GV_VEC + 2 * gv_padded((size_t)(width - 1), GV_VEC); }

// gv_head arranges head[2 · width + last] as gv_deepfm_params has it. to is zeroed.
void gv_head(const float *head, int32_t width, int32_t last, float *to);

// gv_fields_of_group is how many fields a group has where each has so many columns.
static inline int32_t gv_fields_of_group(int32_t columns) { return columns < GV_GROUP ? (GV_GROUP + columns - 1) / columns : 1; }

// gv_first_unused says whether all of kernel[in][out]'s rows 0, width, 2 · width … are zero.
int gv_first_unused(const float *kernel, int32_t in, int32_t out, int32_t width);

// gv_pack packs kernel[in][out] for a layer, without its rows 0, width, 2 · width … if width > 0. packed is zeroed.
void gv_pack(const float *kernel, int32_t in, int32_t out, int32_t width, float *packed);

// gv_rows gives where each row of the run begins. A row with an index outside the table fails, and is `zeros` then: as many zeros as
// a row has indices.
void gv_rows(const gv_indices_params *, const gv_stage *, gv_run *, const int32_t *zeros, const int32_t *rows[GV_TILE]);

#endif
