// Caches and joined programs under the address sanitizer: a program of two members, run with caches of many sizes and without, must give
// the same bits and the same faults; a cache must keep its bound, and give each row its own result.
#include "../cache.h"
#include "../runtime.h"

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

static uint64_t state = 1;
static uint64_t draw(uint64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (state >> 33) % n;
}

// letters counts the letters of texts; a text that begins with 'x' is refused.
static int letters(const gv_stage *stage, gv_run *run) {
  const gv_text *text = run->values[stage->in[0]].text;
  gv_value *out = &run->values[stage->out];
  int32_t n = 0;
  out->start[0] = 0;
  for (int32_t row = 0; row < run->rows; row++) {
    if (gv_grow(run, out, n + 26)) return GV_MEMORY;
    if (text[row].length > 0 && text[row].bytes[0] == 'x') gv_fail(run, stage->number, row, GV_NO_TEXT);
    for (int32_t letter = 0; letter < 26; letter++) {
      double count = 0;
      for (uint32_t i = 0; i < text[row].length; i++) count += text[row].bytes[i] == 'a' + letter;
      if (count == 0) continue;
      out->index[n] = letter;
      out->entry[n++] = count;
    }
    out->start[row + 1] = n;
  }
  return 0;
}

// half halves the entries of a sparse value.
static int half(const gv_stage *stage, gv_run *run) {
  const gv_value *in = &run->values[stage->in[0]];
  gv_value *out = &run->values[stage->out];
  int32_t n = in->start[run->rows];
  if (gv_grow(run, out, n)) return GV_MEMORY;
  memcpy(out->start, in->start, sizeof(int32_t) * (size_t)(run->rows + 1));
  for (int32_t e = 0; e < n; e++) {
    out->index[e] = in->index[e];
    out->entry[e] = in->entry[e] / 2;
  }
  return 0;
}

// total weighs the entries of a sparse value, and adds a number if it reads one; a number that is NaN is refused.
static int total(const gv_stage *stage, gv_run *run) {
  const gv_value *in = &run->values[stage->in[0]];
  double *out = run->values[stage->out].f64;
  for (int32_t row = 0; row < run->rows; row++) {
    out[row] = 0;
    for (int32_t e = in->start[row]; e < in->start[row + 1]; e++) out[row] += in->entry[e] * (in->index[e] + 1);
    if (stage->inputs < 2) continue;
    double x = run->values[stage->in[1]].f64[row];
    out[row] += x;
    if (isnan(x)) gv_fail(run, stage->number, row, GV_NOT_FINITE);
  }
  return 0;
}

enum { ROWS = 150 };

typedef struct {
  gv_text text[ROWS];
  double number[ROWS], first[ROWS], second[ROWS];
  uint8_t fault[2 * ROWS];
  int32_t fault_at[2 * ROWS];
  char bytes[ROWS][40 + GV_ALIGN];
} rows_of;

// The program: letters, half; then a total for one member, and one with a number for the other.
static void score(rows_of *r, int64_t n, gv_cache *stages, gv_cache *rows, int members, gv_run *run) {
  static const int32_t reads[] = {0, 2, 3, 3, 1}, outputs[] = {4, 5}, chain[] = {0, 1}, inputs[] = {0}, order[] = {GV_WITHIN, 0, GV_RUN, GV_RUN};
  static const int32_t two[] = {0, 1, 2}, one[] = {0, 2};
  const gv_stage all[] = {
      {.run = letters, .in = reads, .inputs = 1, .out = 2, .number = 0},
      {.run = half, .in = reads + 1, .inputs = 1, .out = 3, .number = 1},
      {.run = total, .in = reads + 2, .inputs = 1, .out = 4, .number = 2},
      {.run = total, .in = reads + 3, .inputs = 2, .out = 5, .number = 3},
  };
  const gv_slot slots[] = {
      {GV_TEXT, 0, 1, 0}, {GV_F64, 0, 1, 0}, {GV_F64, 1, 26, 0}, {GV_F64, 1, 26, 320}, {GV_F64, 0, 1, 640}, {GV_F64, 0, 1, 1152},
  };
  const gv_cached cached = {.owner = {1, 2}, .stages = chain, .inputs = inputs, .stage_count = 2, .input_count = 1};
  const gv_program p = {
      .stages = all, .slots = slots, .outputs = outputs, .outputs_from = members == 2 ? two : one, .stage_count = 4, .input_count = 2,
      .output_count = 2, .member_count = members, .scratch = 1664, .stage_cache = stages, .row_cache = rows, .cached = &cached,
      .order = stages ? order : NULL, .owner = {3, 4},
  };
  void *in[] = {r->text, r->number}, *out[] = {r->first, r->second};
  gv_batch batch = {.inputs = in, .outputs = out, .fault = r->fault, .fault_at = r->fault_at, .capacity = ROWS};
  memset(r->fault, 0, sizeof r->fault);
  int64_t failed = gv_score(&p, &batch, run, n), want = 0;
  for (int i = 0; i < 2 * ROWS; i++) want += r->fault[i] != GV_OK;
  CHECK(failed == want);
}

