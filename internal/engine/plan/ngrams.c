// n-grams of texts, counted by column: of a dictionary, or of a hash.
//
// A row is analyzed into a line: its bytes as the analyzer leaves them, and where characters or words begin. n-grams are spans of
// the line's bytes. counter.h finds and counts them.
#include <string.h>

#include "counter.h"

// put_ascii adds all n-grams of n bytes in [from, to) of a line of ASCII.
static inline int put_ascii(counter *c, uint32_t from, uint32_t to, uint32_t n) {
  if (c->hashing || n > 7) {
    for (uint32_t i = from; i + n <= to; i++) {
      if (put(c, i, n)) return GV_MEMORY;
    }
    return 0;
  }
  const gv_dictionary *d = &c->params->terms;
  uint64_t mask = (UINT64_C(1) << 8 * n) - 1, length = (uint64_t)(n + 1) << 56;
  for (uint32_t i = from; i + n <= to;) {
    uint32_t left = to - n + 1 - i, some = (uint32_t)(BATCH - c->shorts) < left ? (uint32_t)(BATCH - c->shorts) : left;
    uint64_t *keys = c->short_key + c->shorts;
    for (uint32_t j = 0; j < some; j++) {
      keys[j] = (gv_load64(c->bytes + i + j) & mask) | length;
      gv_prefetch(d, keys[j]);
    }
    i += some;
    c->shorts += (int32_t)some;
    if (c->shorts == BATCH && search(c)) return GV_MEMORY;
  }
  return 0;
}

// put_chars adds all n-grams of n characters among [from, to) of the line.
static inline int put_chars(counter *c, uint32_t from, uint32_t to, uint32_t n) {
  if (c->count == c->length) return put_ascii(c, from, to, n);
  for (uint32_t i = from; i + n <= to; i++) {
    if (put(c, c->at[i], c->at[i + n] - c->at[i])) return GV_MEMORY;
  }
  return 0;
}

// read_chars makes the line of a text: runs of two or more spaces become one ' ', as scikit-learn has it. It returns 0 if the text
// is not UTF-8.
static int read_chars(counter *c, const gv_text *text) {
  const gv_unicode *u = &c->params->unicode;
  uint32_t count = 0, to = 0, run = 0;  // run: spaces just before
  for (uint32_t at = 0; at < text->length;) {
    uint32_t x, n = gv_decode(text->bytes, at, text->length, &x);
    if (n == 0) return 0;
    int space = (gv_class(u, x) & GV_SPACE) != 0;
    run = space ? run + 1 : 0;
    if (run < 2) {
      c->at[count++] = to;
      for (uint32_t i = 0; i < n; i++) c->bytes[to++] = text->bytes[at + i];
    } else if (run == 2) {
      to = c->at[count - 1];
      c->bytes[to++] = ' ';
    }
    at += n;
  }
  c->at[count] = to;
  c->count = count;
  c->length = to;
  return 1;
}

static inline int is_ascii_space(uint8_t b) { return (b == ' ') | ((uint8_t)(b - 9) < 5) | ((uint8_t)(b - 28) < 4); }

// read_ascii is read_chars for ASCII. Most texts have no two spaces beside each other.
static void read_ascii(counter *c, const gv_text *text) {
  uint8_t doubles = 0;
  for (uint32_t i = 1; i < text->length; i++) doubles |= (uint8_t)(is_ascii_space(text->bytes[i - 1]) & is_ascii_space(text->bytes[i]));
  if (doubles) {
    read_chars(c, text);
    return;
  }
  memcpy(c->bytes, text->bytes, text->length);
  c->length = c->count = text->length;
}

static int analyze_chars(counter *c, const gv_text *text) {
  if (gv_is_ascii(text->bytes, text->length)) {
    read_ascii(c, text);
  } else if (!read_chars(c, text)) {
    return GV_NOT_UTF8;
  }
  const gv_ngrams_params *p = c->params;
  for (uint32_t n = (uint32_t)p->low; n <= (uint32_t)p->high && n <= c->count; n++) {
    if (put_chars(c, 0, c->count, n)) return GV_MEMORY;
  }
  return 0;
}

// analyze_chars_in_words puts one space around each word, which words that are neighbours share in the line. In a word too short
// for n characters, the whole counts as an n-gram, once.
static int analyze_chars_in_words(counter *c, const gv_text *text) {
  const gv_unicode *u = &c->params->unicode;
  uint32_t count = 0, to = 0;
  int inside = 0;
  c->at[count++] = to;
  c->bytes[to++] = ' ';
  for (uint32_t at = 0; at < text->length;) {
    uint32_t x, n = gv_decode(text->bytes, at, text->length, &x);
    if (n == 0) return GV_NOT_UTF8;
    if (gv_class(u, x) & GV_SPACE) {
      if (inside) {
        c->at[count++] = to;
        c->bytes[to++] = ' ';
      }
      inside = 0;
    } else {
      c->at[count++] = to;
      for (uint32_t i = 0; i < n; i++) c->bytes[to++] = text->bytes[at + i];
      inside = 1;
    }
    at += n;
  }
  if (inside) {
    c->at[count++] = to;
    c->bytes[to++] = ' ';
  }
  c->at[count] = to;
  c->count = count;
  c->length = to;

  const gv_ngrams_params *p = c->params;
  for (uint32_t from = 0, next; from + 1 < count; from = next) {
    for (next = from + 1; c->bytes[c->at[next]] != ' '; next++) {
    }
    uint32_t size = next + 1 - from;
    for (uint32_t n = (uint32_t)p->low; n <= (uint32_t)p->high; n++) {
      if (put_chars(c, from, next + 1, n < size ? n : size)) return GV_MEMORY;
      if (n >= size) break;
    }
  }
  return 0;
}

