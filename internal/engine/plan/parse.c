#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "csv.h"

locale_t gv_c_locale(void) { return newlocale(LC_ALL_MASK, "C", (locale_t)0); }

static int is_digit(uint8_t c) { return (uint8_t)(c - '0') < 10; }

// trim leaves out blanks at both ends.
static gv_text trim(gv_text t) {
  while (t.length > 0 && (t.bytes[0] == ' ' || t.bytes[0] == '\t')) t.bytes++, t.length--;
  while (t.length > 0 && (t.bytes[t.length - 1] == ' ' || t.bytes[t.length - 1] == '\t')) t.length--;
  return t;
}

// is_word says whether the text is a word, in any case.
static int is_word(const uint8_t *text, uint32_t length, const char *word) {
  if (length != strlen(word)) return 0;
  for (uint32_t i = 0; i < length; i++) {
    if ((text[i] | 0x20) != word[i]) return 0;
  }
  return 1;
}

// A decimal number: its digits without leading zeros, as far as they fit, and the power of ten that they are multiplied with.
typedef struct {
  uint64_t digits;
  int32_t count;  // of digits
  int32_t power;
} decimal;

enum { MOST_DIGITS = 19, MOST_POWER = 100000 };

// read_decimal reads digits, maybe with a point and an exponent; 0 if that is not all there is.
static int read_decimal(const uint8_t *p, uint32_t n, decimal *d) {
  uint32_t at = 0, seen = 0;
  int point = 0;
  for (; at < n && (is_digit(p[at]) || (p[at] == '.' && !point)); at++) {
    if (p[at] == '.') {
      point = 1;
      continue;
    }
    seen++;
    if (d->count > 0 || p[at] != '0') d->count++;
    if (d->count <= MOST_DIGITS) d->digits = 10 * d->digits + (uint64_t)(p[at] - '0');
    d->power -= point;
  }
  if (seen == 0) return 0;
  if (at == n) return 1;
  if ((p[at++] | 0x20) != 'e') return 0;
  int negative = at < n && p[at] == '-';
  at += at < n && (p[at] == '-' || p[at] == '+');
  if (at == n) return 0;
  int32_t exponent = 0;
  for (; at < n && is_digit(p[at]); at++) {
    if (exponent < MOST_POWER) exponent = 10 * exponent + (p[at] - '0');
  }
  d->power += negative ? -exponent : exponent;
  return at == n;
}

// parse reads a number as Python's float does; 0 if it is none, or beyond the largest.
static int parse(const gv_parse_params *p, gv_text text, double *x) {
  static const double tens[] = {1,    1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  text = trim(text);
  if (text.length == 0 || text.length > GV_MOST_NUMBER) return 0;
  int negative = text.bytes[0] == '-';
  uint32_t sign = negative || text.bytes[0] == '+';
  const uint8_t *at = text.bytes + sign;
  uint32_t n = text.length - sign;
  decimal d = {0};
  if (is_word(at, n, "nan")) {
    *x = NAN;
    return 1;
  }
  if (is_word(at, n, "inf") || is_word(at, n, "infinity")) {
    *x = negative ? -INFINITY : INFINITY;
    return 1;
  }
  if (!read_decimal(at, n, &d)) return 0;
  if (d.count <= MOST_DIGITS && d.digits <= UINT64_C(1) << 53 && d.power >= -22 && d.power <= 22) {
    // Both are exact, so one rounding gives the nearest number.
    double exact = (double)d.digits;
    exact = d.power < 0 ? exact / tens[-d.power] : exact * tens[d.power];
    *x = negative ? -exact : exact;
    return 1;
  }
  char copy[GV_MOST_NUMBER + 1];
  memcpy(copy, text.bytes, text.length);
  copy[text.length] = 0;
  *x = strtod_l(copy, NULL, p->locale);
  return !isinf(*x);
}

static int is_missing(const gv_text *t) { return t->length == 1 && t->bytes[0] == 0xFF; }

int gv_parse_float64(const gv_stage *stage, gv_run *run) {
  const gv_text *in = run->values[stage->in[0]].text;
  double *out = run->values[stage->out].f64;
  for (int32_t row = 0; row < run->rows; row++) {
    out[row] = NAN;
    if (run->fault[row] != GV_OK || is_missing(&in[row])) continue;
    if (!parse(stage->params, in[row], &out[row])) gv_fail(run, stage->number, row, GV_NO_NUMBER);
  }
  return 0;
}

int gv_parse_int32(const gv_stage *stage, gv_run *run) {
  const gv_text *in = run->values[stage->in[0]].text;
  int32_t *out = run->values[stage->out].i32;
  for (int32_t row = 0; row < run->rows; row++) {
    out[row] = 0;
    if (run->fault[row] != GV_OK) continue;
    gv_text text = trim(in[row]);
    uint32_t at = text.length > 0 && (text.bytes[0] == '-' || text.bytes[0] == '+');
    int64_t value = 0;
    int whole = at < text.length && text.length <= GV_MOST_NUMBER;
    for (; whole && at < text.length; at++) {
      whole = is_digit(text.bytes[at]) && value <= INT32_MAX;
      value = 10 * value + (text.bytes[at] - '0');
    }
    if (whole && text.bytes[0] == '-') value = -value;
    if (whole && value >= INT32_MIN && value <= INT32_MAX) {
      out[row] = (int32_t)value;
    } else {
      gv_fail(run, stage->number, row, GV_NO_INTEGER);
    }
  }
  return 0;
}
