// What the engine adds to plan.h, for itself: stages need none of it.
#ifndef GAVEL_PLAN_RUNTIME_H
#define GAVEL_PLAN_RUNTIME_H

#include "plan.h"

// What a value is, and where it lies in the scratch memory of a run.
typedef struct {
  uint8_t type, sparse;
  int32_t width;
  int64_t offset;  // of dense rows, or of the starts of a sparse value; none for an input
} gv_slot;

// A loaded plan. Runs only read it.
typedef struct {
  const gv_stage *stages;
  const gv_slot *slots;    // of all values, inputs first
  const int32_t *outputs;  // [output_count] numbers of values
  int32_t stage_count, input_count, output_count;
  int64_t scratch;  // bytes
} gv_program;

// The memory of a batch. One thread at a time uses it.
typedef struct {
  void **inputs;      // [input_count] columns of all rows: double, float, int32_t or gv_text
  void **outputs;     // [output_count] double or float
  uint8_t *fault;     // gv_fault of each row. A row that has one before the run keeps it
  int32_t *fault_at;  // the stage that failed, or less than 0 where the row failed before
  uint32_t ran;       // runs so far
  uint64_t cpu_ns;    // of the last run; 0: not measured
} gv_batch;

// gv_score runs rows [0, n) and returns how many have failed, or −1 if there is no memory, which fails them all.
int64_t gv_score(const gv_program *, gv_batch *, gv_run *, int64_t n);

// A run for one thread at a time, with the scratch memory that it keeps; NULL if there is no memory.
gv_run *gv_run_new(void);
void gv_run_free(gv_run *);

#endif
