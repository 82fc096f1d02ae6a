// What the stages of a plan share: values, scratch memory, and the life of a run. docs/plan-format.md has the operators.
//
// A program is an array of stages in the order of their dependencies. A run scores up to GV_TILE rows: every stage reads the
// values of earlier ones and writes its own. Batches of more rows are runs one after another. A run calls nothing of Go.
#ifndef GAVEL_PLAN_H
#define GAVEL_PLAN_H

#include <stddef.h>
#include <stdint.h>

#define GV_TILE 64   // rows of one run, at most
#define GV_ALIGN 64  // alignment in bytes of dense values, scratch and objects

typedef enum { GV_F64 = 1, GV_F32, GV_I32, GV_TEXT } gv_type;

// A text: not terminated, valid UTF-8, or the byte 0xFF alone if it is missing. `bytes` is not NULL. GV_ALIGN bytes behind an
// input's text may be read too; what is there is undefined.
typedef struct {
  const uint8_t *bytes;
  uint32_t length;
} gv_text;

// A value: `rows` rows of `width` columns. Dense rows are row-major in the member of the type. Row r of a sparse value is
// entries [start[r], start[r + 1]) of index and entry: columns ascending, each at most once.
typedef struct {
  uint8_t type;  // gv_type
  uint8_t sparse;
  int32_t width;
  union {
    double *f64;
    float *f32;
    int32_t *i32;
    gv_text *text;
  };
  int32_t *start;  // [GV_TILE + 1]
  int32_t *index;
  double *entry;
  int64_t capacity;  // entries that index and entry hold; see gv_grow
} gv_value;

// What made a row fail.
typedef enum {
  GV_OK = 0,
  GV_UNKNOWN,     // a category that the encoder does not know
  GV_NOT_FINITE,  // NaN or infinity where the model takes none
  GV_TOO_LONG,    // a text longer than the engine allows
  GV_MEMORY,      // no memory: fails all rows of the run
  GV_NOT_UTF8,    // a text that is not UTF-8
  GV_NO_TEXT,     // a missing text where the model takes none
  GV_RANGE,       // an index that is not in its table
  GV_QUOTES,      // a line of CSV whose quotes do not match
  GV_FIELDS,      // a line of CSV with fewer or more fields than the plan has columns
  GV_LINES,       // a text with more than one line of CSV
  GV_NO_NUMBER,   // a text that is no number, or one beyond the largest
  GV_NO_INTEGER,  // a text that is no int32
} gv_fault;

// Scratch memory of one thread. It grows to what the largest run needed, and is then reused.
typedef struct {
  uint8_t *memory;
  size_t size, used;
  void *more;  // blocks that did not fit; joined into one at the next gv_reset
  uint8_t *zeros;  // of gv_zeros
  size_t zeros_size;
} gv_arena;

// gv_alloc returns zeroed memory of the run, aligned to GV_ALIGN, or NULL; gv_take what is not zeroed. gv_reset frees all of it
// at once. gv_zeros returns zeros that a stage must leave all zero when it returns, also if it fails: stages that mark little of
// much use them one after another, and nobody clears them. A second call within a stage may move them.
void *gv_alloc(gv_arena *, size_t bytes);
void *gv_take(gv_arena *, size_t bytes);
void *gv_zeros(gv_arena *, size_t bytes);
void gv_reset(gv_arena *);
void gv_arena_free(gv_arena *);

// A run of a program over rows [0, rows).
typedef struct {
  gv_value *values;  // by number: inputs first, then one a stage
  int32_t rows;
  uint8_t fault[GV_TILE];   // gv_fault of each row; a stage may skip a row that has failed, but must leave its output defined
  int32_t fault_at[GV_TILE];  // the stage that failed
  int32_t failed;  // rows that gv_fail has marked
  gv_arena arena;
} gv_run;

// gv_grow makes room for `entries` entries in a sparse value; 0, or GV_MEMORY. It keeps what was written.
int gv_grow(gv_run *, gv_value *, int64_t entries);

// gv_fail marks a row as failed, if it has not failed already.
static inline void gv_fail(gv_run *run, int32_t stage, int32_t row, gv_fault fault) {
  if (run->fault[row] == GV_OK) {
    run->fault[row] = (uint8_t)fault;
    run->fault_at[row] = stage;
    run->failed++;
  }
}

// A stage: one physical operator. `params` points to a struct of the operator's own, in C memory, which outlives every run
// and which runs only read. `out` is its value: type, width and, if dense, memory for GV_TILE rows are set before run is called.
typedef struct gv_stage gv_stage;
struct gv_stage {
  int (*run)(const gv_stage *, gv_run *);  // 0, or GV_MEMORY
  const void *params;
  const int32_t *in;  // numbers of the values it reads
  int32_t inputs;
  int32_t out;     // number of the value it writes
  int32_t number;  // of the stage, for gv_fail
};

// gv_execute runs the stages in order; 0, or GV_MEMORY.
int gv_execute(const gv_stage *stages, int32_t count, gv_run *run);

#endif
