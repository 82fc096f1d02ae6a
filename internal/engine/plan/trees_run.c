// The stage of `trees` and `leaves`: rows in, columns made, leaves found by the walk or QuickScorer, values added.
#include <math.h>
#include <string.h>

#include "trees.h"

// The number of a category, or -1. Larger numbers than a set can hold become -1 too.
static inline double category(double x, int kind) {
  if (x != x) return (kind & GV_COLUMN_NONE) ? -1 : x;
  if ((kind & GV_COLUMN_NEGATIVE) && x < 0) return -1;
  if (!(x > -1 && x < 2147483648.0)) return -1;
  return (double)(int32_t)x;
}

static inline __attribute__((always_inline)) double column_value(double x, int kind) {
  if (!(kind & GV_COLUMN_NAN)) x = x != x ? 0 : x;
  if (kind & GV_COLUMN_ZERO) x = x >= -GV_ZERO && x <= GV_ZERO ? NAN : x;
  if (kind & GV_COLUMN_NEGATE) x = -x;
  if (kind & GV_COLUMN_SET) x = category(x, kind);
  return x;
}

// Makes a row's columns; column c goes to x[c * stride].
static inline __attribute__((always_inline)) void make_columns(const gv_forest *f, const gv_value *in, int32_t row, double *x,
                                                               int64_t stride) {
  const double *wide = in->type == GV_F64 ? in->f64 + (int64_t)row * in->width : NULL;
  const float *narrow = in->type == GV_F32 ? in->f32 + (int64_t)row * in->width : NULL;
  int32_t c = 0;
#define COLUMNS(kind)                                                                                               \
  if (wide)                                                                                                         \
    for (; c < f->kind_start[(kind) + 1]; c++) x[c * stride] = column_value(wide[f->feature[c]], kind);             \
  else                                                                                                              \
    for (; c < f->kind_start[(kind) + 1]; c++) x[c * stride] = column_value((double)narrow[f->feature[c]], kind)
  COLUMNS(0);
  COLUMNS(GV_COLUMN_NAN);
  if (c == f->columns) return;
  for (int kind = GV_COLUMN_NAN + 1; c < f->columns; kind++) COLUMNS(kind);
#undef COLUMNS
}

// One step of a lane: the next place. A leaf's is its own.
static inline __attribute__((always_inline)) int32_t step(const gv_forest *f, const gv_node *n, const double *x, int sets) {
  if (sets && n->column < 0) return n->next + !gv_in_set(f, &f->sets[(int32_t)n->t], x[~n->column]);
  return n->next + !(x[n->column] <= n->t);
}

// Walks all lanes to their leaves. Lane l reads x[l * stride ...].
static inline __attribute__((always_inline)) void walk_lanes(const gv_forest *f, const double *x, int64_t stride, int32_t *at, int sets) {
  const gv_node *node = f->node;
  int32_t a = at[0], b = at[1], c = at[2], d = at[3], e = at[4], g = at[5], h = at[6], i = at[7];
  for (;;) {
    int32_t moved = 0, to;
#define STEP(lane, l) to = step(f, &node[lane], x + (l) * stride, sets), moved |= lane ^ to, lane = to
    STEP(a, 0), STEP(b, 1), STEP(c, 2), STEP(d, 3), STEP(e, 4), STEP(g, 5), STEP(h, 6), STEP(i, 7);
#undef STEP
    if (!moved) break;
  }
  at[0] = a, at[1] = b, at[2] = c, at[3] = d, at[4] = e, at[5] = g, at[6] = h, at[7] = i;
}

// One row, eight trees at once.
static void walk_row(const gv_trees *p, const double *x, double *out) {
  const gv_forest *f = p->forest;
  for (int32_t t = 0; t < f->trees; t += GV_LANES) {
    int32_t at[GV_LANES];
    memcpy(at, f->root + t, sizeof at);
    if (f->set_count) walk_lanes(f, x, 0, at, 1);
    else walk_lanes(f, x, 0, at, 0);
    int32_t n = f->trees - t < GV_LANES ? f->trees - t : GV_LANES;
    for (int32_t i = 0; i < n; i++) gv_take_leaf(p, out, t + i, f->node_leaf[at[i]]);
  }
}

