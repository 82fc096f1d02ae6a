#include "runtime.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { METERED = 64, METER_EVERY = 8 };  // so many of a batch's first runs are all measured, then one in so many

static size_t size_of(uint8_t type) {
  switch (type) {
    case GV_F64: return sizeof(double);
    case GV_TEXT: return sizeof(gv_text);
    default: return 4;
  }
}

// prepare gives values their memory: inputs where the callers wrote them, others in scratch.
static int prepare(const gv_program *p, const gv_batch *batch, gv_run *run, int64_t first) {
  int32_t count = p->input_count + p->stage_count;
  gv_reset(&run->arena);
  run->values = gv_take(&run->arena, sizeof(gv_value) * (size_t)count);
  uint8_t *scratch = gv_take(&run->arena, (size_t)p->scratch);
  if (!run->values || !scratch) return GV_MEMORY;
  for (int32_t i = 0; i < count; i++) {
    const gv_slot *slot = &p->slots[i];
    gv_value *value = &run->values[i];
    *value = (gv_value){.type = slot->type, .sparse = slot->sparse, .width = slot->width};
    if (i < p->input_count) {
      value->f64 = (double *)((uint8_t *)batch->inputs[i] + (size_t)first * (size_t)slot->width * size_of(slot->type));
    } else if (slot->sparse) {
      value->start = (int32_t *)(scratch + slot->offset);
    } else {
      value->f64 = (double *)(scratch + slot->offset);
    }
  }
  return 0;
}

// score_tile runs rows [first, first + run->rows).
static int score_tile(const gv_program *p, gv_batch *batch, gv_run *run, int64_t first) {
  size_t rows = (size_t)run->rows;
  if (prepare(p, batch, run, first)) return GV_MEMORY;
  memcpy(run->fault, batch->fault + first, rows * sizeof *run->fault);
  memcpy(run->fault_at, batch->fault_at + first, rows * sizeof *run->fault_at);
  if (gv_execute(p->stages, p->stage_count, run)) return GV_MEMORY;
  for (int32_t i = 0; i < p->output_count; i++) {
    const gv_value *value = &run->values[p->outputs[i]];
    size_t row = (size_t)value->width * size_of(value->type);
    memcpy((uint8_t *)batch->outputs[i] + (size_t)first * row, value->f64, rows * row);
  }
  memcpy(batch->fault + first, run->fault, rows * sizeof *run->fault);
  memcpy(batch->fault_at + first, run->fault_at, rows * sizeof *run->fault_at);
  return 0;
}

static uint64_t thread_ns(void) {
  struct timespec t;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)) return 0;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t gv_score(const gv_program *p, gv_batch *batch, gv_run *run, int64_t n) {
  int metered = batch->ran < METERED || batch->ran % METER_EVERY == 0;
  uint64_t start = metered ? thread_ns() : 0;
  batch->ran++;
  int64_t failed = 0;
  for (int64_t first = 0; first < n && failed >= 0; first += GV_TILE) {
    run->rows = (int32_t)(n - first < GV_TILE ? n - first : GV_TILE);
    if (score_tile(p, batch, run, first)) {
      failed = -1;
      break;
    }
    for (int32_t row = 0; row < run->rows; row++) failed += run->fault[row] != GV_OK;
  }
  batch->cpu_ns = metered ? thread_ns() - start : 0;
  return failed;
}

gv_run *gv_run_new(void) { return calloc(1, sizeof(gv_run)); }

void gv_run_free(gv_run *run) {
  gv_arena_free(&run->arena);
  free(run);
}
