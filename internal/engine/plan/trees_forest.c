// From the arrays of a plan to a gv_forest: checks, then the columns, the walk's nodes and QuickScorer's tests.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trees.h"

typedef struct {
  const gv_forest_source *from;
  gv_forest *to;
  char *why;
  size_t why_size;
  int32_t *tree;       // of each node
  uint64_t *keys;      // of the columns, ascending: kind, then feature
  int64_t *depth_sum;  // of each tree: depths of its leaves
} build;

static int refuse(build *b, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(b->why, b->why_size, format, arguments);
  va_end(arguments);
  return 0;
}

// Memory of the forest, or NULL.
static void *take(gv_forest *f, int64_t count, size_t size) {
  size_t bytes = ((size_t)count * size + GV_ALIGN) & ~(size_t)(GV_ALIGN - 1);
  void *block = aligned_alloc(GV_ALIGN, bytes);
  if (!block) return NULL;
  memset(block, 0, bytes);
  f->blocks[f->block_count++] = block;
  f->bytes += (int64_t)bytes;
  return block;
}

void gv_forest_free(gv_forest *f) {
  if (!f) return;
  for (int32_t i = 0; i < f->block_count; i++) free(f->blocks[i]);
  free(f);
}

static inline int is_leaf(const gv_forest_source *s, int32_t node) { return s->feature[node] < 0; }

// A missing value exists for this node, and it goes left.
static inline int missing_left(const gv_forest_source *s, int32_t node) {
  uint8_t flags = s->flags[node];
  return (flags & GV_MISSING_LEFT) && (flags & (GV_ZERO_MISSING | GV_NAN_MISSING));
}

static int check_node(build *b, int32_t node) {
  const gv_forest_source *s = b->from;
  if (s->flags[node] & ~GV_NODE_FLAGS) return refuse(b, "node %d has unknown flags %d", node, s->flags[node]);
  if (s->feature[node] == -1) {
    if (s->leaf[node] < 0 || s->leaf[node] >= s->leaf_rows)
      return refuse(b, "leaf %d is row %d of %d rows of values", node, s->leaf[node], s->leaf_rows);
    return 1;
  }
  if (s->feature[node] < 0 || s->feature[node] >= s->width)
    return refuse(b, "node %d reads column %d of %d", node, s->feature[node], s->width);
  if (s->leaf[node] != -1) return refuse(b, "node %d has children and the leaf %d", node, s->leaf[node]);
  const int32_t children[2] = {s->left[node], s->right[node]};
  for (int i = 0; i < 2; i++) {
    int32_t child = children[i];
    if (child <= node || child >= s->nodes)
      return refuse(b, "node %d has the child %d, which is not in (%d, %d)", node, child, node, s->nodes);
    if (b->tree[child] >= 0) return refuse(b, "node %d is a root or the child of two nodes", child);
    b->tree[child] = b->tree[node];
  }
  if (s->flags[node] & GV_CATEGORICAL) {
    if (!s->bit_start) return refuse(b, "node %d is categorical, and there are no sets", node);
    int64_t start = s->bit_start[node], count = s->bit_count[node];
    if (start < 0 || count < 0 || start + count > s->words)
      return refuse(b, "the set of node %d is words %lld to %lld of %d", node, (long long)start, (long long)(start + count), s->words);
  } else if (isnan(s->threshold[node])) {
    return refuse(b, "the threshold of node %d is NaN", node);
  }
  if (s->nan_false && (s->flags[node] & (GV_ZERO_MISSING | GV_NAN_MISSING)) == GV_ZERO_MISSING)
    return refuse(b, "at node %d zero is missing, and NaN compares as false", node);
  return 1;
}

// Checks all that later code relies on. Afterwards b->tree is the tree of each node.
static int check(build *b) {
  const gv_forest_source *s = b->from;
  if (s->trees < 1 || s->nodes < s->trees || s->leaf_rows < 1 || s->value_width < 1 || s->width < 1)
    return refuse(b, "%d trees of %d nodes, %d rows of %d values, %d columns", s->trees, s->nodes, s->leaf_rows, s->value_width, s->width);
  for (int32_t i = 0; i < s->nodes; i++) b->tree[i] = -1;
  for (int32_t t = 0; t < s->trees; t++) {
    int32_t root = s->roots[t];
    if (root < 0 || root >= s->nodes) return refuse(b, "the root of tree %d is node %d of %d", t, root, s->nodes);
    if (b->tree[root] >= 0) return refuse(b, "node %d is the root of two trees", root);
    b->tree[root] = t;
  }
  for (int32_t i = 0; i < s->nodes; i++) {
    if (b->tree[i] < 0) return refuse(b, "node %d is in no tree", i);
    if (!check_node(b, i)) return 0;
  }
  return 1;
}

