#include "cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS 16       // each with a lock, so that threads seldom wait
#define OF_BUCKET 512   // bytes of the cache for each bucket of its table
#define OF_MALLOC 16    // bytes that malloc adds to a block

// An entry's bytes: the lengths of the pieces it was computed from, their bytes, then its own.
typedef struct entry {
  struct entry *next;           // in its bucket
  struct entry *newer, *older;  // in the order of use
  uint64_t owner[2], hash;
  int32_t count;  // pieces
  uint32_t from, length;
  uint8_t bytes[];
} entry;

typedef struct {
  pthread_mutex_t lock;
  entry **buckets;
  uint64_t mask;
  entry *newest, *oldest;
  int64_t limit;
  gv_cache_counts counts;
} shard;

struct gv_cache {
  uint64_t seed[2];
  shard shards[SHARDS];
};

gv_cache *gv_cache_new(int64_t bytes, uint64_t seed0, uint64_t seed1) {
  gv_cache *cache = calloc(1, sizeof *cache);
  if (!cache) return NULL;
  cache->seed[0] = seed0;
  cache->seed[1] = seed1;
  for (int i = 0; i < SHARDS; i++) {
    shard *s = &cache->shards[i];
    s->limit = bytes / SHARDS;
    uint64_t buckets = 16;
    while ((int64_t)buckets * OF_BUCKET < s->limit) buckets *= 2;
    s->mask = buckets - 1;
    s->buckets = calloc(buckets, sizeof *s->buckets);
    s->counts.bytes = (int64_t)(buckets * sizeof *s->buckets + sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    if (!s->buckets) {
      gv_cache_free(cache);
      return NULL;
    }
  }
  return cache;
}

void gv_cache_free(gv_cache *cache) {
  if (!cache) return;
  for (int i = 0; i < SHARDS; i++) {
    shard *s = &cache->shards[i];
    while (s->newest) {
      entry *e = s->newest;
      s->newest = e->older;
      free(e);
    }
    free(s->buckets);
  }
  free(cache);
}

// SipHash-1-3 (Aumasson and Bernstein, 2012), one piece after another.
typedef struct {
  uint64_t a, b, c, d;
} sip;

static uint64_t rotated(uint64_t x, int by) { return x << by | x >> (64 - by); }

static inline void stir(sip *v) {
  v->a += v->b;
  v->b = rotated(v->b, 13) ^ v->a;
  v->a = rotated(v->a, 32);
  v->c += v->d;
  v->d = rotated(v->d, 16) ^ v->c;
  v->a += v->d;
  v->d = rotated(v->d, 21) ^ v->a;
  v->c += v->b;
  v->b = rotated(v->b, 17) ^ v->c;
  v->c = rotated(v->c, 32);
}

static inline void take_in(sip *v, uint64_t word) {
  v->d ^= word;
  stir(v);
  v->a ^= word;
}

uint64_t gv_cache_hash(const gv_cache *cache, const gv_piece *pieces, int32_t count) {
  sip v = {cache->seed[0] ^ 0x736f6d6570736575u, cache->seed[1] ^ 0x646f72616e646f6du, cache->seed[0] ^ 0x6c7967656e657261u,
           cache->seed[1] ^ 0x7465646279746573u};
  for (int32_t i = 0; i < count; i++) {
    const uint8_t *p = pieces[i].bytes;
    uint32_t at = 0, n = pieces[i].length;
    for (; at + 8 <= n; at += 8) {
      uint64_t word;
      memcpy(&word, p + at, 8);
      take_in(&v, word);
    }
    uint64_t last = (uint64_t)n << 56;
    for (int shift = 0; at < n; at++, shift += 8) last |= (uint64_t)p[at] << shift;
    take_in(&v, last);
  }
  v.c ^= 0xff;
  stir(&v);
  stir(&v);
  stir(&v);
  return v.a ^ v.b ^ v.c ^ v.d;
}

// place mixes the owner in: many owners ask for one row.
static uint64_t place(const gv_cache_key *key) {
  uint64_t x = key->hash ^ key->owner[0];
  x *= UINT64_C(0x9E3779B97F4A7C15);
  return x ^ x >> 32;
}

static shard *shard_of(gv_cache *cache, uint64_t at) { return &cache->shards[at % SHARDS]; }
static entry **bucket_of(const shard *s, uint64_t at) { return &s->buckets[at / SHARDS & s->mask]; }

static int equal(const entry *e, uint64_t at, const gv_cache_key *key) {
  if (e->hash != at || e->owner[0] != key->owner[0] || e->owner[1] != key->owner[1] || e->count != key->count) return 0;
  const uint8_t *bytes = e->bytes + sizeof(uint32_t) * (size_t)e->count;
  for (int32_t i = 0; i < key->count; i++) {
    uint32_t length;
    memcpy(&length, e->bytes + sizeof length * (size_t)i, sizeof length);
    if (length != key->pieces[i].length || memcmp(bytes, key->pieces[i].bytes, length) != 0) return 0;
    bytes += length;
  }
  return 1;
}

static void unlink_used(shard *s, entry *e) {
  *(e->newer ? &e->newer->older : &s->newest) = e->older;
  *(e->older ? &e->older->newer : &s->oldest) = e->newer;
}

static void link_newest(shard *s, entry *e) {
  e->newer = NULL;
  e->older = s->newest;
  *(s->newest ? &s->newest->newer : &s->oldest) = e;
  s->newest = e;
}

static int64_t size_of(const entry *e) { return (int64_t)(sizeof *e + e->from + e->length + OF_MALLOC); }

static void evict(shard *s) {
  entry *e = s->oldest, **at = bucket_of(s, e->hash);
  while (*at != e) at = &(*at)->next;
  *at = e->next;
  unlink_used(s, e);
  s->counts.bytes -= size_of(e);
  s->counts.entries--;
  s->counts.evictions++;
  free(e);
}

static entry *find(const shard *s, uint64_t at, const gv_cache_key *key) {
  entry *e = *bucket_of(s, at);
  while (e && !equal(e, at, key)) e = e->next;
  return e;
}

const uint8_t *gv_cache_get(gv_cache *cache, const gv_cache_key *key, gv_arena *arena, uint32_t *length) {
  uint64_t at = place(key);
  shard *s = shard_of(cache, at);
  uint8_t *copy = NULL;
  pthread_mutex_lock(&s->lock);
  entry *e = find(s, at, key);
  if (e && (copy = gv_take(arena, e->length)) != NULL) {
    memcpy(copy, e->bytes + e->from, e->length);
    *length = e->length;
    unlink_used(s, e);
    link_newest(s, e);
  }
  *(copy ? &s->counts.hits : &s->counts.misses) += 1;
  pthread_mutex_unlock(&s->lock);
  return copy;
}

void gv_cache_put(gv_cache *cache, const gv_cache_key *key, gv_piece first, gv_piece second) {
  uint64_t at = place(key), from = sizeof(uint32_t) * (uint64_t)key->count, length = (uint64_t)first.length + second.length;
  for (int32_t i = 0; i < key->count; i++) from += key->pieces[i].length;
  shard *s = shard_of(cache, at);
  if (from + length > (uint64_t)s->limit / 4) return;  // it would drive out too much
  entry *e = malloc(sizeof *e + from + length);
  if (!e) return;
  *e = (entry){.owner = {key->owner[0], key->owner[1]}, .hash = at, .count = key->count, .from = (uint32_t)from, .length = (uint32_t)length};
  uint8_t *bytes = e->bytes + sizeof(uint32_t) * (size_t)key->count;
  for (int32_t i = 0; i < key->count; i++) {
    memcpy(e->bytes + sizeof(uint32_t) * (size_t)i, &key->pieces[i].length, sizeof(uint32_t));
    if (key->pieces[i].length > 0) memcpy(bytes, key->pieces[i].bytes, key->pieces[i].length);
    bytes += key->pieces[i].length;
  }
  if (first.length > 0) memcpy(bytes, first.bytes, first.length);
  if (second.length > 0) memcpy(bytes + first.length, second.bytes, second.length);
  pthread_mutex_lock(&s->lock);
  if (find(s, at, key)) {  // another thread was faster
    free(e);
  } else {
    while (s->oldest && s->counts.bytes + size_of(e) > s->limit) evict(s);
    if (s->counts.bytes + size_of(e) > s->limit) {  // a cache of no room
      free(e);
    } else {
      entry **bucket = bucket_of(s, at);
      e->next = *bucket;
      *bucket = e;
      link_newest(s, e);
      s->counts.bytes += size_of(e);
      s->counts.entries++;
    }
  }
  pthread_mutex_unlock(&s->lock);
}

gv_cache_counts gv_cache_count(gv_cache *cache) {
  gv_cache_counts sum = {0};
  for (int i = 0; i < SHARDS; i++) {
    shard *s = &cache->shards[i];
    pthread_mutex_lock(&s->lock);
    sum.hits += s->counts.hits;
    sum.misses += s->counts.misses;
    sum.evictions += s->counts.evictions;
    sum.entries += s->counts.entries;
    sum.bytes += s->counts.bytes;
    pthread_mutex_unlock(&s->lock);
  }
  return sum;
}
