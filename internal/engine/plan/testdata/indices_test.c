// indices_linear, fm and deepfm on random models and rows, under the address sanitizer: rows, tables and results lie in blocks of
// exactly their size. Each row must give the same bits alone as beside others that share fields with it, near what doubles give.
#include "../indices.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

enum { LAYERS = 3 };

static uint64_t state = 1;
static uint64_t draw(uint64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (state >> 33) % n;
}

static float *numbers(size_t n, double by) {
  float *x = malloc(n * sizeof *x);
  for (size_t i = 0; i < n; i++) x[i] = (float)(by * ((double)draw(2000001) / 1e6 - 1));
  return x;
}

// A model: what a plan has, and what the stage is given.
typedef struct {
  gv_deepfm_params p;
  gv_layer layers[LAYERS];
  float *kernel[LAYERS], *bias[LAYERS], *head;
} model;

static void make(model *m, int32_t layers) {
  *m = (model){0};
  gv_deepfm_params *p = &m->p;
  p->indices = (gv_indices_params){.n = 1 + (int32_t)draw(40), .width = 2 + (int32_t)draw(draw(3) ? 20 : 60), .fields = 1 + (int32_t)draw(40), .bias = 0.25f};
  int32_t width = p->indices.width, in = p->indices.fields * width;
  p->indices.table = numbers((size_t)p->indices.n * (size_t)width, 0.5);
  p->skip = layers == 0 || draw(2);
  p->group = gv_fields_of_group(width - p->skip);
  p->layer_count = layers;
  p->layers = m->layers;
  for (int32_t i = 0; i < layers; i++) {
    int32_t out = 1 + (int32_t)draw(draw(2) ? 140 : 20);
    size_t padded = gv_padded((size_t)out, GV_PANEL);
    float *kernel = m->kernel[i] = numbers((size_t)in * (size_t)out, 1 / sqrt(in)), *bias = calloc(padded, sizeof *bias);
    for (int32_t f = 0; i == 0 && p->skip && f < in; f += width) memset(kernel + (size_t)f * (size_t)out, 0, sizeof(float) * (size_t)out);
    CHECK(i > 0 || !p->skip || gv_first_unused(kernel, in, out, width));
    for (int32_t c = 0; c < out; c++) bias[c] = (float)draw(100) / 100;
    int32_t without = i == 0 && p->skip ? width : 0, left = without > 0 ? in - in / without : in;
    float *packed = calloc((size_t)left * padded, sizeof *packed);
    gv_pack(kernel, in, out, without, packed);
    m->bias[i] = bias;
    m->layers[i] = (gv_layer){packed, bias, left, out};
    in = out;
  }
  int32_t last = layers > 0 ? in : 0;
  m->head = numbers((size_t)(2 * width + last), 1);
  float *head = calloc(gv_interactions(width) + gv_padded((size_t)last, GV_PANEL), sizeof *head);
  gv_head(m->head, width, last, head);
  p->head = head;
}

static void drop(model *m) {
  free((void *)m->p.indices.table);
  free(m->head);
  free((void *)m->p.head);
  for (int32_t i = 0; i < m->p.layer_count; i++) {
    free(m->kernel[i]);
    free(m->bias[i]);
    free((void *)m->layers[i].packed);
  }
}

// want is the logit of a row in doubles.
static double want(const model *m, const int32_t *row) {
  const gv_indices_params *p = &m->p.indices;
  size_t width = (size_t)p->width, n = (size_t)p->fields * width;
  double *x = malloc(sizeof *x * n), y = p->bias;
  for (size_t i = 0; i < n; i++) x[i] = p->table[(size_t)row[i / width] * width + i % width];
  for (size_t j = 0; j < width; j++) {
    double s = 0, q = 0;
    for (size_t i = j; i < n; i += width) s += x[i], q += x[i] * x[i];
    y += s * m->head[j] + (s * s - q) * m->head[width + j];
  }
  for (int32_t i = 0; i < m->p.layer_count; i++) {
    size_t out = (size_t)m->layers[i].out;
    double *h = malloc(sizeof *h * out);
    for (size_t c = 0; c < out; c++) {
      h[c] = m->bias[i][c];
      for (size_t k = 0; k < n; k++) h[c] += x[k] * m->kernel[i][k * out + c];
      h[c] = h[c] > 0 ? h[c] : 0;
    }
    free(x);
    x = h, n = out;
  }
  for (size_t c = 0; m->p.layer_count > 0 && c < n; c++) y += x[c] * m->head[2 * width + c];
  free(x);
  return y;
}

