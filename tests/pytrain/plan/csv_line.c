// One line, and one number, through the engine's stages.
#include <stdlib.h>
#include <string.h>

#include "csv.h"

static gv_fault run(int (*stage)(const gv_stage *, gv_run *), const void *params, gv_run *of) {
  const int32_t in[] = {0};
  const gv_stage s = {.run = stage, .params = params, .in = in, .inputs = 1, .out = 1};
  of->rows = 1;
  return stage(&s, of) ? GV_MEMORY : (gv_fault)of->fault[0];
}

// csv_line writes the fields into out, each into `room` bytes, with their lengths, and returns the fault.
int32_t csv_line(const uint8_t *line, uint32_t length, uint8_t separator, const uint8_t *missing, int32_t missing_length, int32_t fields,
                 uint8_t *out, uint32_t room, uint32_t *lengths) {
  int32_t *columns = calloc((size_t)fields, sizeof *columns);
  for (int32_t i = 0; i < fields; i++) columns[i] = i;
  uint8_t *exact = malloc(length + 1);  // so that a sanitizer sees what is read behind it
  memcpy(exact, line, length);
  gv_text in = {.bytes = exact, .length = length}, *texts = calloc((size_t)fields, sizeof *texts);
  gv_value values[] = {{.type = GV_TEXT, .width = 1, .text = &in}, {.type = GV_TEXT, .width = fields, .text = texts}};
  gv_run of = {.values = values};
  gv_csv_params p = {.columns = columns, .missing = missing, .missing_length = missing_length, .fields = fields, .separator = separator};
  gv_fault fault = run(gv_csv, &p, &of);
  for (int32_t i = 0; i < fields; i++) {
    if (texts[i].length > room || (fault && texts[i].length)) abort();
    memcpy(out + (size_t)i * room, texts[i].bytes, texts[i].length);
    lengths[i] = texts[i].length;
  }
  gv_arena_free(&of.arena);
  free(texts);
  free(exact);
  free(columns);
  return fault;
}

// csv_number writes the number, and returns the fault.
int32_t csv_number(const uint8_t *text, uint32_t length, int whole, double *number) {
  gv_text in = {.bytes = text, .length = length};
  double real = 0;
  int32_t integer = 0;
  gv_value values[] = {{.type = GV_TEXT, .width = 1, .text = &in}, {.width = 1}};
  values[1].type = whole ? GV_I32 : GV_F64;
  if (whole) {
    values[1].i32 = &integer;
  } else {
    values[1].f64 = &real;
  }
  gv_run of = {.values = values};
  gv_parse_params p = {.locale = gv_c_locale()};
  gv_fault fault = run(whole ? gv_parse_int32 : gv_parse_float64, &p, &of);
  freelocale(p.locale);
  *number = whole ? integer : real;
  return fault;
}
