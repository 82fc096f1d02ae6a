// A dictionary finds the number of a text: of a category, of an n-gram. docs/plan-format.md has its layout.
#ifndef GAVEL_DICTIONARY_H
#define GAVEL_DICTIONARY_H

#include <stdint.h>
#include <string.h>

#define GV_FIBONACCI UINT64_C(0x9E3779B97F4A7C15)

// A dictionary of n texts. It owns none of the memory that it points to.
typedef struct {
  const uint8_t *bytes;
  const uint32_t *offsets;  // [n + 1]
  const uint64_t *table;    // [mask + 1][2]
  uint64_t mask;
  int32_t n;
  int32_t shift;  // 63 − log2(mask + 1)
} gv_dictionary;

// gv_dictionary_init checks three objects, so that gv_find never reads outside of them, ends always, and finds each text as
// its own number. It returns NULL, or what is wrong; then the dictionary must not be used.
const char *gv_dictionary_init(gv_dictionary *, const uint8_t *bytes, uint64_t total, const uint32_t *offsets, uint64_t offset_count,
                               const uint64_t *table, uint64_t entries);

// gv_dictionary_fill is gv_dictionary_init of objects that it has checked before.
void gv_dictionary_fill(gv_dictionary *, const uint8_t *bytes, const uint32_t *offsets, uint64_t offset_count, const uint64_t *table,
                        uint64_t entries);

static inline uint64_t gv_load64(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, 8);
  return word;
}

static inline uint64_t gv_load32(const uint8_t *p) {
  uint32_t word;
  memcpy(&word, p, 4);
  return word;
}

static inline uint64_t gv_mix(uint64_t x) {
  x ^= x >> 32;
  x *= GV_FIBONACCI;
  return x ^ (x >> 29);
}

// gv_key is the key of a text. It reads the text's own bytes only.
static inline uint64_t gv_key(const uint8_t *bytes, uint32_t length) {
  if (length < 8) {
    uint64_t word = 0;
    if (length >= 4) {  // two loads that overlap
      word = gv_load32(bytes) | gv_load32(bytes + length - 4) << (8 * (length - 4));
    } else if (length > 0) {
      word = (uint64_t)bytes[0] | (uint64_t)bytes[length / 2] << (8 * (length / 2)) | (uint64_t)bytes[length - 1] << (8 * (length - 1));
    }
    return word | (uint64_t)(length + 1) << 56;
  }
  uint64_t hash = length;
  uint32_t at = 0;
  for (; at + 8 <= length; at += 8) hash = gv_mix(hash ^ gv_load64(bytes + at));
  if (at < length) hash = gv_mix(hash ^ gv_load64(bytes + length - 8) >> (8 * (8 - (length - at))));
  return hash | UINT64_C(0xFF) << 56;
}

// gv_place is where the search for a key begins.
static inline uint64_t gv_place(const gv_dictionary *d, uint64_t key) { return (key * GV_FIBONACCI >> 1) >> d->shift; }

// gv_prefetch brings that place into the cache: ask for many keys, then find them.
static inline void gv_prefetch(const gv_dictionary *d, uint64_t key) { __builtin_prefetch(d->table + 2 * gv_place(d, key)); }

// gv_find_key returns the number of a text whose key is known, or −1.
static inline int32_t gv_find_key(const gv_dictionary *d, uint64_t key, const uint8_t *bytes, uint32_t length) {
  for (uint64_t place = gv_place(d, key);; place = (place + 1) & d->mask) {
    const uint64_t *entry = d->table + 2 * place;
    if (entry[1] == 0) return -1;
    if (entry[0] != key) continue;
    int32_t number = (int32_t)(entry[1] - 1);
    if (length < 8) return number;
    uint32_t from = d->offsets[number];
    if (d->offsets[number + 1] - from == length && memcmp(d->bytes + from, bytes, length) == 0) return number;
  }
}

// gv_find returns the number of a text, or −1.
static inline int32_t gv_find(const gv_dictionary *d, const uint8_t *bytes, uint32_t length) {
  return gv_find_key(d, gv_key(bytes, length), bytes, length);
}

#endif
