#include "runtime.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { METERED = 64, METER_EVERY = 8 };  // so many of a batch's first runs are all measured, then one in so many

int gv_prepare(const gv_program *p, const gv_batch *batch, gv_run *run, int64_t first) {
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
      value->f64 = (double *)((uint8_t *)batch->inputs[i] + (size_t)first * (size_t)slot->width * gv_size_of(slot->type));
    } else if (slot->sparse) {
      value->start = (int32_t *)(scratch + slot->offset);
    } else {
      value->f64 = (double *)(scratch + slot->offset);
    }
  }
  return 0;
}

// What one stage refused.
typedef struct refusal {
  struct refusal *next;  // of a later stage
  int32_t stage;
  uint8_t fault[GV_TILE];
  int32_t at[GV_TILE];  // the stage, or one that it ran
} refusal;

// execute runs the stages in order. Of several members, what each stage refuses is noted, and the next one sees no row as failed: it
// may be of another member.
static int execute(const gv_program *p, gv_run *run, refusal **first) {
  refusal **last = first;
  memset(run->fault, 0, sizeof run->fault);
  run->failed = 0;
  if (p->member_count == 1 && !p->order) return gv_execute(p->stages, p->stage_count, run);
  for (int32_t i = 0; i < p->stage_count; i++) {
    if (p->order && p->order[i] == GV_WITHIN) continue;
    int rc = p->order && p->order[i] >= 0 ? gv_run_cached(p->stage_cache, &p->cached[p->order[i]], p->stages, run)
                                          : p->stages[i].run(&p->stages[i], run);
    if (rc) return rc;
    if (run->failed == 0 || p->member_count == 1) continue;
    refusal *noted = gv_alloc(&run->arena, sizeof *noted);
    if (!noted) return GV_MEMORY;
    noted->stage = i;
    memcpy(noted->fault, run->fault, sizeof run->fault);
    memcpy(noted->at, run->fault_at, sizeof run->fault_at);
    memset(run->fault, 0, sizeof run->fault);
    run->failed = 0;
    *last = noted;
    last = &noted->next;
  }
  return 0;
}

// blame finds the first stage that refused the row among those that each value depends on: at[value] is that stage, or INT32_MAX.
static void blame(const gv_program *p, const refusal *refused, int32_t row, int32_t *at) {
  for (int32_t i = 0; i < p->input_count; i++) at[i] = INT32_MAX;
  for (int32_t i = 0; i < p->stage_count; i++) {
    const gv_stage *stage = &p->stages[i];
    int32_t first = INT32_MAX;
    if (refused && refused->stage == i) {
      if (refused->fault[row] != GV_OK) first = i;
      refused = refused->next;
    }
    for (int32_t k = 0; k < stage->inputs; k++) first = at[stage->in[k]] < first ? at[stage->in[k]] : first;
    at[stage->out] = first;
  }
}

// tell_members writes which members' rows have failed, and returns how many. places are the rows' in the batch.
static int64_t tell_members(const gv_program *p, gv_batch *batch, gv_run *run, const int64_t *places, const refusal *refused) {
  int32_t *at = gv_take(&run->arena, sizeof *at * (size_t)(p->input_count + p->stage_count));
  if (!at) return -1;
  int64_t failed = 0;
  for (int32_t row = 0; row < run->rows; row++) {
    const refusal *any = refused;
    while (any && any->fault[row] == GV_OK) any = any->next;
    if (!any) continue;
    blame(p, refused, row, at);
    for (int32_t m = 0; m < p->member_count; m++) {
      int32_t stage = INT32_MAX;
      for (int32_t o = p->outputs_from[m]; o < p->outputs_from[m + 1]; o++) {
        if (at[p->outputs[o]] < stage) stage = at[p->outputs[o]];
      }
      if (stage == INT32_MAX) continue;
      const refusal *of = refused;
      while (of->stage != stage) of = of->next;
      int64_t place = m * batch->capacity + places[row];
      batch->fault[place] = of->fault[row];
      batch->fault_at[place] = of->at[row];
      failed++;
    }
  }
  return failed;
}

