// QuickScorer over 16 rows. Included by trees_quick.c for each word (WORD, WORD_BITS) and width of vectors (VECTOR bytes).
// The number of rows in a vector of doubles is VECTOR / 8.

TARGET static void NAME(const gv_trees *p, const double *x, int32_t rows, double *out, void *words) {
  typedef double numbers __attribute__((vector_size(VECTOR), aligned(VECTOR)));
  typedef int64_t longs __attribute__((vector_size(VECTOR), aligned(VECTOR)));
  typedef WORD masks __attribute__((vector_size(VECTOR), aligned(VECTOR)));
  enum { XS = GV_BLOCK * 8 / VECTOR, MASKS = GV_BLOCK * (WORD_BITS / 8) / VECTOR };
  const gv_forest *f = p->forest;
  WORD *bits = words;
  for (int32_t g = 0; g < f->groups; g++) {
    int32_t first = g * f->group, trees = f->trees - first < f->group ? f->trees - first : f->group;
    memset(bits, 0xff, (size_t)trees * GV_BLOCK * sizeof(WORD));
    for (int32_t c = 0; c < f->columns; c++) {
      const int32_t *start = f->test_start + (int64_t)g * f->columns + c;
      const double *t = f->test_t + start[0];
      const uint32_t *tree = f->test_tree + start[0];
      const WORD *keep = (const WORD *)f->test_keep + start[0];
      int32_t n = start[1] - start[0];
      if (c >= f->kind_start[GV_COLUMN_SET]) {
        for (int32_t i = 0; i < n; i++) {
          const gv_set *set = &f->sets[(int32_t)t[i]];
          WORD *word = bits + tree[i] * GV_BLOCK;
          for (int32_t r = 0; r < GV_BLOCK; r++)
            if (!gv_in_set(f, set, x[c * GV_BLOCK + PLACES[r]])) word[r] &= keep[i];
        }
        continue;
      }
      const numbers *column = (const numbers *)(x + c * GV_BLOCK);
      numbers v[XS];
      numbers greatest = v[0] = column[0];
      longs number = column[0] == column[0];
      for (int k = 1; k < XS; k++) {
        v[k] = column[k];
        longs more = v[k] > greatest;
        greatest = (numbers)((more & (longs)v[k]) | (~more & (longs)greatest));
        number &= v[k] == v[k];
      }
      double most = greatest[0];
      int64_t all_numbers = number[0];
      for (int k = 1; k < VECTOR / 8; k++) {
        if (greatest[k] > most) most = greatest[k];
        all_numbers &= number[k];
      }
      if (all_numbers) n = tests_above(t, n, most);
      for (int32_t i = 0; i < n; i++) {
        masks *word = (masks *)(bits + tree[i] * GV_BLOCK);
        for (int k = 0; k < MASKS; k++) {
#if WORD_BITS == 32
          masks low = (masks)(v[2 * k] <= t[i]), high = (masks)(v[2 * k + 1] <= t[i]);
#if VECTOR == 32
          masks left = __builtin_shufflevector(low, high, 0, 2, 8, 10, 4, 6, 12, 14);
#else
          masks left = __builtin_shufflevector(low, high, 0, 2, 4, 6);
#endif
#else
          masks left = (masks)(v[k] <= t[i]);
#endif
          word[k] &= left | keep[i];
        }
      }
    }
    if (p->use == GV_SUM_ONE && !p->single) {
      double sum[GV_BLOCK] = {0};
      for (int32_t r = 0; r < rows; r++) sum[r] = out[r];
      for (int32_t t = 0; t < trees; t++) {
        const double *value = f->value + f->leaf_first[first + t];
        for (int32_t r = 0; r < GV_BLOCK; r++) sum[r] += value[FIRST_BIT(bits[t * GV_BLOCK + r])];
      }
      for (int32_t r = 0; r < rows; r++) out[r] = sum[r];
      continue;
    }
    for (int32_t t = 0; t < trees; t++) {
      int32_t leaf = f->leaf_first[first + t];
      for (int32_t r = 0; r < rows; r++)
        gv_take_leaf(p, out + (int64_t)r * p->outputs, first + t, leaf + FIRST_BIT(bits[t * GV_BLOCK + r]));
    }
  }
}

#undef WORD
#undef WORD_BITS
#undef FIRST_BIT
#undef NAME
#undef PLACES
