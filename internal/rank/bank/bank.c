// The kernel. For each segment it finds the profile's values in four steps, each of which prefetches what the next one reads, for
// all features together: table, value, text and list, weights. Then dense rows are added to the base in one pass, and lists one by one.
#include "bank.h"

#include <stddef.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define CHUNK 64  // features that are looked up together
#define FIBONACCI UINT64_C(0x9E3779B97F4A7C15)

typedef double doubles __attribute__((vector_size(32), aligned(8)));
typedef float floats __attribute__((vector_size(16), aligned(4)));

INLINE uint64_t mix(uint64_t x) {
  x ^= x >> 32;
  x *= FIBONACCI;
  return x ^ (x >> 29);
}

static uint64_t hash_of(uint64_t seed, const uint8_t *text, uint32_t length) {
  uint64_t hash = mix(seed ^ length), word = 0;
  for (; length >= 8; length -= 8, text += 8) {
    memcpy(&word, text, 8);
    hash = mix(hash ^ word) * FIBONACCI;
  }
  word = 0;
  for (uint32_t i = 0; i < length; i++) word |= (uint64_t)text[i] << (8 * i);
  return mix(hash ^ word) + seed;
}

// place_of mixes a feature's number into a text's hash.
INLINE uint64_t place_of(uint64_t hash, uint32_t feature) { return mix(hash + (feature + 1) * FIBONACCI); }

void bank_fill(const bank_segment *s, bank_slot *table) {
  for (int32_t f = 0; f < s->features; f++) {
    for (uint32_t v = s->first[f]; v < s->first[f + 1]; v++) {
      const bank_value *value = s->values + v;
      uint64_t hash = place_of(hash_of(s->seed, s->text + value[0].text, value[1].text - value[0].text), (uint32_t)f);
      uint32_t place = (uint32_t)hash & s->mask;
      while (table[place].value != 0) place = (place + 1) & s->mask;
      table[place] = (bank_slot){.tag = (uint32_t)(hash >> 32), .value = v + 1};
    }
  }
}

// candidate returns the next value at or after a place whose tag is the hash's, or −1; the place moves behind it.
INLINE int64_t candidate(const bank_segment *s, uint64_t hash, uint32_t *place) {
  for (uint32_t tag = (uint32_t)(hash >> 32);;) {
    const bank_slot *slot = s->table + *place;
    *place = (*place + 1) & s->mask;
    if (slot->value == 0) return -1;
    if (slot->tag == tag) return (int64_t)slot->value - 1;
  }
}

INLINE int is(const bank_segment *s, int64_t value, int32_t feature, const uint8_t *text, uint32_t length) {
  const bank_value *v = s->values + value;
  return value >= s->first[feature] && value < s->first[feature + 1] && v[1].text - v[0].text == length &&
         memcmp(s->text + v->text, text, length) == 0;
}

// find writes the values of features from … to − 1 that the segment knows, and returns how many.
INLINE int32_t find(const bank_segment *s, const int32_t *which, int32_t from, int32_t to, const uint8_t *bytes, const bank_text *texts,
                    const bank_value **found) {
  uint64_t hash[CHUNK];
  uint32_t place[CHUNK];
  int64_t value[CHUNK];
  int32_t n = to - from, count = 0;
  for (int32_t i = 0; i < n; i++) {
    hash[i] = place_of(texts[which[from + i]].hash, (uint32_t)(from + i));
    place[i] = (uint32_t)hash[i] & s->mask;
    __builtin_prefetch(s->table + place[i]);
  }
  for (int32_t i = 0; i < n; i++) {
    value[i] = texts[which[from + i]].length == BANK_UNKNOWN ? -1 : candidate(s, hash[i], &place[i]);
    if (value[i] >= 0) __builtin_prefetch(s->values + value[i]);
  }
  for (int32_t i = 0; i < n; i++) {
    if (value[i] < 0) continue;
    const bank_value *v = s->values + value[i];
    __builtin_prefetch(s->text + v->text);
    __builtin_prefetch(s->entries + v->list);
    if (v->dense >= 0) __builtin_prefetch(s->dense + (size_t)v->dense * (size_t)s->padded);
  }
  for (int32_t i = 0; i < n; i++) {
    const bank_text *t = texts + which[from + i];
    while (value[i] >= 0 && !is(s, value[i], from + i, bytes + t->from, t->length)) value[i] = candidate(s, hash[i], &place[i]);
    if (value[i] >= 0) found[count++] = s->values + value[i];
  }
  return count;
}