// read_words makes the line of a text's words, with one ' ' between them. It returns 0 if the text is not UTF-8.
static int read_words(counter *c, const gv_text *text) {
  const gv_ngrams_params *p = c->params;
  const gv_unicode *u = &p->unicode;
  uint32_t count = 0, to = 0;
  for (uint32_t at = 0; at < text->length;) {
    uint32_t from = at, letters = 0, n = 0, x;
    for (; at < text->length; at += n, letters++) {
      n = gv_decode(text->bytes, at, text->length, &x);
      if (n == 0) return 0;
      if (!(gv_class(u, x) & GV_WORD)) break;
    }
    uint32_t size = at - from;
    if (at < text->length) at += n;
    if (letters < (uint32_t)p->token || letters == 0) continue;
    if (p->stop.table && gv_find(&p->stop, text->bytes + from, size) >= 0) continue;
    c->at[count] = to;
    memcpy(c->bytes + to, text->bytes + from, size);
    to += size;
    c->end[count++] = to;
    c->bytes[to++] = ' ';
  }
  c->length = to;
  c->count = count;
  return 1;
}

static int analyze_words(counter *c, const gv_text *text) {
  if (!read_words(c, text)) return GV_NOT_UTF8;
  const gv_ngrams_params *p = c->params;
  for (uint32_t n = (uint32_t)p->low; n <= (uint32_t)p->high && n <= c->count; n++) {
    for (uint32_t i = 0; i + n <= c->count; i++) {
      if (put(c, c->at[i], c->end[i + n - 1] - c->at[i])) return GV_MEMORY;
    }
  }
  return 0;
}

// begin takes the memory that the longest of the rows needs.
static int begin(counter *c, const gv_text *texts) {
  size_t longest = 0;
  for (int32_t row = 0; row < c->run->rows; row++) {
    if (texts[row].length <= GV_MOST_TEXT && texts[row].length > longest) longest = texts[row].length;
  }
  const gv_ngrams_params *p = c->params;
  size_t grams = (longest + 2) * ((size_t)p->high - (size_t)p->low + 1), parts = p->width / 4096 + 1;
  c->room = (int32_t)((grams < MOST_HITS ? grams : MOST_HITS) + 2 * BATCH);
  gv_arena *arena = &c->run->arena;
  c->bytes = gv_alloc(arena, longest + 2 + PAD);
  c->at = gv_take(arena, sizeof(uint32_t) * (longest + 3));
  c->end = gv_take(arena, sizeof(uint32_t) * (p->analyzer == GV_WORDS ? longest + 1 : 1));
  c->hits = gv_take(arena, sizeof(uint32_t) * (size_t)c->room);
  c->before = gv_take(arena, sizeof(uint32_t) * 64 * parts);
  c->words = gv_zeros(arena, sizeof(uint64_t) * 65 * parts);
  c->touched = c->words + parts;
  return c->bytes && c->at && c->end && c->hits && c->before && c->words ? 0 : GV_MEMORY;
}

// analyze writes the row's entries from n on, and returns where they end; −1 without memory.
static int64_t analyze(counter *c, const gv_stage *stage, int32_t row, int64_t n) {
  const gv_text *text = &c->run->values[stage->in[0]].text[row];
  if (!gv_readable(stage, c->run, row, text)) return n;
  int32_t analyzer = c->params->analyzer;
  int fault = analyzer == GV_WORDS ? analyze_words(c, text) : analyzer == GV_CHARS ? analyze_chars(c, text) : analyze_chars_in_words(c, text);
  if (fault == GV_MEMORY || search(c)) return -1;
  if (fault) gv_fail(c->run, stage->number, row, (gv_fault)fault);
  return finish_row(c, &c->run->values[stage->out], n);
}

static int run_rows(const gv_stage *stage, gv_run *run, int hashing) {
  counter c;
  c.params = stage->params;
  c.run = run;
  c.hashing = hashing;
  c.shorts = c.longs = c.found = 0;
  c.counted = 0;
  c.counts = NULL;
  if (begin(&c, run->values[stage->in[0]].text)) return GV_MEMORY;
  int32_t *start = run->values[stage->out].start;
  int64_t n = 0;
  start[0] = 0;
  for (int32_t row = 0; row < run->rows; row++) {
    n = analyze(&c, stage, row, n);
    if (n < 0) {
      if (c.counted > 0) memset(c.words, 0, sizeof(uint64_t) * 65 * (c.params->width / 4096 + 1));
      return GV_MEMORY;
    }
    start[row + 1] = (int32_t)n;
  }
  return 0;
}

int gv_ngrams(const gv_stage *stage, gv_run *run) { return run_rows(stage, run, 0); }

int gv_hashing(const gv_stage *stage, gv_run *run) { return run_rows(stage, run, 1); }
