// Ensembles of decision trees: the operators `trees` and `leaves` of docs/plan-format.md.
//
// gv_forest_build checks the arrays of a plan and derives from them a gv_forest, in which every test has one form: `x <= t`,
// else right, where NaN is never `<=`. Whatever else a plan says of a node is moved into the column that the node reads:
//
//   lt                        x < t is x <= the number before t
//   a missing value goes left the children change places, and -x <= the number before -t is asked of the negated column
//   NaN is 0, zero is missing the column has 0 or NaN in place of the value
//   categorical               the column has the whole number of the category; the node asks whether its set has it
//
// Two forms of the same trees find the leaves. The walk steps through eight trees of one row, or eight rows of one tree, at
// once and without branches: a leaf leads to itself. QuickScorer (Lucchese et al., SIGIR 2015) takes 16 rows: each tree has a
// word of bits a row, one for each leaf from left to right. The nodes are taken by column, their thresholds ascending, up to
// the greatest value of the 16 rows; a row that a node sends right loses the bits of the leaves on the left. The lowest bit
// that is left is the row's leaf. Both forms name leaves by the same numbers, and one function adds their values in the order
// of the trees. So the sum has the same bits whichever form found the leaves.
#ifndef GAVEL_PLAN_TREES_H
#define GAVEL_PLAN_TREES_H

#include "plan.h"

// Flags of a node, in the plan.
enum {
  GV_MISSING_LEFT = 1,
  GV_ZERO_MISSING = 2,
  GV_NAN_MISSING = 4,
  GV_CATEGORICAL = 8,
  GV_NO_NEGATIVE = 16,  // categorical: no negative value is in the set, not even one above -1
  GV_NODE_FLAGS = 31,
};

// What gv_forest_build reads. Nothing of it has been checked but that the arrays have these lengths.
typedef struct {
  int32_t trees, nodes, leaf_rows, words;
  int32_t value_width;   // v: values of a leaf row
  int32_t width;         // of the input
  const int32_t *roots;  // [trees]
  const int32_t *feature, *left, *right, *leaf;  // [nodes]
  const double *threshold;                       // [nodes]
  const uint8_t *flags;                          // [nodes]
  const int32_t *bit_start, *bit_count;          // [nodes], or NULL if no node is categorical
  const uint32_t *bits;                          // [words]
  const double *values;                          // [leaf_rows, value_width]
  uint8_t less;                                  // `lt` instead of `le`
  uint8_t nan_false;                             // NaN, where it is not missing, compares as false, instead of being 0
} gv_forest_source;

// Column flags: how a column is made from a value of the row.
enum {
  GV_COLUMN_NAN = 1,       // NaN stays; else it is 0
  GV_COLUMN_ZERO = 2,      // |x| <= GV_ZERO becomes NaN
  GV_COLUMN_NEGATE = 4,    // -x
  GV_COLUMN_NEGATIVE = 8,  // of a set: -1 if x < 0; else it is truncated first
  GV_COLUMN_NONE = 16,     // of a set: NaN becomes -1
  GV_COLUMN_SET = 32,      // the whole number of a category, or -1, which is in no set
  GV_COLUMN_KINDS = 64,
};

// LightGBM's kZeroThreshold: what is not further from 0 is 0.
#define GV_ZERO 1.0000000180025095e-35

// A node of the walk. The children are at next and next + 1. A leaf has t = NaN and next = its own number - 1.
typedef struct {
  double t;        // of a set: its number
  int32_t column;  // of a set: ~column
  int32_t next;
} gv_node;

typedef struct {
  int32_t start, words;  // in gv_forest.bits
  uint8_t missing_left;
} gv_set;

#define GV_LANES 8   // of the walk
#define GV_BLOCK 16  // rows of QuickScorer
#define GV_QUICK_BYTES 16384  // of words of a group: half of the nearest cache

