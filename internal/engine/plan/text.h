// The stages of text, with their parameters. docs/plan-format.md says what they compute.
#ifndef GAVEL_TEXT_H
#define GAVEL_TEXT_H

#include "dictionary.h"
#include "plan.h"

#define GV_MOST_TEXT (1 << 20)  // bytes of a text that is analyzed

enum { GV_WORD = 1, GV_SPACE = 2, GV_CASED = 4, GV_IGNORABLE = 8, GV_SPECIAL = 16 };  // classes of characters

// What is known of characters. It owns none of the memory that it points to.
typedef struct {
  const uint8_t *blocks;   // [4352]
  const uint8_t *classes;  // [blocks there are][256]
  const int32_t *lower;    // [blocks there are][256]
  const int32_t *special;  // [specials][4]
  int32_t specials;
} gv_unicode;

#define GV_BLOCKS 4352
#define GV_LOWER_GROWTH 3  // a lower case has at most three times the bytes; gv_unicode_fault checks it

// gv_unicode_fault checks four objects: that stages may use them for all of Unicode, and that ASCII in them is as everywhere. It
// returns NULL, or what is wrong.
const char *gv_unicode_fault(const uint8_t *blocks, uint64_t block_count, const uint8_t *classes, uint64_t class_count,
                             const int32_t *lower, uint64_t lower_count, const int32_t *special, uint64_t specials);

typedef struct {
  gv_unicode unicode;
} gv_lower_params;
int gv_lower(const gv_stage *, gv_run *);

// Texts for characters: that of c is texts[row], row = rows[blocks[c >> 8]][c & 255], or c itself where that is −1.
typedef struct {
  const uint8_t *blocks;  // [4352]
  const int32_t *rows;    // [blocks there are][256]
  const uint8_t *bytes;
  const uint32_t *offsets;  // [texts + 1]
  int32_t ascii_stays;      // no ASCII character is replaced
} gv_replace_params;
int gv_replace_characters(const gv_stage *, gv_run *);

typedef enum { GV_WORDS = 1, GV_CHARS, GV_CHARS_IN_WORDS } gv_analyzer;

typedef struct {
  gv_unicode unicode;  // without lower case
  gv_dictionary terms;  // of ngrams
  gv_dictionary stop;   // table NULL if there is none
  int32_t analyzer;     // gv_analyzer
  int32_t low, high;    // length of n-grams, 1 ≤ low ≤ high
  int32_t token;        // least characters of a word
  int32_t binary;
  int32_t signs;  // of hashing: alternate_sign
  uint32_t width;  // columns
  uint64_t inverse;  // of hashing: UINT64_MAX / width + 1
} gv_ngrams_params;
int gv_ngrams(const gv_stage *, gv_run *);
int gv_hashing(const gv_stage *, gv_run *);  // terms are not used

typedef struct {
  const double *idf;  // [width], or NULL
  int32_t sublinear;
} gv_tfidf_params;
int gv_tfidf(const gv_stage *, gv_run *);

// gv_class is the class of a code point.
static inline uint8_t gv_class(const gv_unicode *u, uint32_t c) { return u->classes[(uint32_t)u->blocks[c >> 8] << 8 | (c & 255)]; }

// gv_decode reads a character of UTF-8 at `at` < length. It returns how many bytes it has; 0 if that is not UTF-8.
static inline uint32_t gv_decode(const uint8_t *bytes, uint32_t at, uint32_t length, uint32_t *c) {
  const uint8_t *p = bytes + at;
  uint32_t left = length - at, b = p[0];
  if (b < 0x80) {
    *c = b;
    return 1;
  }
#define GV_MORE(i) ((p[i] & 0xC0) == 0x80)
  if (b < 0xE0) {
    if (b < 0xC2 || left < 2 || !GV_MORE(1)) return 0;
    *c = (b & 0x1F) << 6 | (p[1] & 0x3F);
    return 2;
  }
  if (b < 0xF0) {
    if (left < 3 || !GV_MORE(1) || !GV_MORE(2)) return 0;
    uint32_t x = (b & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    if (x < 0x800 || (x >= 0xD800 && x < 0xE000)) return 0;
    *c = x;
    return 3;
  }
  if (b > 0xF4 || left < 4 || !GV_MORE(1) || !GV_MORE(2) || !GV_MORE(3)) return 0;
  uint32_t x = (b & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 | (uint32_t)(p[2] & 0x3F) << 6 | (p[3] & 0x3F);
#undef GV_MORE
  if (x < 0x10000 || x > 0x10FFFF) return 0;
  *c = x;
  return 4;
}

// gv_is_ascii says whether all bytes are below 0x80.
static inline int gv_is_ascii(const uint8_t *bytes, uint32_t length) {
  uint8_t all = 0;
  for (uint32_t i = 0; i < length; i++) all |= bytes[i];
  return all < 0x80;
}

// gv_readable says whether a row's text can be analyzed, and fails the row if not.
static inline int gv_readable(const gv_stage *stage, gv_run *run, int32_t row, const gv_text *text) {
  if (text->length == 1 && text->bytes[0] == 0xFF) gv_fail(run, stage->number, row, GV_NO_TEXT);
  if (text->length > GV_MOST_TEXT) gv_fail(run, stage->number, row, GV_TOO_LONG);
  return run->fault[row] == GV_OK;
}

#endif
