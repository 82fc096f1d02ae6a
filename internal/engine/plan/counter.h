// The counter of n-grams: searches that wait, hits, and their counts by column. One row at a time; ngrams.c says what a row is.
//
// Keys are computed and prefetched in batches, so that the cache misses of many searches overlap, and then found. What is found is a
// hit: a column, and a sign. At the row's end hits are counted by column, ascending. Sorting them would take longer than all else,
// so columns are marked in a bitmap, in whose order they leave, and a hit finds its column's entry by counting the bits before.
#ifndef GAVEL_PLAN_COUNTER_H
#define GAVEL_PLAN_COUNTER_H

#include "text.h"

#define BATCH 256        // searches at once
#define MOST_HITS 65536  // of a row; what is more is counted in an array
#define PAD 8            // bytes that can be read after a line

typedef struct {
  const gv_ngrams_params *params;
  gv_run *run;
  int hashing;

  // The line.
  uint8_t *bytes;
  uint32_t *at;   // where each character begins, and the last one ends; or where each word begins
  uint32_t *end;  // where each word ends
  uint32_t length, count;  // bytes; characters or words

  // Searches that wait: of texts of at most 7 bytes, and of longer ones.
  int32_t shorts, longs;
  uint64_t short_key[BATCH];
  uint64_t long_key[BATCH];
  uint32_t long_at[BATCH], long_length[BATCH];

  // Hits of the row: column · 2, + 1 if it counts as −1.
  uint32_t *hits;
  int32_t found, room;

  // The bitmap: columns, and which of its words are not 0. Both are all zeros between rows. `before` is of each word that is not 0
  // how many columns of the row are before it.
  uint64_t *touched, *words;
  uint32_t *before;

  // Counts of the row by column, once there was no more room for hits.
  int32_t *counts;
  int64_t counted;
} counter;

static inline void touch(counter *c, uint32_t column) {
  c->touched[column / 64] |= UINT64_C(1) << column % 64;
  c->words[column / 4096] |= UINT64_C(1) << column / 64 % 64;
}

// count_hits moves hits into the array of counts.
static int count_hits(counter *c) {
  if (!c->counts) c->counts = gv_alloc(&c->run->arena, sizeof(int32_t) * (size_t)c->params->width);
  if (!c->counts) return GV_MEMORY;
  for (int32_t i = 0; i < c->found; i++) {
    touch(c, c->hits[i] >> 1);
    c->counts[c->hits[i] >> 1] += c->hits[i] & 1 ? -1 : 1;
  }
  c->counted += c->found;
  c->found = 0;
  return 0;
}

// make_room has room for a batch of hits.
static inline int make_room(counter *c) { return c->found + BATCH <= c->room ? 0 : count_hits(c); }

// search finds what waits.
static int search(counter *c) {
  const gv_dictionary *d = &c->params->terms;
  if (make_room(c)) return GV_MEMORY;
  for (int32_t i = 0; i < c->shorts; i++) {
    uint64_t key = c->short_key[i];
    const uint64_t *entry = d->table + 2 * gv_place(d, key);
    while (__builtin_expect(entry[0] != key && entry[1] != 0, 0)) entry = d->table + 2 * (((uint64_t)(entry - d->table) / 2 + 1) & d->mask);
    c->hits[c->found] = (uint32_t)(entry[1] - 1) << 1;
    c->found += entry[1] != 0;
  }
  c->shorts = 0;
  if (c->longs == 0) return 0;
  if (make_room(c)) return GV_MEMORY;
  for (int32_t i = 0; i < c->longs; i++) {
    int32_t number = gv_find_key(d, c->long_key[i], c->bytes + c->long_at[i], c->long_length[i]);
    if (number >= 0) c->hits[c->found++] = (uint32_t)number << 1;
  }
  c->longs = 0;
  return 0;
}

static inline uint32_t rotate(uint32_t x, int by) { return x << by | x >> (32 - by); }

static inline uint32_t murmur_block(uint32_t k) { return rotate(k * 0xCC9E2D51, 15) * 0x1B873593; }

