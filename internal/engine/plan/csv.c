#include "csv.h"

#include <string.h>

// A field of a line, without the quotes around it. `doubled`: a quote within it stands twice.
typedef struct {
  uint32_t from, length;
  int doubled;
} field;

// What a missing text points to. Stages may read what is behind it.
static const uint8_t missing_text[1 + GV_ALIGN] = {0xFF};

static int is_end(uint8_t c) { return c == '\n' || c == '\r'; }

// read_field reads the field that begins at `at`, and returns where it ends: at a separator, or where the line does. It returns
// UINT32_MAX if the quotes are not as they must be.
static uint32_t read_field(const gv_text *line, uint8_t separator, uint32_t at, field *f) {
  const uint8_t *p = line->bytes;
  uint32_t n = line->length;
  f->doubled = 0;
  if (at == n || p[at] != '"') {
    f->from = at;
    while (at < n && p[at] != separator && !is_end(p[at])) at++;
    f->length = at - f->from;
    return at;
  }
  f->from = ++at;
  for (;;) {
    const uint8_t *quote = memchr(p + at, '"', n - at);
    if (!quote) return UINT32_MAX;
    at = (uint32_t)(quote - p) + 1;
    if (at == n || p[at] != '"') break;
    f->doubled = 1;
    at++;
  }
  f->length = at - 1 - f->from;
  return at == n || p[at] == separator || is_end(p[at]) ? at : UINT32_MAX;
}

// text_of is what the field holds. Its bytes are NULL if there is no memory.
static gv_text text_of(const gv_csv_params *p, const uint8_t *line, const field *f, gv_arena *arena) {
  gv_text text = {.bytes = line + f->from, .length = f->length};
  if (f->doubled) {
    uint8_t *to = gv_take(arena, (size_t)f->length + GV_ALIGN);
    text.bytes = to;
    if (!to) return text;
    for (uint32_t i = 0; i < f->length; i++) {
      *to++ = line[f->from + i];
      i += line[f->from + i] == '"';
    }
    text.length = (uint32_t)(to - text.bytes);
  }
  if (p->missing_length >= 0 && text.length == (uint32_t)p->missing_length && memcmp(text.bytes, p->missing, text.length) == 0) {
    text = (gv_text){.bytes = missing_text, .length = 1};
  }
  return text;
}

// read_line writes the fields that are kept. It returns GV_OK, or what is wrong with the line.
static gv_fault read_line(const gv_csv_params *p, const gv_text *line, gv_text *out, int32_t width, gv_arena *arena) {
  uint32_t at = 0;
  int32_t kept = 0;
  for (int32_t number = 0;; number++) {
    field f;
    uint32_t end = read_field(line, p->separator, at, &f);
    if (end == UINT32_MAX) return GV_QUOTES;
    if (kept < width && p->columns[kept] == number) {
      out[kept] = text_of(p, line->bytes, &f, arena);
      if (!out[kept++].bytes) return GV_MEMORY;
    }
    at = end;
    if (at == line->length || line->bytes[at] != p->separator) {
      if (number + 1 != p->fields) return GV_FIELDS;
      break;
    }
    at++;
  }
  for (; at < line->length; at++) {
    if (!is_end(line->bytes[at])) return GV_LINES;
  }
  return GV_OK;
}

int gv_csv(const gv_stage *stage, gv_run *run) {
  const gv_csv_params *p = stage->params;
  const gv_text *in = run->values[stage->in[0]].text;
  gv_value *out = &run->values[stage->out];
  for (int32_t row = 0; row < run->rows; row++) {
    gv_text *fields = out->text + (size_t)row * (size_t)out->width;
    gv_fault fault = in[row].length == 1 && in[row].bytes[0] == 0xFF ? GV_NO_TEXT : read_line(p, &in[row], fields, out->width, &run->arena);
    if (fault == GV_OK) continue;
    if (fault == GV_MEMORY) return GV_MEMORY;
    gv_fail(run, stage->number, row, fault);
    for (int32_t j = 0; j < out->width; j++) fields[j] = (gv_text){.bytes = missing_text, .length = 0};
  }
  return 0;
}
