// Every stage of structure, numbers, categories and models on random values, under the address sanitizer: dense rows and objects
// lie in blocks of exactly their size, sparse results must be well-formed, and each row must give the same bits alone as among others.
#include "../operators.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

static uint64_t state = 1;
static uint64_t draw(uint64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (state >> 33) % n;
}

static double number(void) {
  switch (draw(12)) {
    case 0: return NAN;
    case 1: return draw(2) ? INFINITY : -INFINITY;
    case 2: return 1e300;
    case 3:
    case 4: return (double)draw(6) - 1;
    case 5: return 0;
    default: return (double)draw(2000001) / 1e6 - 1;
  }
}

// Blocks are freed together.
static void *blocks[65536];
static int block_count;
static void *block(size_t bytes) {
  CHECK(block_count < 65536);
  return blocks[block_count++] = malloc(bytes ? bytes : 1);
}
static void free_blocks(void) {
  while (block_count > 0) free(blocks[--block_count]);
}

static double *numbers(size_t n) {
  double *x = block(n * sizeof *x);
  for (size_t i = 0; i < n; i++) x[i] = number();
  return x;
}

static double *ascending(int32_t n) {
  double *x = block(sizeof *x * (size_t)n), at = -2;
  for (int32_t i = 0; i < n; i++) x[i] = at += (double)(1 + draw(100)) / 50;
  return x;
}

static int32_t *starts(int32_t n, int32_t most) {
  int32_t *start = block(sizeof *start * (size_t)(n + 1));
  start[0] = 0;
  for (int32_t i = 0; i < n; i++) start[i + 1] = start[i] + (int32_t)draw((uint64_t)most + 1);
  return start;
}

static gv_value dense_value(int32_t rows, int32_t width, int fill) {
  size_t n = (size_t)rows * (size_t)width;
  return (gv_value){.type = GV_F64, .width = width, .f64 = fill ? numbers(n) : block(n * sizeof(double))};
}

static gv_value sparse_value(int32_t rows, int32_t width) {
  gv_value v = {.type = GV_F64, .sparse = 1, .width = width, .start = block(sizeof(int32_t) * (size_t)(rows + 1))};
  int32_t *index = block(sizeof *index * (size_t)rows * (size_t)width), n = 0;
  double *entry = block(sizeof *entry * (size_t)rows * (size_t)width);
  v.start[0] = 0;
  for (int32_t r = 0; r < rows; r++) {
    for (int32_t j = 0; draw(5) && j < width; j++) {
      if (draw(3)) continue;
      index[n] = j;
      entry[n++] = number();
    }
    v.start[r + 1] = n;
  }
  v.index = block(sizeof *index * (size_t)n);
  v.entry = block(sizeof *entry * (size_t)n);
  memcpy(v.index, index, sizeof *index * (size_t)n);
  memcpy(v.entry, entry, sizeof *entry * (size_t)n);
  v.capacity = n;
  return v;
}

// row_of is a value of one row.
static gv_value row_of(const gv_value *v, int32_t row) {
  gv_value one = *v;
  if (v->sparse) {
    int32_t from = v->start[row], n = v->start[row + 1] - from;
    one.start = block(2 * sizeof(int32_t));
    one.start[0] = 0;
    one.start[1] = n;
    one.index = block(sizeof(int32_t) * (size_t)n);
    one.entry = block(sizeof(double) * (size_t)n);
    memcpy(one.index, v->index + from, sizeof(int32_t) * (size_t)n);
    memcpy(one.entry, v->entry + from, sizeof(double) * (size_t)n);
  } else if (v->type == GV_TEXT) {
    one.text = block(sizeof(gv_text));
    *one.text = v->text[row];
  } else {
    one.f64 = block(sizeof(double) * (size_t)v->width);
    memcpy(one.f64, v->f64 + (size_t)row * (size_t)v->width, sizeof(double) * (size_t)v->width);
  }
  return one;
}

static gv_value result(int32_t rows, int32_t width, int sparse) {
  if (!sparse) return dense_value(rows, width, 0);
  return (gv_value){.type = GV_F64, .sparse = 1, .width = width, .start = block(sizeof(int32_t) * (size_t)(rows + 1))};
}

static int same(double a, double b) { return (a != a && b != b) || memcmp(&a, &b, sizeof a) == 0; }