// add_dense writes from + the sum of dense rows, n a multiple of BANK_LANES.
INLINE void add_dense(const double *from, const float *const *rows, int32_t count, int32_t n, double *to) {
  for (int32_t i = 0; i < n; i += 8) {
    doubles low = *(const doubles *)(from + i), high = *(const doubles *)(from + i + 4);
    for (int32_t r = 0; r < count; r++) {
      low += __builtin_convertvector(*(const floats *)(rows[r] + i), doubles);
      high += __builtin_convertvector(*(const floats *)(rows[r] + i + 4), doubles);
    }
    *(doubles *)(to + i) = low;
    *(doubles *)(to + i + 4) = high;
  }
}

INLINE void score_segment(const bank_part *p, const uint8_t *bytes, const bank_text *texts, double *sums) {
  const bank_segment *s = p->segment;
  const double *from = s->base;
  int32_t first = 0;
  do {
    int32_t end = s->features - first > CHUNK ? first + CHUNK : s->features, dense = 0;
    const bank_value *found[CHUNK];
    const float *rows[CHUNK];
    int32_t count = find(s, p->texts, first, end, bytes, texts, found);
    for (int32_t i = 0; i < count; i++) {
      if (found[i]->dense >= 0) rows[dense++] = s->dense + (size_t)found[i]->dense * (size_t)s->padded;
    }
    add_dense(from, rows, dense, s->padded, sums);
    for (int32_t i = 0; i < count; i++) {
      const bank_entry *e = s->entries + found[i][0].list, *last = s->entries + found[i][1].list;
      for (; e < last; e++) sums[e->row & (BANK_FINE - 1)] += (double)e->delta;
    }
    from = sums;
    first = end;
  } while (first < s->features);
}

INLINE void score(uint64_t seed, const bank_part *priors, int32_t prior_count, const bank_part *parts, int32_t part_count,
                  const uint8_t *bytes, bank_text *texts, int32_t text_count, double *prior_logits, double *logits) {
  double sums[BANK_ROWS];
  for (int32_t i = 0; i < text_count; i++) {
    texts[i].hash = texts[i].length == BANK_UNKNOWN ? 0 : hash_of(seed, bytes + texts[i].from, texts[i].length);
  }
  for (int32_t i = 0; i < prior_count; i++) {
    score_segment(priors + i, bytes, texts, sums);
    prior_logits[i] = sums[0];
  }
  for (int32_t i = 0; i < part_count; i++) {
    score_segment(parts + i, bytes, texts, sums);
    for (int64_t r = 0; r < parts[i].run_count; r++) {
      bank_run run = parts[i].runs[r];
      double prior = run.prior < 0 ? 0 : prior_logits[run.prior];
      for (int32_t row = run.from; row < run.to; row++) *logits++ = sums[row] + prior;
    }
  }
}

#if defined(__x86_64__)
// AVX2 computes the same bits, in half the time.
__attribute__((target("avx2"))) static void score_avx2(uint64_t seed, const bank_part *priors, int32_t prior_count, const bank_part *parts,
                                                       int32_t part_count, const uint8_t *bytes, bank_text *texts, int32_t text_count,
                                                       double *prior_logits, double *logits) {
  score(seed, priors, prior_count, parts, part_count, bytes, texts, text_count, prior_logits, logits);
}
#endif

void bank_score(uint64_t seed, const bank_part *priors, int32_t prior_count, const bank_part *parts, int32_t part_count,
                const uint8_t *bytes, bank_text *texts, int32_t text_count, double *prior_logits, double *logits) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    score_avx2(seed, priors, prior_count, parts, part_count, bytes, texts, text_count, prior_logits, logits);
    return;
  }
#endif
  score(seed, priors, prior_count, parts, part_count, bytes, texts, text_count, prior_logits, logits);
}
