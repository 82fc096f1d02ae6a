// The stages of lines of CSV, with their parameters. docs/plan-format.md says what they compute.
#ifndef GAVEL_CSV_H
#define GAVEL_CSV_H

#include <locale.h>

#include "plan.h"

#define GV_MOST_NUMBER 1000  // bytes of a field that is read as a number

typedef struct {
  const int32_t *columns;  // [width of out] fields that are kept, ascending
  const uint8_t *missing;  // what a missing field holds
  int32_t missing_length;  // −1: no field is missing
  int32_t fields;          // of a line
  uint8_t separator;       // ASCII, neither a quote nor the end of a line
} gv_csv_params;
int gv_csv(const gv_stage *, gv_run *);

typedef struct {
  locale_t locale;  // C's, whatever the process has
} gv_parse_params;
int gv_parse_float64(const gv_stage *, gv_run *);
int gv_parse_int32(const gv_stage *, gv_run *);

// gv_c_locale returns the locale of gv_parse_params, which freelocale frees; NULL if there is no memory.
locale_t gv_c_locale(void);

#endif