// try runs a stage over all rows and then over each alone.
static void try(int (*run)(const gv_stage *, gv_run *), const void *params, const gv_value *in, int32_t inputs, int32_t rows, int32_t width, int sparse) {
  gv_value values[8], alone[8];
  int32_t reads[8];
  for (int32_t i = 0; i < inputs; i++) {
    values[i] = in[i];
    reads[i] = i;
  }
  values[inputs] = result(rows, width, sparse);
  gv_run all = {.values = values, .rows = rows}, one = {.values = alone, .rows = 1};
  gv_stage stage = {.run = run, .params = params, .in = reads, .inputs = inputs, .out = inputs, .number = 3};
  CHECK(gv_execute(&stage, 1, &all) == 0);
  const gv_value *out = &values[inputs];
  if (sparse) CHECK(out->start[0] == 0);
  for (int32_t row = 0; row < rows; row++) {
    for (int32_t i = 0; i < inputs; i++) alone[i] = row_of(&in[i], row);
    alone[inputs] = result(1, width, sparse);
    one.fault[0] = GV_OK;
    CHECK(stage.run(&stage, &one) == 0);
    CHECK(one.fault[0] == all.fault[row]);
    if (sparse) {
      int32_t from = out->start[row], n = out->start[row + 1] - from;
      CHECK(n >= 0 && out->start[row + 1] <= out->capacity && alone[inputs].start[1] == n);
      for (int32_t e = 0; e < n; e++) {
        CHECK(out->index[from + e] >= 0 && out->index[from + e] < width);
        CHECK(e == 0 || out->index[from + e - 1] < out->index[from + e]);
        CHECK(alone[inputs].index[e] == out->index[from + e] && same(alone[inputs].entry[e], out->entry[from + e]));
      }
    } else {
      for (int32_t j = 0; j < width; j++) CHECK(same(alone[inputs].f64[j], out->f64[(size_t)row * (size_t)width + (size_t)j]));
    }
    gv_reset(&one.arena);
  }
  gv_arena_free(&all.arena);
  gv_arena_free(&one.arena);
}

static void try_structure(int32_t rows) {
  gv_value in[4];
  int32_t width = 0, count = 1 + (int32_t)draw(4);
  int sparse = 0;
  for (int32_t i = 0; i < count; i++) {
    int32_t w = 1 + (int32_t)draw(9);
    in[i] = draw(2) ? sparse_value(rows, w) : dense_value(rows, w, 1);
    width += w;
    sparse |= in[i].sparse;
  }
  try(gv_concat, NULL, in, count, rows, width, sparse);
  for (int32_t i = 0; i < count; i++) in[i] = dense_value(rows, width, 1);
  try(gv_mean, NULL, in, count, rows, width, 0);
  in[0] = sparse_value(rows, width);
  try(gv_dense, NULL, in, 1, rows, width, 0);
  in[1] = dense_value(rows, width, 1);
  gv_finite_params finite = {(int32_t)draw(2)};
  try(gv_finite, &finite, in, 1, rows, width, 1);
  try(gv_finite, &finite, in + 1, 1, rows, width, 0);

  int32_t *columns = block(sizeof *columns * (size_t)width), *target = block(sizeof *target * (size_t)width), m = 0;
  for (int32_t j = 0; j < width; j++) target[j] = -1;
  for (int32_t j = 0; j < width; j++) {
    int32_t c = (int32_t)draw((uint64_t)width);
    if (target[c] < 0) target[columns[m] = c] = m, m++;
  }
  gv_select_params select = {.columns = columns, .target = target};
  try(gv_select, &select, in, 1, rows, m, 1);
  try(gv_select, &select, in + 1, 1, rows, m, 0);
}

static void try_numbers(int32_t rows) {
  int32_t w = 1 + (int32_t)draw(20);
  gv_value dense = dense_value(rows, w, 1), sparse = sparse_value(rows, w);
  gv_columns_params value = {numbers((size_t)w)};
  try(gv_add, &value, &dense, 1, rows, w, 0);
  try(gv_sub, &value, &dense, 1, rows, w, 0);
  try(gv_impute, &value, &dense, 1, rows, w, 0);
  try(gv_mul, &value, &dense, 1, rows, w, 0);
  try(gv_div, &value, &dense, 1, rows, w, 0);
  try(gv_mul, &value, &sparse, 1, rows, w, 1);
  try(gv_div, &value, &sparse, 1, rows, w, 1);
  gv_clip_params clip = {-0.5, 0.5};
  try(gv_clip, &clip, &dense, 1, rows, w, 0);
  try(gv_missing, NULL, &dense, 1, rows, w, 0);
  gv_number_params one = {1};
  try(gv_equal_missing, &one, &dense, 1, rows, w, 0);
  try(gv_binarize, &one, &dense, 1, rows, w, 0);
  try(gv_binarize, &one, &sparse, 1, rows, w, 1);
  for (int32_t norm = GV_L1; norm <= GV_MAX; norm++) {
    gv_normalize_params p = {norm};
    try(gv_normalize, &p, &dense, 1, rows, w, 0);
    try(gv_normalize, &p, &sparse, 1, rows, w, 1);
  }
  for (int32_t name = GV_LOG; name <= GV_RINT; name++) {
    gv_function_params p = {name};
    try(gv_function, &p, &dense, 1, rows, w, 0);
  }
  gv_bins_params bins = {.start = starts(w, 40)};
  double *edges = block(sizeof *edges * (size_t)bins.start[w]);
  for (int32_t j = 0; j < w; j++) memcpy(edges + bins.start[j], ascending(bins.start[j + 1] - bins.start[j]), sizeof *edges * (size_t)(bins.start[j + 1] - bins.start[j]));
  bins.edges = edges;
  try(gv_bins, &bins, &dense, 1, rows, w, 0);
  int32_t m = 1 + (int32_t)draw(30), *base = block(sizeof *base * (size_t)m);
  gv_polynomial_params polynomial = {.base = base, .start = starts(m, 4)};
  int32_t *factor = block(sizeof *factor * (size_t)polynomial.start[m]);
  for (int32_t c = 0; c < m; c++) base[c] = (int32_t)draw((uint64_t)c + 1) - 1;
  for (int32_t f = 0; f < polynomial.start[m]; f++) factor[f] = (int32_t)draw((uint64_t)w);
  polynomial.factor = factor;
  try(gv_polynomial, &polynomial, &dense, 1, rows, m, 0);
}

