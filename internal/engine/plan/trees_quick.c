// QuickScorer's kernels, for words of 32 and 64 bits, and vectors of 16 bytes and of 32 (AVX2).
#include <string.h>

#include "trees.h"

// How many of n tests the greatest value of a block does not pass. They are the first ones.
static inline int32_t tests_above(const double *t, int32_t n, double most) {
  int32_t first = 0;
  while (n > 0) {
    int32_t half = n / 2;
    int above = !(most <= t[first + half]);
    first = above ? first + half + 1 : first;
    n = above ? n - half - 1 : half;
  }
  return first;
}

// With 32-byte vectors, two comparisons of four numbers are packed into a word of eight rows in the order 0 1 4 5 2 3 6 7. Rows
// are stored so that the order of the words is theirs.
static const uint8_t in_order[GV_BLOCK] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

#define TARGET
#define VECTOR 16
#define WORD uint32_t
#define WORD_BITS 32
#define FIRST_BIT __builtin_ctz
#define NAME quick32
#define PLACES in_order
#include "trees_quick_kernel.h"
#define WORD uint64_t
#define WORD_BITS 64
#define FIRST_BIT __builtin_ctzll
#define NAME quick64
#define PLACES in_order
#include "trees_quick_kernel.h"
#undef TARGET
#undef VECTOR

#if defined(__x86_64__) && !defined(GV_PORTABLE)  // tests run the portable kernels by it
static const uint8_t packed[GV_BLOCK] = {0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15};

#define TARGET __attribute__((target("avx2,bmi")))
#define VECTOR 32
#define WORD uint32_t
#define WORD_BITS 32
#define FIRST_BIT __builtin_ctz
#define NAME quick32_avx2
#define PLACES packed
#include "trees_quick_kernel.h"
#define WORD uint64_t
#define WORD_BITS 64
#define FIRST_BIT __builtin_ctzll
#define NAME quick64_avx2
#define PLACES in_order
#include "trees_quick_kernel.h"

static int wide(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"); }
#else
static const uint8_t *const packed = in_order;
#define quick32_avx2 quick32
#define quick64_avx2 quick64
static int wide(void) { return 0; }
#endif

const uint8_t *gv_quick_places(const gv_forest *f) { return f->mask_bits == 32 && wide() ? packed : in_order; }

void gv_quick(const gv_trees *p, const double *x, int32_t rows, double *out, void *words) {
  if (p->forest->mask_bits == 32) (wide() ? quick32_avx2 : quick32)(p, x, rows, out, words);
  else (wide() ? quick64_avx2 : quick64)(p, x, rows, out, words);
}