// --- columns

static uint64_t column_key(const gv_forest_source *s, int32_t node) {
  uint8_t flags = s->flags[node];
  uint64_t kind = 0;
  if (flags & GV_CATEGORICAL) {
    kind |= GV_COLUMN_SET;
    if (flags & GV_NO_NEGATIVE) kind |= GV_COLUMN_NEGATIVE;
    if (s->nan_false && !(flags & GV_NAN_MISSING)) kind |= GV_COLUMN_NONE | GV_COLUMN_NAN;
  } else if (missing_left(s, node)) {
    kind |= GV_COLUMN_NEGATE;
  }
  if (s->nan_false || (flags & GV_NAN_MISSING)) kind |= GV_COLUMN_NAN;
  if (flags & GV_ZERO_MISSING) kind |= GV_COLUMN_ZERO;
  return kind << 32 | (uint32_t)s->feature[node];
}

static int by_key(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static int32_t column_of(const build *b, uint64_t key) {
  int32_t low = 0, high = b->to->columns - 1;
  while (low < high) {
    int32_t middle = low + (high - low) / 2;
    if (b->keys[middle] < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

static int build_columns(build *b) {
  const gv_forest_source *s = b->from;
  gv_forest *f = b->to;
  int32_t tests = 0;
  for (int32_t i = 0; i < s->nodes; i++)
    if (!is_leaf(s, i)) {
      b->keys[tests++] = column_key(s, i);
      f->set_count += (s->flags[i] & GV_CATEGORICAL) != 0;
    }
  qsort(b->keys, (size_t)tests, sizeof *b->keys, by_key);
  for (int32_t i = 0; i < tests; i++)
    if (i == 0 || b->keys[i] != b->keys[i - 1]) b->keys[f->columns++] = b->keys[i];
  f->feature = take(f, f->columns + 1, sizeof *f->feature);
  f->bits = take(f, s->words + 1, sizeof *f->bits);
  f->sets = take(f, f->set_count + 1, sizeof *f->sets);
  if (!f->feature || !f->bits || !f->sets) return refuse(b, "no memory");
  if (s->words) memcpy(f->bits, s->bits, (size_t)s->words * sizeof *f->bits);
  for (int32_t c = 0; c < f->columns; c++) {
    f->feature[c] = (int32_t)(uint32_t)b->keys[c];
    f->kind_start[(b->keys[c] >> 32) + 1] = c + 1;
  }
  for (int kind = 1; kind <= GV_COLUMN_KINDS; kind++)
    if (f->kind_start[kind] < f->kind_start[kind - 1]) f->kind_start[kind] = f->kind_start[kind - 1];
  return 1;
}

// --- the walk

// The greatest number below t. Nothing is below -inf: NaN, which nothing is `<=`.
static double before(double t) { return t == -INFINITY ? NAN : nextafter(t, -INFINITY); }

// The node's test in the one form. *swap: the children change places.
static gv_node test_of(build *b, int32_t node, int *swap) {
  const gv_forest_source *s = b->from;
  gv_forest *f = b->to;
  gv_node test = {.column = column_of(b, column_key(s, node))};
  *swap = 0;
  if (s->flags[node] & GV_CATEGORICAL) {
    gv_set *set = &f->sets[f->set_count];
    *set = (gv_set){.start = s->bit_start[node], .words = s->bit_count[node], .missing_left = (uint8_t)missing_left(s, node)};
    test.t = f->set_count++;
    test.column = ~test.column;
    return test;
  }
  test.t = s->less ? before(s->threshold[node]) : s->threshold[node];
  if (missing_left(s, node)) {
    *swap = 1;
    // x <= t is to be asked as: not -x < -t. Where t is NaN, no number goes left: every one has -x <= inf.
    test.t = isnan(test.t) ? INFINITY : before(-test.t);
  }
  return test;
}

// Lays out a tree for the walk, and numbers its leaves from left to right.
static void lay_tree(build *b, int32_t tree, int32_t *places, int32_t *leaves, int32_t *stack) {
  const gv_forest_source *s = b->from;
  gv_forest *f = b->to;
  // Entries of the stack: node, its place, its depth. Right children wait there, at most one for each node.
  int32_t top = 0;
  stack[top++] = s->roots[tree];
  stack[top++] = f->root[tree];
  stack[top++] = 0;
  f->leaf_first[tree] = *leaves;
  while (top) {
    int32_t depth = stack[--top], place = stack[--top], node = stack[--top];
    if (is_leaf(s, node)) {
      f->node[place] = (gv_node){.t = NAN, .column = 0, .next = place - 1};
      f->node_leaf[place] = *leaves;
      f->leaf_row[*leaves] = s->leaf[node];
      f->ordinal[*leaves] = node;  // until all leaves of the tree are known
      if (s->value_width == 1) f->value[*leaves] = s->values[s->leaf[node]];
      b->depth_sum[tree] += depth;
      ++*leaves;
      continue;
    }
    int swap;
    gv_node test = test_of(b, node, &swap);
    test.next = *places;
    *places += 2;
    f->node[place] = test;
    stack[top++] = swap ? s->left[node] : s->right[node];
    stack[top++] = test.next + 1;
    stack[top++] = depth + 1;
    stack[top++] = swap ? s->right[node] : s->left[node];
    stack[top++] = test.next;
    stack[top++] = depth + 1;
  }
}

static int build_walk(build *b) {
  const gv_forest_source *s = b->from;
  gv_forest *f = b->to;
  int32_t padded = (s->trees + GV_LANES - 1) / GV_LANES * GV_LANES;
  f->trees = s->trees;
  f->nodes = s->nodes;
  f->value_width = s->value_width;
  for (int32_t i = 0; i < s->nodes; i++) f->leaves += is_leaf(s, i);
  f->node = take(f, f->nodes + 1, sizeof *f->node);
  f->node_leaf = take(f, f->nodes, sizeof *f->node_leaf);
  f->root = take(f, padded, sizeof *f->root);
  f->value = take(f, s->value_width == 1 ? f->leaves : 1, sizeof *f->value);
  f->leaf_row = take(f, f->leaves, sizeof *f->leaf_row);
  f->ordinal = take(f, f->leaves, sizeof *f->ordinal);
  f->leaf_first = take(f, f->trees + 1, sizeof *f->leaf_first);
  int32_t *stack = malloc(sizeof *stack * 3 * ((size_t)s->nodes + 2));
  int32_t *count = calloc((size_t)s->trees, sizeof *count), *rank = malloc(sizeof *rank * (size_t)s->nodes);
  int ok = f->node && f->node_leaf && f->root && f->value && f->leaf_row && f->ordinal && f->leaf_first && stack && count && rank;
  if (!ok) {
    refuse(b, "no memory");
  } else {
    int32_t places = 0, leaves = 0;
    f->set_count = 0;
    for (int32_t t = 0; t < s->trees; t++) {
      f->root[t] = places++;
      lay_tree(b, t, &places, &leaves, stack);
    }
    f->leaf_first[f->trees] = leaves;
    for (int32_t t = s->trees; t < padded; t++) f->root[t] = f->root[s->trees - 1];
    for (int32_t i = 0; i < s->nodes; i++)
      if (is_leaf(s, i)) rank[i] = count[b->tree[i]]++;
    for (int32_t i = 0; i < leaves; i++) f->ordinal[i] = rank[f->ordinal[i]];
  }
  free(stack);
  free(count);
  free(rank);
  return ok;
}

// --- QuickScorer

typedef struct {
  double t;
  int32_t column, group;
  uint32_t tree;
  uint64_t keep;
} quick_test;

static int by_place(const void *a, const void *b) {
  const quick_test *x = a, *y = b;
  if (x->group != y->group) return x->group < y->group ? -1 : 1;
  if (x->column != y->column) return x->column < y->column ? -1 : 1;
  if (isnan(x->t) || isnan(y->t)) return isnan(y->t) - isnan(x->t);
  if (x->t != y->t) return x->t < y->t ? -1 : 1;
  return (x->tree > y->tree) - (x->tree < y->tree);
}

// The tests of the subtree at place. Returns the number of its leaves; *first: the number of the first, within the tree.
static int32_t quick_tests(const gv_forest *f, int32_t tree, int32_t place, int32_t *first, quick_test *tests, int64_t *count) {
  const gv_node *n = &f->node[place];
  if (n->next < place) {
    *first = f->node_leaf[place] - f->leaf_first[tree];
    return 1;
  }
  int32_t unused, left = quick_tests(f, tree, n->next, first, tests, count);
  int32_t right = quick_tests(f, tree, n->next + 1, &unused, tests, count);
  uint64_t lost = (((uint64_t)1 << left) - 1) << *first;  // left < 64, since right > 0
  int32_t column = n->column < 0 ? ~n->column : n->column;
  tests[(*count)++] = (quick_test){n->t, column, tree / f->group, (uint32_t)(tree % f->group), ~lost};
  return left + right;
}

// What a node costs in a block of QuickScorer, and a step in a row of the walk, in nanoseconds on the machine of
// bench/results/trees.md. Only their ratio matters.
static const double quick_test_ns = 1.8, quick_wide_ns = 2.2, quick_leaf_ns = 14.0, walk_step_ns = 2.0;

static int build_quick(build *b) {
  gv_forest *f = b->to;
  int32_t most = 0;
  double walk = 0;
  for (int32_t t = 0; t < f->trees; t++) {
    int32_t leaves = f->leaf_first[t + 1] - f->leaf_first[t];
    if (leaves > most) most = leaves;
    walk += walk_step_ns * (1 + (double)b->depth_sum[t] / leaves);
  }
  f->quick_rows = GV_BLOCK + 1;
  if (most > 64) return 1;
  double quick = (most > 32 ? quick_wide_ns : quick_test_ns) * (f->nodes - f->leaves) + quick_leaf_ns * f->trees;
  if (quick > walk * GV_BLOCK) return 1;
  int32_t group = GV_QUICK_BYTES / (GV_BLOCK * (most > 32 ? 8 : 4)), groups = (f->trees + group - 1) / group;
  if ((int64_t)groups * f->columns > 4096 + (int64_t)f->nodes) return 1;  // hardly a test in each list
  f->quick_rows = (int32_t)ceil(quick / walk);
  f->mask_bits = most > 32 ? 64 : 32;
  f->group = group;
  f->groups = groups;
  int64_t count = 0, tests = f->nodes - f->leaves;
  f->test_start = take(f, (int64_t)f->groups * f->columns + 2, sizeof *f->test_start);
  f->test_t = take(f, tests, sizeof *f->test_t);
  f->test_tree = take(f, tests, sizeof *f->test_tree);
  f->test_keep = take(f, tests, (size_t)f->mask_bits / 8);
  quick_test *all = malloc(sizeof *all * ((size_t)tests + 1));
  int ok = f->test_start && f->test_t && f->test_tree && f->test_keep && all;
  if (ok) {
    for (int32_t t = 0, first; t < f->trees; t++) quick_tests(f, t, f->root[t], &first, all, &count);
    qsort(all, (size_t)count, sizeof *all, by_place);
    for (int64_t i = 0; i < count; i++) {
      f->test_t[i] = all[i].t;
      f->test_tree[i] = all[i].tree;
      if (f->mask_bits == 32) ((uint32_t *)f->test_keep)[i] = (uint32_t)all[i].keep;
      else ((uint64_t *)f->test_keep)[i] = all[i].keep;
      f->test_start[(int64_t)all[i].group * f->columns + all[i].column + 1]++;
    }
    for (int64_t i = 0; i < (int64_t)f->groups * f->columns; i++) f->test_start[i + 1] += f->test_start[i];
  } else {
    refuse(b, "no memory");
  }
  free(all);
  return ok;
}

int gv_forest_check(const gv_forest_source *source, char *why, size_t why_size) {
  build b = {.from = source, .why = why, .why_size = why_size};
  b.tree = malloc(sizeof *b.tree * ((size_t)source->nodes + 1));
  int ok = b.tree ? check(&b) : refuse(&b, "no memory");
  free(b.tree);
  return ok;
}

gv_forest *gv_forest_build(const gv_forest_source *source, char *why, size_t why_size) {
  build b = {.from = source, .why = why, .why_size = why_size, .to = calloc(1, sizeof *b.to)};
  b.tree = malloc(sizeof *b.tree * ((size_t)source->nodes + 1));
  b.keys = malloc(sizeof *b.keys * ((size_t)source->nodes + 1));
  b.depth_sum = calloc((size_t)source->trees + 1, sizeof *b.depth_sum);
  int ok = b.to && b.tree && b.keys && b.depth_sum ? 1 : refuse(&b, "no memory");
  ok = ok && check(&b) && build_columns(&b) && build_walk(&b) && build_quick(&b);
  free(b.tree);
  free(b.keys);
  free(b.depth_sum);
  if (ok) return b.to;
  gv_forest_free(b.to);
  return NULL;
}
