// The stages of structure, numbers, categories and models, with their parameters. docs/plan-format.md says what they compute.
//
// Each parameter was checked when its plan was loaded: indices are in range, sizes agree with the widths of the values. A stage
// gives a row the same bits whatever the other rows of the run are.
#ifndef GAVEL_OPERATORS_H
#define GAVEL_OPERATORS_H

#include "dictionary.h"
#include "plan.h"

// Structure. The parameters of concat, dense, cast and mean are NULL.

int gv_concat(const gv_stage *, gv_run *);
int gv_dense(const gv_stage *, gv_run *);
int gv_cast(const gv_stage *, gv_run *);
int gv_mean(const gv_stage *, gv_run *);

typedef struct {
  int32_t nan;  // NaN is let through
} gv_finite_params;
int gv_finite(const gv_stage *, gv_run *);

typedef struct {
  const int32_t *columns;  // dense: [width of out], the column that each comes from
  const int32_t *target;   // sparse: [width of in], the column that each goes to, or −1
  int32_t ascending;       // the targets ascend, so that rows stay sorted
} gv_select_params;
int gv_select(const gv_stage *, gv_run *);
int gv_select_text(const gv_stage *, gv_run *);

// Numbers.

typedef struct {
  const double *value;  // [width]
} gv_columns_params;    // add, sub, mul, div, impute
int gv_add(const gv_stage *, gv_run *);
int gv_sub(const gv_stage *, gv_run *);
int gv_mul(const gv_stage *, gv_run *);
int gv_div(const gv_stage *, gv_run *);
int gv_impute(const gv_stage *, gv_run *);

typedef struct {
  double low, high;
} gv_clip_params;
int gv_clip(const gv_stage *, gv_run *);

int gv_missing(const gv_stage *, gv_run *);  // no parameters

typedef struct {
  double value;
} gv_number_params;  // equal_missing, binarize
int gv_equal_missing(const gv_stage *, gv_run *);
int gv_binarize(const gv_stage *, gv_run *);

typedef enum { GV_L1 = 1, GV_L2, GV_MAX } gv_norm;
typedef struct {
  int32_t norm;
} gv_normalize_params;
int gv_normalize(const gv_stage *, gv_run *);

typedef enum {
  GV_LOG = 1, GV_LOG1P, GV_LOG2, GV_LOG10, GV_EXP, GV_EXPM1, GV_SQRT, GV_CBRT, GV_SQUARE, GV_ABS, GV_NEGATIVE, GV_RECIPROCAL,
  GV_SIGN, GV_SIN, GV_COS, GV_TANH, GV_FLOOR, GV_CEIL, GV_RINT,
} gv_function_name;
typedef struct {
  int32_t name;
} gv_function_params;
int gv_function(const gv_stage *, gv_run *);

typedef struct {
  const double *edges;   // of column j: [start[j], start[j + 1]), ascending
  const int32_t *start;  // [width + 1]
} gv_bins_params;
int gv_bins(const gv_stage *, gv_run *);

// Output c is the product of output base[c], or of 1 where that is −1, and the input columns factor[start[c]] … factor[start[c + 1] − 1].
typedef struct {
  const int32_t *base;  // [width of out], each less than c
  const int32_t *start;  // [width of out + 1]
  const int32_t *factor;
} gv_polynomial_params;
int gv_polynomial(const gv_stage *, gv_run *);

// Categories.

typedef struct {
  gv_dictionary texts;  // of text
  const double *keys;   // of float64: [n], ascending
  int32_t n;            // keys that are not NaN
  int32_t nan;          // the code of NaN is codes[n]
  const double *codes;
  double unknown;
  int32_t refuse;  // a value that is not known fails its row
} gv_lookup_params;
int gv_lookup_text(const gv_stage *, gv_run *);
int gv_lookup_number(const gv_stage *, gv_run *);

typedef struct {
  const int32_t *start;  // [width of in + 1]: the first output column of each
} gv_expand_params;
int gv_expand(const gv_stage *, gv_run *);