// Eight rows, tree after tree.
static void walk_rows(const gv_trees *p, const double *x, double *out) {
  const gv_forest *f = p->forest;
  for (int32_t t = 0; t < f->trees; t++) {
    int32_t at[GV_LANES];
    for (int i = 0; i < GV_LANES; i++) at[i] = f->root[t];
    if (f->set_count) walk_lanes(f, x, f->columns, at, 1);
    else walk_lanes(f, x, f->columns, at, 0);
    for (int i = 0; i < GV_LANES; i++) gv_take_leaf(p, out + (int64_t)i * p->outputs, t, f->node_leaf[at[i]]);
  }
}

static void check_rows(const gv_stage *stage, gv_run *run, const gv_value *in, int nan) {
  int64_t w = in->width;
  for (int32_t r = 0; r < run->rows; r++) {
    int bad = 0;
    // x - x is 0 for a number, and NaN for NaN and infinity.
    if (in->type == GV_F64)
      for (const double *x = in->f64 + r * w, *end = x + w; x < end; x++) bad |= !(*x - *x == 0) & !(nan & (*x != *x));
    else
      for (const float *x = in->f32 + r * w, *end = x + w; x < end; x++) bad |= !(*x - *x == 0) & !(nan & (*x != *x));
    if (bad) gv_fail(run, stage->number, r, GV_NOT_FINITE);
  }
}

int gv_trees_run(const gv_stage *stage, gv_run *run) {
  const gv_trees *p = stage->params;
  const gv_forest *f = p->forest;
  const gv_value *in = &run->values[stage->in[0]];
  double *out = run->values[stage->out].f64;
  int64_t k = p->outputs;
  if (p->accepts != GV_ANY) check_rows(stage, run, in, p->accepts == GV_NO_INFINITY);
  for (int32_t r = 0; r < run->rows; r++)
    for (int64_t j = 0; j < k; j++) out[r * k + j] = p->base ? p->base[j] : 0;

  int32_t row = 0, quick_rows = p->form == 2 ? 1 : f->quick_rows;
  int quick = f->mask_bits && p->form != 1 && run->rows >= quick_rows;
  int32_t at_once = quick ? GV_BLOCK : run->rows < GV_LANES ? 1 : GV_LANES;
  double *x = gv_alloc(&run->arena, sizeof *x * (size_t)at_once * (size_t)(f->columns + 1));
  void *words = quick ? gv_alloc(&run->arena, GV_QUICK_BYTES) : NULL;
  if (!x || (quick && !words)) return GV_MEMORY;
  while (quick && run->rows - row >= quick_rows) {
    int32_t n = run->rows - row < GV_BLOCK ? run->rows - row : GV_BLOCK;
    const uint8_t *places = gv_quick_places(f);
    for (int32_t r = 0; r < GV_BLOCK; r++) make_columns(f, in, row + (r < n ? r : n - 1), x + places[r], GV_BLOCK);
    gv_quick(p, x, n, out + row * k, words);
    row += n;
  }
  for (; run->rows - row >= GV_LANES; row += GV_LANES) {
    for (int32_t r = 0; r < GV_LANES; r++) make_columns(f, in, row + r, x + r * f->columns, 1);
    walk_rows(p, x, out + row * k);
  }
  for (; row < run->rows; row++) {
    make_columns(f, in, row, x, 1);
    walk_row(p, x, out + row * k);
  }
  if (p->divide != 1)
    for (int64_t i = 0; i < run->rows * k; i++) out[i] = p->single ? (float)(out[i] / p->divide) : out[i] / p->divide;
  return 0;
}
