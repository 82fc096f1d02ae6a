#include "text.h"

#define SIGMA 0x3A3
#define SMALL_SIGMA 0x3C3
#define FINAL_SIGMA 0x3C2

static int is_character(int64_t c) { return c >= 0 && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF); }

static uint32_t bytes_of(uint32_t c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }

static uint8_t *encode(uint8_t *to, uint32_t c) {
  if (c < 0x80) {
    *to++ = (uint8_t)c;
  } else if (c < 0x800) {
    *to++ = (uint8_t)(0xC0 | c >> 6);
    *to++ = (uint8_t)(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    *to++ = (uint8_t)(0xE0 | c >> 12);
    *to++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    *to++ = (uint8_t)(0x80 | (c & 0x3F));
  } else {
    *to++ = (uint8_t)(0xF0 | c >> 18);
    *to++ = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    *to++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    *to++ = (uint8_t)(0x80 | (c & 0x3F));
  }
  return to;
}

static const int32_t *find_special(const gv_unicode *u, uint32_t c) {
  int32_t low = 0, high = u->specials;
  while (low < high) {
    int32_t middle = (low + high) / 2;
    if ((uint32_t)u->special[4 * middle] < c) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < u->specials && (uint32_t)u->special[4 * low] == c ? u->special + 4 * low : NULL;
}

static int is_ascii_space(uint32_t c) { return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31); }
static int is_ascii_upper(uint32_t c) { return c >= 'A' && c <= 'Z'; }
static int is_ascii_word(uint32_t c) { return is_ascii_upper(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }

const char *gv_unicode_fault(const uint8_t *blocks, uint64_t block_count, const uint8_t *classes, uint64_t class_count,
                             const int32_t *lower, uint64_t lower_count, const int32_t *special, uint64_t specials) {
  if (block_count != GV_BLOCKS) return "blocks are not 4352";
  if (class_count != lower_count || class_count == 0 || class_count % 256 != 0) return "classes and lower are not of the same blocks of 256";
  for (uint32_t i = 0; i < GV_BLOCKS; i++) {
    if (blocks[i] >= class_count / 256) return "blocks names a block that is not there";
  }
  if (specials > 0x110000) return "special has too many rows";
  const gv_unicode tables = {.blocks = blocks, .classes = classes, .lower = lower, .special = special, .specials = (int32_t)specials}, *u = &tables;
  for (uint64_t i = 0; i < specials; i++) {
    const int32_t *row = special + 4 * i;
    if (!is_character(row[0]) || (i > 0 && row[0] <= row[-4])) return "special does not ascend, or holds no character";
    if (!(gv_class(u, (uint32_t)row[0]) & GV_SPECIAL)) return "special holds a character that classes does not send there";
    uint32_t bytes = 0;
    for (int j = 1; j < 4; j++) {
      if (!is_character(row[j])) return "special holds no character";
      if (row[j] != 0) bytes += bytes_of((uint32_t)row[j]);
    }
    if (bytes > GV_LOWER_GROWTH * bytes_of((uint32_t)row[0])) return "special holds a lower case that is too long";
  }
  for (uint32_t c = 0; c <= 0x10FFFF; c++) {
    if (!is_character(c)) continue;
    uint8_t class = gv_class(u, c);
    int64_t low = (int64_t)c + lower[(uint32_t)blocks[c >> 8] << 8 | (c & 255)];
    if (class & GV_SPECIAL) {
      if (!find_special(u, c)) return "classes sends a character to special that is not there";
    } else if (!is_character(low) || bytes_of((uint32_t)low) > GV_LOWER_GROWTH * bytes_of(c)) {
      return "lower leads to no character";
    }
    if (c < 0x80) {
      int wanted = (is_ascii_word(c) ? GV_WORD : 0) | (is_ascii_space(c) ? GV_SPACE : 0);
      if ((class & (GV_WORD | GV_SPACE | GV_SPECIAL)) != wanted || low != (is_ascii_upper(c) ? c + 32 : c)) return "ASCII is not as it is everywhere";
    }
  }
  return NULL;
}

// is_final says whether the sigma that ends at `at` is final, if a cased character is before it: no cased one may follow.
static int is_final(const gv_unicode *u, const gv_text *text, uint32_t at) {
  while (at < text->length) {
    uint32_t c, n = gv_decode(text->bytes, at, text->length, &c);
    if (n == 0) return 0;  // the whole text is refused when that is reached
    uint8_t class = gv_class(u, c);
    if (!(class & GV_IGNORABLE)) return !(class & GV_CASED);
    at += n;
  }
  return 1;
}

// lower_into writes a text's lower case, and returns its end; NULL if the text is not UTF-8.
static uint8_t *lower_into(uint8_t *to, const gv_unicode *u, const gv_text *text) {
  uint8_t before = 0;  // class of the last character that is not case-ignorable
  for (uint32_t at = 0; at < text->length;) {
    uint32_t c, n = gv_decode(text->bytes, at, text->length, &c);
    if (n == 0) return NULL;
    at += n;
    uint32_t place = (uint32_t)u->blocks[c >> 8] << 8 | (c & 255);
    uint8_t class = u->classes[place];
    if (c == SIGMA) {
      to = encode(to, (before & GV_CASED) && is_final(u, text, at) ? FINAL_SIGMA : SMALL_SIGMA);
    } else if (class & GV_SPECIAL) {
      const int32_t *row = find_special(u, c);
      for (int j = 1; j < 4 && row[j] != 0; j++) to = encode(to, (uint32_t)row[j]);
    } else {
      to = encode(to, c + (uint32_t)u->lower[place]);
    }
    if (!(class & GV_IGNORABLE)) before = class;
  }
  return to;
}

int gv_lower(const gv_stage *stage, gv_run *run) {
  const gv_lower_params *p = stage->params;
  const gv_text *in = run->values[stage->in[0]].text;
  gv_text *out = run->values[stage->out].text;
  for (int32_t row = 0; row < run->rows; row++) {
    const gv_text *text = &in[row];
    out[row] = (gv_text){.bytes = text->bytes, .length = 0};
    if (!gv_readable(stage, run, row, text)) continue;
    int ascii = gv_is_ascii(text->bytes, text->length);
    uint8_t *to = gv_take(&run->arena, (ascii ? 1 : GV_LOWER_GROWTH) * (size_t)text->length + 1);
    if (!to) return GV_MEMORY;
    uint8_t *end = to + text->length;
    if (ascii) {
      for (uint32_t i = 0; i < text->length; i++) {
        uint8_t c = text->bytes[i];
        to[i] = (uint8_t)(c + ((uint8_t)(c - 'A') < 26 ? 32 : 0));
      }
    } else if (end = lower_into(to, &p->unicode, text), !end) {
      gv_fail(run, stage->number, row, GV_NOT_UTF8);
      continue;
    }
    out[row] = (gv_text){.bytes = to, .length = (uint32_t)(end - to)};
  }
  return 0;
}
