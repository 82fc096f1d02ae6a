// What the engine adds to plan.h, for itself: stages need none of it.
#ifndef GAVEL_PLAN_RUNTIME_H
#define GAVEL_PLAN_RUNTIME_H

#include "cached.h"
#include "plan.h"

// What a value is, and where it lies in the scratch memory of a run.
typedef struct {
  uint8_t type, sparse;
  int32_t width;
  int64_t offset;  // of dense rows, or of the starts of a sparse value; none for an input
} gv_slot;

// A loaded plan, or several that are joined: members. Runs only read it.
//
// The outputs of member m are [outputs_from[m], outputs_from[m + 1]). A row that a stage refuses fails for the members whose outputs
// depend on that stage.
typedef struct {
  const gv_stage *stages;
  const gv_slot *slots;         // of all values, inputs first
  const int32_t *outputs;       // [output_count] numbers of values
  const int32_t *outputs_from;  // [member_count + 1]
  int32_t stage_count, input_count, output_count, member_count;
  int64_t scratch;  // bytes
  // Caches; NULL where they are off. order[i] says of stage i: GV_RUN, GV_WITHIN where a cached stage runs it, or its number in cached.
  gv_cache *stage_cache, *row_cache;
  const gv_cached *cached;
  const int32_t *order;  // NULL: all run
  uint64_t owner[2];     // of whole rows
} gv_program;

enum { GV_RUN = -1, GV_WITHIN = -2 };

// The memory of a batch. One thread at a time uses it.
typedef struct {
  void **inputs;      // [input_count] columns of all rows: double, float, int32_t or gv_text
  void **outputs;     // [output_count] double or float
  uint8_t *fault;     // [member_count][capacity] gv_fault; runs write those of rows that fail, and clear none
  int32_t *fault_at;  // [member_count][capacity] the stage that failed
  int64_t capacity;   // rows
  uint32_t ran;       // runs so far
  uint64_t cpu_ns;    // of the last run; 0: not measured
} gv_batch;

// gv_size_of is the size of a value's number or text, in bytes.
static inline size_t gv_size_of(uint8_t type) { return type == GV_F64 ? sizeof(double) : type == GV_TEXT ? sizeof(gv_text) : 4; }

// gv_score runs rows [0, n). It returns how often a row has failed for a member, or −1 if there is no memory, which fails all.
int64_t gv_score(const gv_program *, gv_batch *, gv_run *, int64_t n);

// gv_prepare gives values their memory for rows from the first on: inputs where the callers wrote them, others in scratch. 0, or
// GV_MEMORY.
int gv_prepare(const gv_program *, const gv_batch *, gv_run *, int64_t first);

// gv_profile runs rows [0, n), n <= GV_TILE, so many times, without caches, and writes the least time in ns that each stage took.
// Outputs and faults of the batch stay as they are. 0, or GV_MEMORY.
int gv_profile(const gv_program *, const gv_batch *, gv_run *, int32_t n, int32_t rounds, uint64_t *ns);

// A run for one thread at a time, with the scratch memory that it keeps; NULL if there is no memory.
gv_run *gv_run_new(void);
void gv_run_free(gv_run *);

#endif
