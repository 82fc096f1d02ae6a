// How a program uses caches of results: for stages, and for whole rows.
#ifndef GAVEL_CACHED_H
#define GAVEL_CACHED_H

#include "cache.h"
#include "plan.h"

// A stage whose rows are kept in a cache, with all the stages that it needs and nobody else does.
typedef struct {
  uint64_t owner[2];      // of its key
  const int32_t *stages;  // [stage_count] ascending; the last is the stage itself
  const int32_t *inputs;  // [input_count] of the program, that they read
  int32_t stage_count, input_count;
} gv_cached;

// The rows of a run that a cache was asked for.
typedef struct {
  gv_cache *cache;
  gv_cache_key key[GV_TILE];
  const uint8_t *found[GV_TILE];  // the result; NULL where there is none
  uint32_t length[GV_TILE];
  int32_t missing[GV_TILE];  // [misses] the rows without one, ascending
  int32_t misses;
} gv_asked;

// gv_ask asks for each row of the run, by what it holds in the inputs. NULL: no memory.
gv_asked *gv_ask(gv_cache *, const uint64_t owner[2], const int32_t *inputs, int32_t count, gv_run *);

// gv_narrow leaves in the run only the rows that are missing; gv_widen_run undoes that. saved has room for the inputs, of which it
// keeps where their rows are. 0, or GV_MEMORY.
int gv_narrow(const gv_asked *, const int32_t *inputs, int32_t count, gv_run *, double **saved);
void gv_widen_run(const int32_t *inputs, int32_t count, gv_run *, int32_t rows, double **saved);

// gv_run_cached runs the stages for the rows that the cache does not have, and keeps their results. 0, or GV_MEMORY.
int gv_run_cached(gv_cache *, const gv_cached *, const gv_stage *all, gv_run *);

#endif
