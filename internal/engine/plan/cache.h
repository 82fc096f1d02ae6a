// A cache of results across runs: bounded in bytes, the least recently used go first. Threads share it.
//
// A result is found by its owner, which says what was computed, and by all bytes that it was computed from. These are compared on
// each hit, so a result is never another row's; the hash, whose seed is secret, only finds the place.
#ifndef GAVEL_CACHE_H
#define GAVEL_CACHE_H

#include "plan.h"

typedef struct gv_cache gv_cache;

typedef struct {
  const void *bytes;
  uint32_t length;
} gv_piece;

typedef struct {
  uint64_t owner[2];
  uint64_t hash;  // of the pieces: gv_cache_hash
  const gv_piece *pieces;
  int32_t count;
} gv_cache_key;

typedef struct {
  uint64_t hits, misses, evictions;
  int64_t entries, bytes;
} gv_cache_counts;

// gv_cache_new makes a cache of at most so many bytes, its own included; NULL if there is no memory.
gv_cache *gv_cache_new(int64_t bytes, uint64_t seed0, uint64_t seed1);
void gv_cache_free(gv_cache *);  // NULL is fine

uint64_t gv_cache_hash(const gv_cache *, const gv_piece *pieces, int32_t count);

// gv_cache_get returns a copy of a result in the arena, and its length; NULL if there is none.
const uint8_t *gv_cache_get(gv_cache *, const gv_cache_key *, gv_arena *, uint32_t *length);

// gv_cache_put keeps a result of two pieces. It may find no room for it.
void gv_cache_put(gv_cache *, const gv_cache_key *, gv_piece first, gv_piece second);

gv_cache_counts gv_cache_count(gv_cache *);

#endif
