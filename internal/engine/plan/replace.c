#include <string.h>

#include "text.h"

// row_of is the row of the text that stands for a character; −1 where it stays.
static int32_t row_of(const gv_replace_params *p, uint32_t c) { return p->rows[(uint32_t)p->blocks[c >> 8] << 8 | (c & 255)]; }

// replaced_length is how long the result is; UINT64_MAX if the text is not UTF-8.
static uint64_t replaced_length(const gv_replace_params *p, const gv_text *text) {
  uint64_t length = 0;
  for (uint32_t at = 0; at < text->length;) {
    uint32_t c, n = gv_decode(text->bytes, at, text->length, &c);
    if (n == 0) return UINT64_MAX;
    at += n;
    int32_t row = row_of(p, c);
    length += row < 0 ? n : p->offsets[row + 1] - p->offsets[row];
  }
  return length;
}

static void replace_into(uint8_t *to, const gv_replace_params *p, const gv_text *text) {
  for (uint32_t at = 0; at < text->length;) {
    uint32_t c = 0, n = gv_decode(text->bytes, at, text->length, &c);
    int32_t row = row_of(p, c);
    const uint8_t *from = row < 0 ? text->bytes + at : p->bytes + p->offsets[row];
    size_t length = row < 0 ? n : p->offsets[row + 1] - p->offsets[row];
    memcpy(to, from, length);
    to += length;
    at += n;
  }
}

int gv_replace_characters(const gv_stage *stage, gv_run *run) {
  const gv_replace_params *p = stage->params;
  const gv_text *in = run->values[stage->in[0]].text;
  gv_text *out = run->values[stage->out].text;
  for (int32_t row = 0; row < run->rows; row++) {
    const gv_text *text = &in[row];
    out[row] = (gv_text){.bytes = text->bytes, .length = 0};
    if (!gv_readable(stage, run, row, text)) continue;
    if (p->ascii_stays && gv_is_ascii(text->bytes, text->length)) {
      out[row].length = text->length;
      continue;
    }
    uint64_t length = replaced_length(p, text);
    if (length > GV_MOST_TEXT) {
      gv_fail(run, stage->number, row, length == UINT64_MAX ? GV_NOT_UTF8 : GV_TOO_LONG);
      continue;
    }
    uint8_t *to = gv_take(&run->arena, length + GV_ALIGN);
    if (!to) return GV_MEMORY;
    replace_into(to, p, text);
    out[row] = (gv_text){.bytes = to, .length = (uint32_t)length};
  }
  return 0;
}
