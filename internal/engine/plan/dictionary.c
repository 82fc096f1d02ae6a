#include "dictionary.h"

void gv_dictionary_fill(gv_dictionary *d, const uint8_t *bytes, const uint32_t *offsets, uint64_t offset_count, const uint64_t *table,
                        uint64_t entries) {
  *d = (gv_dictionary){.bytes = bytes, .offsets = offsets, .table = table, .mask = entries - 1, .n = (int32_t)(offset_count - 1),
                       .shift = 63 - __builtin_ctzll(entries)};
}

const char *gv_dictionary_init(gv_dictionary *d, const uint8_t *bytes, uint64_t total, const uint32_t *offsets, uint64_t offset_count,
                               const uint64_t *table, uint64_t entries) {
  if (offset_count == 0) return "offsets are empty";
  uint64_t n = offset_count - 1;
  if (n > INT32_MAX - 1) return "too many texts";
  if (offsets[0] != 0) return "the first offset is not 0";
  for (uint64_t i = 0; i < n; i++) {
    if (offsets[i] > offsets[i + 1]) return "offsets descend";
  }
  if (offsets[n] != total) return "the last offset is not the number of bytes";
  if (entries == 0 || (entries & (entries - 1)) != 0) return "the table's size is not a power of two";
  if (entries < 2 * n) return "the table is more than half full";
  uint64_t used = 0;
  for (uint64_t i = 0; i < entries; i++) {
    uint64_t key = table[2 * i], number = table[2 * i + 1];
    if (number > n) return "the table names a text that is not there";
    if (number == 0 && key != 0) return "the table has a key without a text";
    used += number != 0;
  }
  if (used != n) return "the table does not hold each text once";
  gv_dictionary_fill(d, bytes, offsets, offset_count, table, entries);
  // There is a free entry now, since entries ≥ 2n > n, so that every search ends.
  for (uint64_t i = 0; i < n; i++) {
    if (gv_find(d, bytes + offsets[i], offsets[i + 1] - offsets[i]) != (int32_t)i) return "the table does not find each text, or a text is there twice";
  }
  return NULL;
}