static void fill(rows_of *r) {
  for (int row = 0; row < ROWS; row++) {
    uint32_t length = (uint32_t)draw(4);
    for (uint32_t i = 0; i < length; i++) r->bytes[row][i] = draw(12) ? (char)('a' + draw(3)) : 'x';
    r->text[row] = (gv_text){(const uint8_t *)r->bytes[row], length};
    r->number[row] = draw(20) ? (double)draw(5) : NAN;
  }
}

static void programs(int rounds) {
  gv_run *run = gv_run_new();
  rows_of *plain = calloc(1, sizeof *plain), *other = calloc(1, sizeof *other);
  CHECK(run && plain && other);
  for (int round = 0; round < rounds; round++) {
    int64_t size = (int64_t)(draw(2) ? 1 << 20 : 16 * (700 + draw(3000)));
    gv_cache *stages = draw(3) ? gv_cache_new(size, draw(1000), 7) : NULL, *whole = draw(3) ? gv_cache_new(size, 7, draw(1000)) : NULL;
    for (int again = 0; again < 4; again++) {
      fill(plain);
      int64_t n = 1 + (int64_t)draw(ROWS);
      for (int members = 1; members <= 2; members++) {
        memcpy(other->text, plain->text, sizeof other->text);
        memcpy(other->number, plain->number, sizeof other->number);
        score(plain, n, NULL, NULL, members, run);
        score(other, n, stages, whole, members, run);
        CHECK(memcmp(plain->fault, other->fault, sizeof plain->fault) == 0);
        for (int64_t row = 0; row < n; row++) {
          int of_text = plain->text[row].length > 0 && plain->text[row].bytes[0] == 'x', of_number = isnan(plain->number[row]);
          CHECK((plain->fault[row] != GV_OK) == (members == 1 ? of_text || of_number : of_text));
          if (members == 2) CHECK((plain->fault[ROWS + row] != GV_OK) == (of_text || of_number));
          if (plain->fault[row] != GV_OK) CHECK(plain->fault_at[row] == other->fault_at[row] && plain->fault_at[row] == (of_text ? 0 : 3));
          if (plain->fault[row] == GV_OK) CHECK(memcmp(&plain->first[row], &other->first[row], sizeof(double)) == 0);
          if (plain->fault[(members - 1) * ROWS + row] == GV_OK) CHECK(memcmp(&plain->second[row], &other->second[row], sizeof(double)) == 0);
        }
      }
    }
    if (stages) CHECK(gv_cache_count(stages).bytes <= size || gv_cache_count(stages).entries == 0);
    if (whole) CHECK(gv_cache_count(whole).bytes <= size || gv_cache_count(whole).entries == 0);
    gv_cache_free(stages);
    gv_cache_free(whole);
  }
  gv_run_free(run);
  free(plain);
  free(other);
}

// Results are their pieces' own, also where the bytes of two keys are the same one after another.
static void pieces(void) {
  gv_cache *cache = gv_cache_new(1 << 20, 1, 2);
  gv_arena arena = {0};
  CHECK(cache);
  for (int pass = 0; pass < 2; pass++) {
    for (uint32_t cut = 0; cut <= 20; cut++) {
      gv_piece of[] = {{"abcdefghijklmnopqrst", cut}, {"abcdefghijklmnopqrst" + cut, 20 - cut}};
      gv_cache_key key = {.owner = {5, 6}, .hash = gv_cache_hash(cache, of, 2), .pieces = of, .count = 2};
      uint32_t length = 0;
      const uint8_t *found = gv_cache_get(cache, &key, &arena, &length);
      if (pass == 0) {
        CHECK(!found);
        gv_cache_put(cache, &key, (gv_piece){&cut, sizeof cut}, (gv_piece){NULL, 0});
        gv_cache_put(cache, &key, (gv_piece){"none", 4}, (gv_piece){NULL, 0});  // the first stays
      } else {
        CHECK(found && length == sizeof cut && memcmp(found, &cut, sizeof cut) == 0);
        key.owner[1] = 7;
        CHECK(!gv_cache_get(cache, &key, &arena, &length));
      }
    }
  }
  CHECK(gv_cache_count(cache).entries == 21 && gv_cache_count(cache).hits == 21);
  gv_arena_free(&arena);
  gv_cache_free(cache);
}

int main(int argc, char **argv) {
  programs(argc > 1 ? atoi(argv[1]) : 300);
  pieces();
  puts("caches: ok");
}
