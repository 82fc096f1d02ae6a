#include <string.h>
#include <time.h>

#include "runtime.h"

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// clock_ns is the least time between two readings of the clock: what measuring a stage adds to it.
static uint64_t clock_ns(void) {
  uint64_t least = UINT64_MAX;
  for (int i = 0; i < 100; i++) {
    uint64_t start = now_ns(), took = now_ns() - start;
    if (took < least) least = took;
  }
  return least;
}

int gv_profile(const gv_program *p, const gv_batch *batch, gv_run *run, int32_t n, int32_t rounds, uint64_t *ns) {
  uint64_t clock = clock_ns();
  run->rows = n;
  for (int32_t i = 0; i < p->stage_count; i++) ns[i] = UINT64_MAX;
  for (int32_t round = 0; round < rounds; round++) {
    if (gv_prepare(p, batch, run, 0)) return GV_MEMORY;
    memset(run->fault, 0, sizeof run->fault);
    run->failed = 0;
    for (int32_t i = 0; i < p->stage_count; i++) {
      uint64_t start = now_ns();
      int rc = p->stages[i].run(&p->stages[i], run);
      uint64_t took = now_ns() - start;
      if (rc) return rc;
      took = took > clock ? took - clock : 0;
      if (took < ns[i]) ns[i] = took;
    }
  }
  return 0;
}