// murmur is MurmurHash3_x86_32 with seed 0. It may read 8 bytes after the text.
static inline uint32_t murmur(const uint8_t *bytes, uint32_t length) {
  uint32_t h = 0, at = 0;
  for (; at + 4 <= length; at += 4) h = rotate(h ^ murmur_block((uint32_t)gv_load32(bytes + at)), 13) * 5 + 0xE6546B64;
  uint32_t tail = (uint32_t)(gv_load32(bytes + at) & ((UINT64_C(1) << (8 * (length - at))) - 1));
  h ^= murmur_block(tail);  // of 0 it is 0
  h ^= length;
  h = (h ^ h >> 16) * 0x85EBCA6B;
  h = (h ^ h >> 13) * 0xC2B2AE35;
  return h ^ h >> 16;
}

// hash_hit is the hit of an n-gram whose hash is h: column |h| mod width.
static inline uint32_t hash_hit(const gv_ngrams_params *p, uint32_t h) {
  uint32_t negative = h >> 31, size = negative ? -h : h;
  uint64_t low = p->inverse * size;
  uint32_t column = (uint32_t)(((unsigned __int128)low * p->width) >> 64);  // exact: size has 32 bits
  return column << 1 | (negative & (uint32_t)p->signs);
}

// put adds the n-gram in bytes [at, at + length) of the line.
static inline int put(counter *c, uint32_t at, uint32_t length) {
  const uint8_t *bytes = c->bytes + at;
  if (c->hashing) {
    c->hits[c->found++] = hash_hit(c->params, murmur(bytes, length));
    return make_room(c);
  }
  const gv_dictionary *d = &c->params->terms;
  if (length < 8) {
    uint64_t key = (gv_load64(bytes) & ((UINT64_C(1) << 8 * length) - 1)) | (uint64_t)(length + 1) << 56;
    gv_prefetch(d, key);
    c->short_key[c->shorts++] = key;
    return c->shorts < BATCH ? 0 : search(c);
  }
  uint64_t key = gv_key(bytes, length);
  gv_prefetch(d, key);
  c->long_key[c->longs] = key;
  c->long_at[c->longs] = at;
  c->long_length[c->longs] = length;
  c->longs++;
  return c->longs < BATCH ? 0 : search(c);
}

// ones is how many bits are set.
static inline uint32_t ones(uint64_t x) {
  x -= x >> 1 & UINT64_C(0x5555555555555555);
  x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
  return (uint32_t)(((x + (x >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F)) * UINT64_C(0x0101010101010101) >> 56);
}

// finish_row writes the counts of the row from entry n of the value on, and returns where they end; −1 without memory.
static int64_t finish_row(counter *c, gv_value *out, int64_t n) {
  const gv_ngrams_params *p = c->params;
  if (c->counted > 0 && count_hits(c)) return -1;
  int64_t most = c->counted > 0 ? c->counted : c->found;
  if (gv_grow(c->run, out, n + (most < p->width ? most : p->width))) return -1;
  uint64_t *touched = c->touched;
  uint32_t *before = c->before;
  for (int32_t i = 0; i < c->found; i++) touch(c, c->hits[i] >> 1);

  int32_t *index = out->index + n;
  double *entry = out->entry + n;
  uint32_t columns = 0, parts = p->width / 4096 + 1;
  for (uint32_t part = 0; part < parts; part++) {
    for (uint64_t words = c->words[part]; words != 0; words &= words - 1) {
      uint32_t word = 64 * part + (uint32_t)__builtin_ctzll(words);
      before[word] = columns;
      for (uint64_t bits = touched[word]; bits != 0; bits &= bits - 1) {
        index[columns] = (int32_t)(64 * word + (uint32_t)__builtin_ctzll(bits));
        entry[columns++] = p->binary;
      }
    }
  }
  if (c->counted > 0) {
    for (uint32_t i = 0; i < columns; i++) {
      if (!p->binary) entry[i] = c->counts[index[i]];
      c->counts[index[i]] = 0;
    }
  } else if (!p->binary) {
    for (int32_t i = 0; i < c->found; i++) {
      uint32_t column = c->hits[i] >> 1;
      uint64_t bits = touched[column / 64] & ((UINT64_C(1) << column % 64) - 1);
      entry[before[column / 64] + ones(bits)] += c->hits[i] & 1 ? -1 : 1;
    }
  }
  for (uint32_t part = 0; part < parts; part++) {
    for (uint64_t words = c->words[part]; words != 0; words &= words - 1) touched[64 * part + (uint32_t)__builtin_ctzll(words)] = 0;
    c->words[part] = 0;
  }
  c->found = 0;
  c->counted = 0;
  return n + columns;
}

#endif
