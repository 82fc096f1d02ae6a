#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "runtime.h"

#define LEAST 65536  // bytes of an arena's first block

// A block that did not fit into the arena's memory. What it holds begins GV_ALIGN bytes after it.
typedef struct block {
  struct block *next;
  size_t size;
} block;

static size_t aligned(size_t bytes) { return (bytes + GV_ALIGN - 1) / GV_ALIGN * GV_ALIGN; }

void *gv_take(gv_arena *arena, size_t bytes) {
  if (bytes > SIZE_MAX / 4) return NULL;
  bytes = aligned(bytes > 0 ? bytes : 1);  // NULL means that there is no memory
  if (arena->size - arena->used >= bytes) {
    void *p = arena->memory + arena->used;
    arena->used += bytes;
    return p;
  }
  block *more = aligned_alloc(GV_ALIGN, GV_ALIGN + bytes);
  if (!more) return NULL;
  more->next = arena->more;
  more->size = bytes;
  arena->more = more;
  return (uint8_t *)more + GV_ALIGN;
}

void *gv_alloc(gv_arena *arena, size_t bytes) {
  void *p = gv_take(arena, bytes);
  if (p) memset(p, 0, aligned(bytes));
  return p;
}

void *gv_zeros(gv_arena *arena, size_t bytes) {
  if (bytes > SIZE_MAX / 4) return NULL;
  if (bytes > arena->zeros_size) {
    free(arena->zeros);
    bytes = aligned(bytes);
    arena->zeros = aligned_alloc(GV_ALIGN, bytes);
    arena->zeros_size = arena->zeros ? bytes : 0;
    if (arena->zeros) memset(arena->zeros, 0, bytes);
  }
  return arena->zeros;
}

void gv_reset(gv_arena *arena) {
  size_t wanted = arena->used;
  while (arena->more) {
    block *more = arena->more;
    arena->more = more->next;
    wanted += more->size;
    free(more);
  }
  arena->used = 0;
  if (wanted <= arena->size) return;
  free(arena->memory);
  arena->size = aligned(wanted + wanted / 4 < LEAST ? LEAST : wanted + wanted / 4);
  arena->memory = aligned_alloc(GV_ALIGN, arena->size);
  if (!arena->memory) arena->size = 0;  // the next run takes blocks, or fails
}

void gv_arena_free(gv_arena *arena) {
  while (arena->more) {
    block *more = arena->more;
    arena->more = more->next;
    free(more);
  }
  free(arena->memory);
  free(arena->zeros);
  *arena = (gv_arena){0};
}

int gv_grow(gv_run *run, gv_value *value, int64_t entries) {
  if (entries <= value->capacity) return 0;
  if (entries > INT32_MAX) return GV_MEMORY;  // start holds int32
  int64_t capacity = 2 * value->capacity > entries ? 2 * value->capacity : entries;
  if (capacity < 64) capacity = 64;
  int32_t *index = gv_take(&run->arena, sizeof(int32_t) * (size_t)capacity);
  double *entry = gv_take(&run->arena, sizeof(double) * (size_t)capacity);
  if (!index || !entry) return GV_MEMORY;
  if (value->capacity > 0) {
    memcpy(index, value->index, sizeof(int32_t) * (size_t)value->capacity);
    memcpy(entry, value->entry, sizeof(double) * (size_t)value->capacity);
  }
  value->index = index;
  value->entry = entry;
  value->capacity = capacity;
  return 0;
}

int gv_execute(const gv_stage *stages, int32_t count, gv_run *run) {
  for (int32_t i = 0; i < count; i++) {
    int rc = stages[i].run(&stages[i], run);
    if (rc) return rc;
  }
  return 0;
}