static gv_run run;

// score runs rows through a stage, from a block of exactly their size to one of exactly the results' size.
static void score(int (*stage)(const gv_stage *, gv_run *), const void *params, const int32_t *x, int32_t rows, int32_t fields, float *out) {
  int32_t *in = malloc(sizeof *in * (size_t)rows * (size_t)fields);
  memcpy(in, x, sizeof *in * (size_t)rows * (size_t)fields);
  float *to = malloc(sizeof *to * (size_t)rows);
  gv_value values[2] = {{.type = GV_I32, .width = fields, .i32 = in}, {.type = GV_F32, .width = 1, .f32 = to}};
  static const int32_t first = 0;
  gv_stage s = {.run = stage, .params = params, .in = &first, .inputs = 1, .out = 1};
  run.values = values;
  run.rows = rows;
  memset(run.fault, 0, sizeof run.fault);
  gv_reset(&run.arena);
  CHECK(stage(&s, &run) == 0);
  memcpy(out, to, sizeof *to * (size_t)rows);
  free(in);
  free(to);
}

static void rows_of(int (*stage)(const gv_stage *, gv_run *), const void *params, const gv_indices_params *p, const model *m) {
  int32_t rows = 1 + (int32_t)draw(GV_TILE), fields = p->fields, *x = malloc(sizeof *x * (size_t)rows * (size_t)fields);
  uint64_t share = draw(11);
  for (int32_t i = 0; i < rows * fields; i++) x[i] = i >= fields && draw(10) < share ? x[i - fields] : (int32_t)draw((uint64_t)p->n);
  float out[GV_TILE], alone, again[GV_TILE];
  score(stage, params, x, rows, fields, out);
  for (int32_t r = 0; r < rows; r++) {
    const int32_t *row = x + r * fields;
    score(stage, params, row, 1, fields, &alone);
    CHECK(memcmp(&alone, &out[r], sizeof alone) == 0);
    double y = p->bias;
    for (int32_t f = 0; !m && f < fields; f++) y += p->table[row[f]];
    if (m) y = want(m, row);
    CHECK(fabs(y - out[r]) <= 1e-4 * fmax(1, fabs(y)));
  }
  static const int32_t outside[] = {-1, INT32_MIN, INT32_MAX};
  int32_t bad = (int32_t)draw((uint64_t)rows);
  x[bad * fields + (int32_t)draw((uint64_t)fields)] = draw(2) ? p->n : outside[draw(3)];
  score(stage, params, x, rows, fields, again);
  for (int32_t r = 0; r < rows; r++) {
    CHECK(run.fault[r] == (r == bad ? GV_RANGE : GV_OK));
    CHECK(r == bad ? again[r] == 0 : memcmp(&again[r], &out[r], sizeof alone) == 0);
  }
  free(x);
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 60;
  for (int i = 0; i < rounds; i++) {
    model m;
    make(&m, (int32_t)draw(LAYERS + 1));
    rows_of(gv_deepfm, &m.p, &m.p.indices, &m);
    drop(&m);
    gv_indices_params linear = {.n = 1 + (int32_t)draw(40), .width = 1, .fields = 1 + (int32_t)draw(60), .bias = 0.5f};
    linear.table = numbers((size_t)linear.n, 1);
    rows_of(gv_indices_linear, &linear, &linear, NULL);
    free((void *)linear.table);
  }
  gv_arena_free(&run.arena);
  printf("%d models of indices\n", rounds);
  return 0;
}
