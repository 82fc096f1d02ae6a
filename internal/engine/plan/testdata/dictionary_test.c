// Dictionaries of random texts, written as the page says, with every text found, strangers not, and damage refused.
// make -C internal/engine/plan/testdata runs it under the address sanitizer.
#include "../dictionary.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) {                                                   \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
      exit(1);                                                            \
    }                                                                     \
  } while (0)

static uint64_t state = 1;
static uint64_t draw(uint64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (state >> 33) % n;
}

// slow_key follows the page byte by byte.
static uint64_t slow_key(const uint8_t *bytes, uint32_t length) {
  uint64_t key = 0;
  if (length <= 7) {
    for (uint32_t i = 0; i < length; i++) key |= (uint64_t)bytes[i] << (8 * i);
    return key | (uint64_t)(length + 1) << 56;
  }
  uint64_t h = length;
  for (uint32_t at = 0; at < length; at += 8) {
    uint64_t word = 0;
    for (uint32_t i = 0; i < 8 && at + i < length; i++) word |= (uint64_t)bytes[at + i] << (8 * i);
    uint64_t x = h ^ word;
    x = x ^ (x >> 32);
    x = x * 0x9E3779B97F4A7C15u;
    h = x ^ (x >> 29);
  }
  return (h & 0x00FFFFFFFFFFFFFFu) | (uint64_t)0xFF << 56;
}

typedef struct {
  uint8_t *bytes;
  uint32_t *offsets;
  uint64_t *table, total, n, entries;
} objects;

// write makes the objects of the texts "0xxx…", "1xxx…", each of exactly its size, so that the sanitizer sees one byte too far.
static objects write(uint64_t n, uint64_t spare, uint32_t longest) {
  objects o = {.n = n, .entries = 1};
  while (o.entries < 2 * n) o.entries *= 2;
  o.entries <<= spare;
  o.offsets = malloc((n + 1) * 4);
  o.offsets[0] = 0;
  uint8_t *all = malloc(n * (longest + 8) + 1);
  for (uint64_t i = 0; i < n; i++) {
    uint32_t length = (uint32_t)sprintf((char *)all + o.total, "%llu", (unsigned long long)i);
    for (uint32_t more = (uint32_t)draw(longest); more > 0; more--) all[o.total + length++] = (uint8_t)("xyz\xC3")[draw(4)];
    o.total += length;
    o.offsets[i + 1] = (uint32_t)o.total;
  }
  o.bytes = malloc(o.total ? o.total : 1);
  memcpy(o.bytes, all, o.total);
  free(all);
  o.table = calloc(o.entries, 16);
  int bits = 0;
  while ((UINT64_C(1) << bits) < o.entries) bits++;
  for (uint64_t i = 0; i < n; i++) {
    uint64_t key = slow_key(o.bytes + o.offsets[i], o.offsets[i + 1] - o.offsets[i]);
    uint64_t place = bits == 0 ? 0 : (key * 0x9E3779B97F4A7C15u) >> (64 - bits);
    while (o.table[2 * place + 1] != 0) place = (place + 1) % o.entries;
    o.table[2 * place] = key;
    o.table[2 * place + 1] = i + 1;
  }
  return o;
}

static const char *init(gv_dictionary *d, const objects *o) {
  return gv_dictionary_init(d, o->bytes, o->total, o->offsets, o->n + 1, o->table, o->entries);
}

static void test(uint64_t n, uint64_t spare, uint32_t longest) {
  objects o = write(n, spare, longest);
  gv_dictionary d;
  const char *fault = init(&d, &o);
  if (fault) fprintf(stderr, "n=%llu: %s\n", (unsigned long long)n, fault);
  CHECK(fault == NULL);
  for (uint64_t i = 0; i < n; i++) {
    uint32_t length = o.offsets[i + 1] - o.offsets[i];
    uint8_t *copy = malloc(length + 1);
    memcpy(copy, o.bytes + o.offsets[i], length);
    copy = realloc(copy, length);
    CHECK(gv_key(copy, length) == slow_key(copy, length));
    CHECK(gv_find(&d, copy, length) == (int32_t)i);
    copy[length - 1] ^= 0x15;  // a stranger: no text has such a byte at its end
    CHECK(gv_find(&d, copy, length) == -1);
    free(copy);
  }
  CHECK(gv_find(&d, (const uint8_t *)"", 0) == -1);
  for (int round = 0; round < 200 && n > 0; round++) {  // one damage: refused, or without effect on what is found
    uint64_t at = draw(2 * o.entries), old = o.table[at];
    o.table[at] = draw(2) ? draw(n + 3) : old ^ (UINT64_C(1) << draw(64));
    int changed = o.table[at] != old;
    CHECK((init(&d, &o) != NULL) == changed);
    o.table[at] = old;
    at = draw(n + 1);
    uint32_t offset = o.offsets[at];
    o.offsets[at] = (uint32_t)draw(o.total + 100);
    changed = o.offsets[at] != offset;
    init(&d, &o);  // may hold still: a longer text of the same hash is not to be found; it must not read too far
    o.offsets[at] = offset;
  }
  free(o.bytes), free(o.offsets), free(o.table);
}

int main(void) {
  for (uint32_t length = 0; length < 40; length++) {
    uint8_t *text = malloc(length);
    for (uint32_t i = 0; i < length; i++) text[i] = (uint8_t)draw(256);
    CHECK(gv_key(text, length) == slow_key(text, length));
    free(text);
  }
  for (uint64_t n = 0; n < 40; n++) {
    for (uint64_t spare = 0; spare < 3; spare++) test(n, spare, 12);
  }
  test(20000, 0, 40);
  gv_dictionary d;
  uint32_t zero[2] = {0, 0};
  uint64_t full[4] = {UINT64_C(1) << 56, 1, 0, 0};
  CHECK(gv_dictionary_init(&d, NULL, 0, zero, 0, full, 2) != NULL);
  CHECK(gv_dictionary_init(&d, NULL, 0, zero, 1, full, 0) != NULL);
  CHECK(gv_dictionary_init(&d, NULL, 0, zero, 2, full, 1) != NULL);
  puts("dictionary: ok");
  return 0;
}
