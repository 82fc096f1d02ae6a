// The stages of structure and models, with their parameters. docs/plan-format.md says what they compute.
#ifndef GAVEL_OPERATORS_H
#define GAVEL_OPERATORS_H

#include "plan.h"

int gv_concat(const gv_stage *, gv_run *);  // no parameters

typedef struct {
  const int32_t *columns;  // dense: [width of out], the column that each comes from
  const int32_t *target;   // sparse: [width of in], the column that each goes to, or −1
  int32_t ascending;       // the targets ascend, so that rows stay sorted
} gv_select_params;
int gv_select(const gv_stage *, gv_run *);

typedef struct {
  const double *matrix;     // [k][w]
  const double *intercept;  // [k]
  int32_t k, w;
  int32_t finite;  // a number that is not finite fails its row
} gv_matrix_params;
int gv_linear(const gv_stage *, gv_run *);

typedef enum { GV_SIGMOID = 1, GV_BINARY, GV_SOFTMAX, GV_OVR, GV_EXPONENT, GV_HUBER } gv_link_kind;
typedef struct {
  int32_t kind;
} gv_link_params;
int gv_link(const gv_stage *, gv_run *);

#endif