typedef struct {
  int32_t trees, nodes, leaves;
  int32_t value_width;
  // The columns that nodes read, ordered by kind, then feature.
  int32_t columns;
  int32_t *feature;                         // [columns]
  int32_t kind_start[GV_COLUMN_KINDS + 1];  // columns of each kind; those of sets are the last
  uint32_t *bits;
  gv_set *sets;
  int32_t set_count;
  // The walk.
  gv_node *node;
  int32_t *node_leaf;  // [nodes]: number of the leaf, in this order: trees, in each from left to right
  int32_t *root;       // [trees rounded up to GV_LANES]; the last tree is repeated
  // Leaves, by number.
  double *value;       // [leaves], if value_width is 1
  int32_t *leaf_row;   // [leaves]: row of the values
  int32_t *ordinal;    // [leaves]: number within the tree, in the order of the plan's nodes
  int32_t *leaf_first; // [trees]: of the tree
  // QuickScorer, if mask_bits is not 0. Groups of trees, so that the words of a group stay in the nearest cache.
  int32_t mask_bits;     // 32 or 64: no tree has more leaves
  int32_t group;         // trees of a group
  int32_t groups;
  int32_t *test_start;   // [groups * columns + 1]
  double *test_t;        // thresholds of a group's column, ascending, NaN first; of sets: their numbers
  uint32_t *test_tree;   // within the group
  void *test_keep;       // uint32 or uint64: the leaves that a row keeps which goes right
  int32_t quick_rows;    // QuickScorer runs blocks of at least so many rows
  int64_t bytes;
  void *blocks[24];
  int32_t block_count;
} gv_forest;

// gv_forest_check returns 1, or 0 and a sentence in why if the source is not valid. gv_forest_build returns NULL and a sentence
// then, or if there is no memory. A forest keeps nothing of its source.
int gv_forest_check(const gv_forest_source *, char *why, size_t why_size);
gv_forest *gv_forest_build(const gv_forest_source *, char *why, size_t why_size);
void gv_forest_free(gv_forest *);

// What happens to leaves.
typedef enum {
  GV_SUM_ONE = 0,  // one value a leaf, one column of output
  GV_SUM_COLUMNS,  // one value a leaf, added to the tree's column
  GV_SUM_ROWS,     // a row of values a leaf
  GV_NUMBERS,      // `leaves`
} gv_leaf_use;

typedef enum { GV_ANY = 0, GV_NO_INFINITY, GV_FINITE } gv_accepts;

// Parameters of a stage.
typedef struct {
  const gv_forest *forest;
  const double *values;    // [leaf_rows, outputs]; GV_SUM_ROWS reads them
  const int32_t *columns;  // [trees], each in [0, outputs); GV_SUM_COLUMNS
  const double *base;      // [outputs], or NULL
  double divide;           // 1: not
  int32_t outputs;         // k; the number of trees with GV_NUMBERS
  uint8_t use;             // gv_leaf_use
  uint8_t single;          // each sum is rounded to float32
  uint8_t accepts;         // gv_accepts: rows with other numbers fail with GV_NOT_FINITE
  uint8_t form;            // 0: by the number of rows; 1: the walk; 2: QuickScorer, where there is one. For tests.
} gv_trees;

// gv_trees_run is the stage of both operators. Its input is dense float64 or float32, its output dense float64.
int gv_trees_run(const gv_stage *, gv_run *);

// Adds the values of a tree's leaf to a row's sums, or writes down its number.
static inline __attribute__((always_inline)) void gv_take_leaf(const gv_trees *p, double *out, int32_t tree, int32_t leaf) {
  const gv_forest *f = p->forest;
  double *sum = out, sum_of;
  switch (p->use) {
    case GV_NUMBERS:
      out[tree] = f->ordinal[leaf];
      return;
    case GV_SUM_ROWS: {
      const double *row = p->values + (int64_t)f->leaf_row[leaf] * p->outputs;
      for (int32_t j = 0; j < p->outputs; j++) {
        sum_of = out[j] + row[j];
        out[j] = p->single ? (float)sum_of : sum_of;
      }
      return;
    }
    case GV_SUM_COLUMNS:
      sum = out + p->columns[tree];
      break;
    default:
      break;
  }
  // A sum of two float32 that is rounded to float64 first and then to float32 is the sum in float32.
  sum_of = *sum + f->value[leaf];
  *sum = p->single ? (float)sum_of : sum_of;
}

// gv_quick scores up to GV_BLOCK rows with QuickScorer. x: [columns][GV_BLOCK], row r in place gv_quick_places(f)[r]; out:
// rows of p->outputs, which hold the base; words: GV_QUICK_BYTES, aligned to GV_ALIGN. Rows from `rows` on are padding.
void gv_quick(const gv_trees *p, const double *x, int32_t rows, double *out, void *words);
const uint8_t *gv_quick_places(const gv_forest *f);

// gv_in_set says whether a categorical node sends the column's value left.
static inline int gv_in_set(const gv_forest *f, const gv_set *s, double x) {
  if (x != x) return s->missing_left;
  if (x < 0 || x >= 32.0 * s->words) return 0;
  uint32_t code = (uint32_t)x;
  return f->bits[s->start + (int32_t)(code >> 5)] >> (code & 31) & 1;
}

#endif
