// One chain of text stages for tests: lower (maybe), ngrams or hashing, tfidf (maybe). It is linked with the engine's own C files.
#include <stdlib.h>
#include <string.h>

#include "text.h"

typedef struct {
  gv_lower_params lower;
  gv_ngrams_params ngrams;
  gv_tfidf_params tfidf;
  gv_text given[GV_TILE], lowered[GV_TILE];
  int32_t start[2][GV_TILE + 1];
  gv_value values[4];
  int32_t in[3];
  gv_stage stages[3];
  int32_t count;
  gv_run run;
} chain;

chain *chain_new(void) {
  chain *c = calloc(1, sizeof(chain));
  c->values[0] = (gv_value){.type = GV_TEXT, .width = 1, .text = c->given};
  c->values[1] = (gv_value){.type = GV_TEXT, .width = 1, .text = c->lowered};
  return c;
}

void chain_free(chain *c) {
  gv_arena_free(&c->run.arena);
  free(c);
}

const char *chain_unicode(chain *c, const uint8_t *blocks, uint64_t block_count, const uint8_t *classes, uint64_t class_count,
                          const int32_t *lower, uint64_t lower_count, const int32_t *special, uint64_t specials) {
  c->lower.unicode = c->ngrams.unicode =
      (gv_unicode){.blocks = blocks, .classes = classes, .lower = lower, .special = special, .specials = (int32_t)specials};
  return gv_unicode_fault(blocks, block_count, classes, class_count, lower, lower_count, special, specials);
}

const char *chain_dictionary(chain *c, int stop, const uint8_t *bytes, uint64_t total, const uint32_t *offsets, uint64_t offset_count,
                             const uint64_t *table, uint64_t entries) {
  return gv_dictionary_init(stop ? &c->ngrams.stop : &c->ngrams.terms, bytes, total, offsets, offset_count, table, entries);
}

void chain_analyzer(chain *c, int32_t analyzer, int32_t low, int32_t high, int32_t token, int32_t binary, int32_t signs, uint32_t width) {
  c->ngrams.analyzer = analyzer;
  c->ngrams.low = low;
  c->ngrams.high = high;
  c->ngrams.token = token;
  c->ngrams.binary = binary;
  c->ngrams.signs = signs;
  c->ngrams.width = width;
  c->ngrams.inverse = UINT64_MAX / width + 1;
  for (int i = 0; i < 2; i++) c->values[2 + i] = (gv_value){.type = GV_F64, .sparse = 1, .width = (int32_t)width, .start = c->start[i]};
}

static void add(chain *c, int (*run)(const gv_stage *, gv_run *), const void *params, int32_t out) {
  c->in[c->count] = c->count == 0 ? 0 : c->stages[c->count - 1].out;
  c->stages[c->count] = (gv_stage){.run = run, .params = params, .in = &c->in[c->count], .inputs = 1, .out = out, .number = c->count};
  c->count++;
}

void chain_stages(chain *c, int lower, int hashing, int tfidf, int sublinear, const double *idf) {
  c->tfidf = (gv_tfidf_params){.idf = idf, .sublinear = sublinear};
  if (lower) add(c, gv_lower, &c->lower, 1);
  add(c, hashing ? gv_hashing : gv_ngrams, &c->ngrams, 2);
  if (tfidf) add(c, gv_tfidf, &c->tfidf, 3);
}

// chain_run runs rows in tiles, and returns how many entries it wrote; −1 if they do not fit.
int64_t chain_run(chain *c, const uint8_t *bytes, const int64_t *offsets, int64_t rows, int32_t tile, int64_t *start, int32_t *index,
                  double *entry, int64_t room, uint8_t *fault) {
  int64_t n = 0;
  start[0] = 0;
  c->run.values = c->values;
  for (int64_t at = 0; at < rows; at += tile) {
    int32_t some = (int32_t)(rows - at < tile ? rows - at : tile);
    c->run.rows = some;
    memset(c->run.fault, 0, sizeof c->run.fault);
    for (int32_t row = 0; row < some; row++) {
      c->given[row] = (gv_text){.bytes = bytes + offsets[at + row], .length = (uint32_t)(offsets[at + row + 1] - offsets[at + row])};
    }
    if (gv_execute(c->stages, c->count, &c->run)) return -1;
    const gv_value *out = &c->values[c->stages[c->count - 1].out];
    for (int32_t row = 0; row < some; row++) {
      for (int32_t e = out->start[row]; e < out->start[row + 1]; e++, n++) {
        if (n == room) return -1;
        index[n] = out->index[e];
        entry[n] = out->entry[e];
      }
      start[at + row + 1] = n;
      fault[at + row] = c->run.fault[row];
    }
    c->values[2].capacity = c->values[3].capacity = 0;
    gv_reset(&c->run.arena);
  }
  return n;
}

// chain_zeros says whether the memory that stages must leave zero is so.
int chain_zeros(const chain *c) {
  for (size_t i = 0; i < c->run.arena.zeros_size; i++) {
    if (c->run.arena.zeros[i]) return 0;
  }
  return 1;
}