static void try_categories(int32_t rows) {
  int32_t w = 1 + (int32_t)draw(9), n = (int32_t)draw(30);
  gv_value one = dense_value(rows, 1, 1), many = dense_value(rows, w, 1);
  double *keys = block(sizeof *keys * (size_t)n);
  for (int32_t i = 0; i < n; i++) keys[i] = i - 5;
  gv_lookup_params lookup = {.keys = keys, .n = n, .codes = numbers((size_t)n + 1), .nan = (int32_t)draw(2), .unknown = -1, .refuse = (int32_t)draw(2)};
  try(gv_lookup_number, &lookup, &one, 1, rows, 1, 0);
  uint32_t offsets[2] = {0, 9};
  uint64_t key = gv_key((const uint8_t *)"neunneun9", 9), table[4] = {0};
  uint64_t place = key * GV_FIBONACCI >> 63;
  table[2 * place] = key;
  table[2 * place + 1] = 1;
  CHECK(gv_dictionary_init(&lookup.texts, (const uint8_t *)"neunneun9", 9, offsets, 2, table, 2) == NULL);
  gv_value texts = {.type = GV_TEXT, .width = 1, .text = block(sizeof(gv_text) * (size_t)rows)};
  for (int32_t r = 0; r < rows; r++) {
    uint32_t length = (uint32_t)draw(11);
    uint8_t *bytes = block(length);
    memcpy(bytes, "neunneun9x", length);
    texts.text[r] = (gv_text){bytes, length};
  }
  try(gv_lookup_text, &lookup, &texts, 1, rows, 1, 0);
  gv_expand_params expand = {starts(w, 4)};
  try(gv_expand, &expand, &many, 1, rows, expand.start[w] + 1, 1);
  int32_t k = 1 + (int32_t)draw(9);
  gv_gather_params gather = {.table = numbers((size_t)k * 4), .n = 4};
  try(gv_gather, &gather, &one, 1, rows, k, 0);
}

static gv_matrix_params matrix_of(int32_t k, int32_t w) {
  double *matrix = numbers((size_t)k * (size_t)w), *transposed = NULL, *norms = block(sizeof *norms * (size_t)k);
  if (k >= GV_TRANSPOSED) {
    transposed = block(sizeof(double) * (size_t)gv_stride(k) * (size_t)w);
    memset(transposed, 0, sizeof(double) * (size_t)gv_stride(k) * (size_t)w);
    gv_transpose(matrix, k, w, transposed);
  }
  gv_squares(matrix, k, w, norms);
  return (gv_matrix_params){.matrix = matrix, .transposed = transposed, .intercept = numbers((size_t)k), .norms = norms, .k = k, .w = w,
                            .finite = (int32_t)draw(2), .fused = (int32_t)draw(2)};
}