// finish runs the rows of the run, which lie in those places of the batch, one after another if together is set. It writes their
// outputs and faults, and returns as gv_score.
static int64_t finish(const gv_program *p, gv_batch *batch, gv_run *run, const int64_t *places, int together) {
  refusal *refused = NULL;
  if (execute(p, run, &refused)) return -1;
  for (int32_t i = 0; i < p->output_count; i++) {
    const gv_value *value = &run->values[p->outputs[i]];
    size_t bytes = (size_t)value->width * gv_size_of(value->type);
    uint8_t *to = batch->outputs[i];
    const uint8_t *from = (const uint8_t *)value->f64;
    if (together) {
      memcpy(to + (size_t)places[0] * bytes, from, (size_t)run->rows * bytes);
      continue;
    }
    for (int32_t row = 0; row < run->rows; row++) memcpy(to + (size_t)places[row] * bytes, from + (size_t)row * bytes, bytes);
  }
  if (refused) return tell_members(p, batch, run, places, refused);
  for (int32_t row = 0; row < run->rows && run->failed > 0; row++) {
    if (run->fault[row] == GV_OK) continue;
    batch->fault[places[row]] = run->fault[row];
    batch->fault_at[places[row]] = run->fault_at[row];
  }
  return run->failed;
}

// copy_row copies a row's outputs, one after another, from the batch, or to it.
static void copy_row(const gv_program *p, gv_batch *batch, const gv_run *run, int64_t place, uint8_t *row, int out) {
  for (int32_t i = 0; i < p->output_count; i++) {
    const gv_value *value = &run->values[p->outputs[i]];
    size_t bytes = (size_t)value->width * gv_size_of(value->type);
    uint8_t *of = (uint8_t *)batch->outputs[i] + (size_t)place * bytes;
    memcpy(out ? row : of, out ? of : row, bytes);
    row += bytes;
  }
}

// score_known runs the rows of the run that the cache of whole rows does not have. places are all the run's.
static int64_t score_known(const gv_program *p, gv_batch *batch, gv_run *run, const int64_t *places) {
  int32_t rows = run->rows, *inputs = gv_take(&run->arena, sizeof *inputs * (size_t)p->input_count);
  double **saved = gv_take(&run->arena, sizeof *saved * (size_t)p->input_count);
  if (!inputs || !saved) return -1;
  for (int32_t i = 0; i < p->input_count; i++) inputs[i] = i;
  gv_asked *a = gv_ask(p->row_cache, p->owner, inputs, p->input_count, run);
  if (!a) return -1;
  for (int32_t row = 0; row < rows; row++) {
    if (a->found[row]) copy_row(p, batch, run, places[row], (uint8_t *)a->found[row], 0);
  }
  if (a->misses == 0) return 0;
  int64_t of_missing[GV_TILE];
  for (int32_t m = 0; m < a->misses; m++) of_missing[m] = places[a->missing[m]];
  if (a->misses < rows && gv_narrow(a, inputs, p->input_count, run, saved)) return -1;
  int64_t failed = finish(p, batch, run, of_missing, a->misses == rows);
  if (failed != 0) return failed;  // rows beside one that failed are kept another time
  size_t bytes = 0;
  for (int32_t i = 0; i < p->output_count; i++) {
    bytes += (size_t)run->values[p->outputs[i]].width * gv_size_of(run->values[p->outputs[i]].type);
  }
  uint8_t *row = gv_take(&run->arena, bytes);
  if (!row || bytes > UINT32_MAX) return 0;
  for (int32_t m = 0; m < a->misses; m++) {
    copy_row(p, batch, run, of_missing[m], row, 1);
    gv_cache_put(p->row_cache, &a->key[a->missing[m]], (gv_piece){row, (uint32_t)bytes}, (gv_piece){NULL, 0});
  }
  return 0;
}

// score_tile runs rows [first, first + run->rows), and returns as gv_score.
static int64_t score_tile(const gv_program *p, gv_batch *batch, gv_run *run, int64_t first) {
  if (gv_prepare(p, batch, run, first)) return -1;
  int64_t places[GV_TILE];
  for (int32_t row = 0; row < run->rows; row++) places[row] = first + row;
  return p->row_cache ? score_known(p, batch, run, places) : finish(p, batch, run, places, 1);
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
    int64_t of = score_tile(p, batch, run, first);
    failed = of < 0 ? of : failed + of;
  }
  batch->cpu_ns = metered ? thread_ns() - start : 0;
  return failed;
}

gv_run *gv_run_new(void) { return calloc(1, sizeof(gv_run)); }

void gv_run_free(gv_run *run) {
  gv_arena_free(&run->arena);
  free(run);
}