typedef struct {
  const double *table;  // [n][width of out]
  int32_t n;
} gv_gather_params;
int gv_gather(const gv_stage *, gv_run *);  // a number that is no row of the table is GV_RANGE

// Models.

typedef struct {
  const double *matrix;      // [k][w]; or the values of `listed`
  const uint64_t *listed;    // which columns have a coefficient; NULL: all. Only of k = 1 and sparse rows
  int32_t first;             // the column of `listed` that column 0 of the row is
  const double *transposed;  // [w][gv_stride(k)], zeros behind k; NULL where k < GV_TRANSPOSED
  const double *intercept;   // [k], or NULL
  const double *norms;       // [k]: c·c of distances and nearest
  int32_t k, w;
  int32_t finite;            // a number that is not finite fails its row
  int32_t fused;             // sparse rows are added up as dense ones
} gv_matrix_params;
int gv_linear(const gv_stage *, gv_run *);  // and project
int gv_distances(const gv_stage *, gv_run *);
int gv_nearest(const gv_stage *, gv_run *);

// gv_listed is where a column's coefficient is among the values: at 0, where 0 is, if it is not listed. A word of `listed` is of 32
// columns: the low bits say which are listed, and the high ones where the values of these begin.
static inline uint32_t gv_listed(const uint64_t *listed, uint32_t column) {
  uint64_t word = listed[column / 32];
  uint32_t bits = (uint32_t)word, bit = column % 32;
  uint32_t before = (uint32_t)__builtin_popcount(bits & ((UINT32_C(1) << bit) - 1));
  return ((uint32_t)(word >> 32) + before) & -(bits >> bit & 1);
}

// gv_listed_fault checks `words` words for `width` columns, and that they list the values from 1 to n − 1, each once. It returns NULL,
// or what is wrong.
const char *gv_listed_fault(const uint64_t *listed, int64_t words, int64_t width, const double *values, int64_t n);

// A linear model in parts, which rewriting makes: the intercept and the sum of products with several values.
typedef struct {
  gv_matrix_params matrix;  // k and w are those of the part; of numbers: only k
  const double *table;      // of numbers of rows of a table, [start[width of in]][k], or NULL
  const int32_t *start;     // [width of in + 1]: the first row of each column; a number outside of its rows adds nothing
} gv_part;
typedef struct {
  const gv_part *parts;  // [inputs]
  const double *intercept;
  int32_t k;
} gv_parts_params;
int gv_parts(const gv_stage *, gv_run *);

#define GV_LANES 4
#define GV_TRANSPOSED 2
static inline int32_t gv_stride(int32_t k) { return (k + GV_LANES - 1) / GV_LANES * GV_LANES; }
void gv_transpose(const double *matrix, int32_t k, int32_t w, double *transposed);
void gv_squares(const double *matrix, int32_t k, int32_t w, double *norms);

typedef enum { GV_SIGMOID = 1, GV_BINARY, GV_SOFTMAX, GV_OVR, GV_EXPONENT, GV_HUBER, GV_SHARES, GV_PARTS } gv_link_kind;
typedef struct {
  int32_t kind;
} gv_link_params;
int gv_link(const gv_stage *, gv_run *);
int gv_argmax(const gv_stage *, gv_run *);  // no parameters

typedef struct {
  double a, b;
} gv_calibration_params;
int gv_sigmoid_calibration(const gv_stage *, gv_run *);

typedef struct {
  const double *x, *y;  // [n], x ascending
  int32_t n;            // ≥ 1
} gv_isotonic_params;
int gv_isotonic(const gv_stage *, gv_run *);

// Shared between the files above.

// gv_sum adds n numbers in NumPy's order: eight sums side by side in blocks of up to 128.
double gv_sum(const double *x, int32_t n);

// gv_like gives out the rows of a sparse value: start and index; the caller writes entry. 0, or GV_MEMORY.
int gv_like(gv_run *, gv_value *out, const gv_value *in);

#endif