// listed_of is a model of one row that lists some of w + before columns, and in *plain the same with its zeros; of w columns.
static gv_matrix_params listed_of(int32_t before, int32_t w, gv_matrix_params *plain) {
  int32_t all = before + w, words = (all + 31) / 32, n = 1;
  uint64_t *listed = block(sizeof *listed * (size_t)words);
  double *values = numbers((size_t)all + 1), *matrix = numbers((size_t)all);
  values[0] = 0;
  for (int32_t j = 0; j < all; j++) {
    if (j % 32 == 0) listed[j / 32] = (uint64_t)n << 32;
    if (draw(2)) {
      listed[j / 32] |= UINT64_C(1) << j % 32;
      matrix[j] = values[n++];
    } else {
      matrix[j] = 0;
    }
  }
  double *exact = block(sizeof *exact * (size_t)n);  // so that whatever is read behind it is found
  memcpy(exact, values, sizeof *exact * (size_t)n);
  CHECK(gv_listed_fault(listed, words, all, exact, n) == NULL);
  CHECK(gv_listed_fault(listed, words + 1, all, exact, n) != NULL);
  CHECK(gv_listed_fault(listed, words, all, exact, n - 1) != NULL);
  CHECK(gv_listed_fault(listed, words, all, matrix + all, 0) != NULL);
  listed[words - 1] ^= UINT64_C(1) << 31;
  CHECK(gv_listed_fault(listed, words, all, exact, n) != NULL);
  listed[words - 1] ^= UINT64_C(1) << 31;
  listed[0] += UINT64_C(1) << 32;
  CHECK(gv_listed_fault(listed, words, all, exact, n) != NULL);
  listed[0] -= UINT64_C(1) << 32;
  exact[0] = -0.0;
  CHECK(gv_listed_fault(listed, words, all, exact, n) != NULL);
  exact[0] = 0;
  gv_matrix_params p = {.matrix = exact, .listed = listed, .first = before, .intercept = numbers(1), .k = 1, .w = w, .finite = (int32_t)draw(2)};
  *plain = p;
  plain->matrix = matrix + before;
  plain->listed = NULL;
  return p;
}

// try_listed compares models that list their coefficients with the same ones that do not: each bit is the same.
static void try_listed(int32_t rows) {
  int32_t w = 1 + (int32_t)draw(100);
  gv_value in = sparse_value(rows, w);
  gv_matrix_params p[2];
  double *out[2];
  p[0] = listed_of((int32_t)draw(70), w, p + 1);
  for (int i = 0; i < 2; i++) {
    try(gv_linear, p + i, &in, 1, rows, 1, 0);
    gv_part part = {.matrix = p[i]};
    gv_parts_params model = {&part, p[i].intercept, 1};
    try(gv_parts, &model, &in, 1, rows, 1, 0);
    gv_value values[2] = {in, dense_value(rows, 1, 0)};
    gv_run run = {.values = values, .rows = rows};
    int32_t reads[1] = {0};
    gv_stage stage = {.run = gv_parts, .params = &model, .in = reads, .inputs = 1, .out = 1};
    CHECK(stage.run(&stage, &run) == 0);
    out[i] = values[1].f64;
    gv_arena_free(&run.arena);
  }
  for (int32_t row = 0; row < rows; row++) CHECK(same(out[0][row], out[1][row]));
}

static void try_models(int32_t rows) {
  int32_t w = 1 + (int32_t)draw(40), k = 1 + (int32_t)draw(40);
  gv_value in[3] = {dense_value(rows, w, 1), sparse_value(rows, w), dense_value(rows, 3, 1)};
  gv_matrix_params p = matrix_of(k, w);
  for (int i = 0; i < 2; i++) {
    try(gv_linear, &p, in + i, 1, rows, k, 0);
    try(gv_distances, &p, in + i, 1, rows, k, 0);
    try(gv_nearest, &p, in + i, 1, rows, 1, 0);
  }
  const int32_t *start = starts(3, 4);
  gv_part parts[3] = {{.matrix = p}, {.matrix = matrix_of(k, w)}, {.matrix = {.k = k}, .table = numbers((size_t)start[3] * (size_t)k), .start = start}};
  gv_parts_params model = {parts, p.intercept, k};
  try(gv_parts, &model, in, 3, rows, k, 0);
  for (int32_t kind = GV_SIGMOID; kind <= GV_PARTS; kind++) {
    gv_link_params link = {kind};
    gv_value *of = in;
    if (kind == GV_BINARY) continue;
    try(gv_link, &link, of, 1, rows, w, 0);
  }
  gv_value one = dense_value(rows, 1, 1);
  gv_link_params binary = {GV_BINARY};
  try(gv_link, &binary, &one, 1, rows, 2, 0);
  try(gv_argmax, NULL, in, 1, rows, 1, 0);
  gv_calibration_params calibration = {-1.5, 0.5};
  try(gv_sigmoid_calibration, &calibration, &one, 1, rows, 1, 0);
  int32_t n = 1 + (int32_t)draw(30);
  gv_isotonic_params isotonic = {ascending(n), ascending(n), n};
  try(gv_isotonic, &isotonic, &one, 1, rows, 1, 0);
}

int main(int count, char **argument) {
  int rounds = count > 1 ? atoi(argument[1]) : 300;
  void (*const tries[])(int32_t) = {try_structure, try_numbers, try_categories, try_models, try_listed};
  for (int i = 0; i < rounds; i++) {
    for (int t = 0; t < 5; t++) {
      tries[t](i % 5 ? 1 + (int32_t)draw(9) : GV_TILE);
      free_blocks();
    }
  }
  printf("operators: ok, %d rounds\n", rounds);
  return 0;
}
