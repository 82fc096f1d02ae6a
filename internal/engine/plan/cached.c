#include "cached.h"

#include <string.h>

#include "runtime.h"

gv_asked *gv_ask(gv_cache *cache, const uint64_t owner[2], const int32_t *inputs, int32_t count, gv_run *run) {
  gv_asked *a = gv_take(&run->arena, sizeof *a);
  gv_piece *pieces = gv_take(&run->arena, sizeof *pieces * (size_t)count * (size_t)run->rows);
  if (!a || !pieces) return NULL;
  a->cache = cache;
  a->misses = 0;
  for (int32_t row = 0; row < run->rows; row++, pieces += count) {
    for (int32_t i = 0; i < count; i++) {
      const gv_value *in = &run->values[inputs[i]];
      size_t bytes = (size_t)in->width * gv_size_of(in->type);
      pieces[i] = in->type == GV_TEXT ? (gv_piece){in->text[row].bytes, in->text[row].length}
                                      : (gv_piece){(const uint8_t *)in->f64 + (size_t)row * bytes, (uint32_t)bytes};
    }
    a->key[row] = (gv_cache_key){{owner[0], owner[1]}, gv_cache_hash(cache, pieces, count), pieces, count};
    a->found[row] = gv_cache_get(cache, &a->key[row], &run->arena, &a->length[row]);
    if (!a->found[row]) a->missing[a->misses++] = row;
  }
  return a;
}

int gv_narrow(const gv_asked *a, const int32_t *inputs, int32_t count, gv_run *run, double **saved) {
  for (int32_t i = 0; i < count; i++) {
    gv_value *in = &run->values[inputs[i]];
    size_t bytes = (size_t)in->width * gv_size_of(in->type);
    uint8_t *to = gv_take(&run->arena, bytes * (size_t)a->misses);
    if (!to) return GV_MEMORY;
    for (int32_t m = 0; m < a->misses; m++) memcpy(to + (size_t)m * bytes, (const uint8_t *)in->f64 + (size_t)a->missing[m] * bytes, bytes);
    saved[i] = in->f64;
    in->f64 = (double *)to;
  }
  run->rows = a->misses;
  return 0;
}

void gv_widen_run(const int32_t *inputs, int32_t count, gv_run *run, int32_t rows, double **saved) {
  for (int32_t i = 0; i < count; i++) run->values[inputs[i]].f64 = saved[i];
  run->rows = rows;
}

// widen puts rows that were found between those that were missing, of which out has the values.
static int widen_dense(const gv_asked *a, gv_value *out, int32_t rows) {
  size_t bytes = (size_t)out->width * gv_size_of(out->type);
  uint8_t *to = (uint8_t *)out->f64;
  int32_t m = a->misses;
  for (int32_t row = rows - 1; row >= 0; row--) {  // from the last: none is overwritten before it has moved
    if (a->found[row]) {
      memcpy(to + (size_t)row * bytes, a->found[row], bytes);
    } else if (--m != row) {
      memcpy(to + (size_t)row * bytes, to + (size_t)m * bytes, bytes);
    }
  }
  return 0;
}

#define OF_ENTRY (sizeof(int32_t) + sizeof(double))  // bytes; a row is kept as its columns, then their values

static int widen_sparse(const gv_asked *a, gv_run *run, gv_value *out, int32_t rows) {
  int64_t total = a->misses > 0 ? out->start[a->misses] : 0;
  for (int32_t row = 0; row < rows; row++) total += a->found[row] ? a->length[row] / OF_ENTRY : 0;
  gv_value wide = *out;
  wide.capacity = 0;
  int32_t start[GV_TILE + 1] = {0};
  if (gv_grow(run, &wide, total)) return GV_MEMORY;
  int32_t m = 0;
  for (int32_t row = 0; row < rows; row++) {
    const uint8_t *index = a->found[row], *entry;
    size_t n;
    if (index) {
      n = a->length[row] / OF_ENTRY;
      entry = index + sizeof(int32_t) * n;
    } else {
      n = (size_t)(out->start[m + 1] - out->start[m]);
      index = (const uint8_t *)(out->index + out->start[m]);
      entry = (const uint8_t *)(out->entry + out->start[m++]);
    }
    if (n > 0) {
      memcpy(wide.index + start[row], index, sizeof(int32_t) * n);
      memcpy(wide.entry + start[row], entry, sizeof(double) * n);
    }
    start[row + 1] = start[row] + (int32_t)n;
  }
  memcpy(wide.start, start, sizeof(int32_t) * (size_t)(rows + 1));
  *out = wide;
  return 0;
}

// keep keeps the results of the rows that were missing, but for those that have failed.
static void keep(const gv_asked *a, const gv_value *out, const gv_run *run) {
  for (int32_t m = 0; m < a->misses; m++) {
    if (run->fault[m] != GV_OK) continue;
    size_t bytes = (size_t)out->width * gv_size_of(out->type);
    gv_piece first = {(const uint8_t *)out->f64 + (size_t)m * bytes, (uint32_t)bytes}, second = {NULL, 0};
    if (out->sparse) {
      uint32_t n = (uint32_t)(out->start[m + 1] - out->start[m]);
      first = (gv_piece){out->index + out->start[m], sizeof(int32_t) * n};
      second = (gv_piece){out->entry + out->start[m], (uint32_t)sizeof(double) * n};
    }
    gv_cache_put(a->cache, &a->key[a->missing[m]], first, second);
  }
}

// A run's faults, aside while some of its rows are run.
typedef struct {
  uint8_t fault[GV_TILE];
  int32_t fault_at[GV_TILE], failed;
} faults;

static void put_aside(faults *f, gv_run *run) {
  memcpy(f->fault, run->fault, sizeof f->fault);
  memcpy(f->fault_at, run->fault_at, sizeof f->fault_at);
  f->failed = run->failed;
  memset(run->fault, 0, sizeof run->fault);
  run->failed = 0;
}

// take_back adds the faults of the rows that were run.
static void take_back(const faults *f, const gv_asked *a, gv_run *run) {
  faults of;
  put_aside(&of, run);
  memcpy(run->fault, f->fault, sizeof f->fault);
  memcpy(run->fault_at, f->fault_at, sizeof f->fault_at);
  run->failed = f->failed;
  for (int32_t m = 0; m < a->misses && of.failed > 0; m++) {
    if (of.fault[m] != GV_OK) gv_fail(run, of.fault_at[m], a->missing[m], (gv_fault)of.fault[m]);
  }
}

int gv_run_cached(gv_cache *cache, const gv_cached *c, const gv_stage *all, gv_run *run) {
  int32_t rows = run->rows;
  gv_value *out = &run->values[all[c->stages[c->stage_count - 1]].out];
  gv_asked *a = gv_ask(cache, c->owner, c->inputs, c->input_count, run);
  double **saved = gv_take(&run->arena, sizeof *saved * (size_t)c->input_count);
  if (!a || !saved) return GV_MEMORY;
  if (a->misses > 0) {
    faults before;
    int narrow = a->misses < rows;
    if (narrow && gv_narrow(a, c->inputs, c->input_count, run, saved)) return GV_MEMORY;
    put_aside(&before, run);
    for (int32_t i = 0; i < c->stage_count; i++) {
      const gv_stage *stage = &all[c->stages[i]];
      if (stage->run(stage, run)) return GV_MEMORY;
    }
    keep(a, out, run);
    take_back(&before, a, run);
    if (!narrow) return 0;
    gv_widen_run(c->inputs, c->input_count, run, rows, saved);
  }
  return out->sparse ? widen_sparse(a, run, out, rows) : widen_dense(a, out, rows);
}
