// The products of matrix.c for one kind of machine. It is included once for each, with
//
//   TARGET       the attribute of its functions
//   NAME(x)      their names
//   FMA(a, b, c) a · b + c of vectors, rounded once
//
// Every form computes the same bits.

#define INLINE static inline __attribute__((always_inline)) TARGET

// dot is the product with the one row of a matrix: every eighth column is added to one of eight sums.
INLINE double NAME(dot)(const double *a, const double *b, int32_t n) {
  vec low = {0}, high = {0};
  int32_t j = 0;
  for (; j + 8 <= n; j += 8) {
    low += LOAD(a + j) * LOAD(b + j);
    high += LOAD(a + j + 4) * LOAD(b + j + 4);
  }
  for (int lane = 0; j < n; j++, lane++) {
    if (lane < 4) {
      low[lane] += a[j] * b[j];
    } else {
      high[lane - 4] += a[j] * b[j];
    }
  }
  low += high;
  return (low[0] + low[2]) + (low[1] + low[3]);
}

// dense_block computes out[r][0 … columns) of `rows` rows, columns ≤ wide · GV_LANES; rows and wide are constants where it is called,
// and rows · wide ≤ SUMS.
INLINE void NAME(dense_block)(const gv_matrix_params *p, const double *x, const double *m, int rows, int wide, int32_t columns, double *out) {
  vec sum[SUMS] = {{0}};
  size_t stride = (size_t)gv_stride(p->k);
  for (int32_t j = 0; j < p->w; j++, m += stride) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
      double one = x[(size_t)r * p->w + j];
      vec a = {one, one, one, one};
#pragma GCC unroll 4
      for (int v = 0; v < wide; v++) sum[r * wide + v] = FMA(a, LOAD(m + v * GV_LANES), sum[r * wide + v]);
    }
  }
  for (int r = 0; r < rows; r++) {
    for (int32_t c = 0; c < columns; c++) out[(size_t)r * p->k + c] = sum[r * wide + c / GV_LANES][c % GV_LANES];
  }
}

// dense_rows computes all outputs of `rows` rows, a constant. So many sums are kept side by side as a processor can add.
INLINE void NAME(dense_rows)(const gv_matrix_params *p, const double *x, int rows, double *out) {
  for (int32_t c = 0; c < p->k;) {
    int32_t left = gv_stride(p->k - c) / GV_LANES, wide = left == 1 ? 1 : left < 4 || rows > 1 ? 2 : 4;
    int32_t columns = p->k - c < wide * GV_LANES ? p->k - c : wide * GV_LANES;
    const double *m = p->transposed + c;
    if (wide == 4) NAME(dense_block)(p, x, m, 1, 4, columns, out + c);
    if (wide == 2) {
      NAME(dense_block)(p, x, m, rows < 4 ? rows : 4, 2, columns, out + c);
      if (rows == 8) NAME(dense_block)(p, x + 4 * (size_t)p->w, m, 4, 2, columns, out + c + 4 * (size_t)p->k);
    }
    if (wide == 1) NAME(dense_block)(p, x, m, rows, 1, columns, out + c);
    c += columns;
  }
}

INLINE void NAME(dense_products)(const gv_matrix_params *p, const double *x, int32_t rows, double *out) {
  int32_t r = 0;
  if (!p->transposed) {
    for (; r < rows; r++) out[r] = NAME(dot)(x + (size_t)r * p->w, p->matrix, p->w);
    return;
  }
  for (; r + 8 <= rows; r += 8) NAME(dense_rows)(p, x + (size_t)r * p->w, 8, out + (size_t)r * p->k);
  if (r + 4 <= rows) {
    NAME(dense_rows)(p, x + (size_t)r * p->w, 4, out + (size_t)r * p->k);
    r += 4;
  }
  for (; r < rows; r++) NAME(dense_rows)(p, x + (size_t)r * p->w, 1, out + (size_t)r * p->k);
}

// sparse_dot is the product with the one row of a matrix: every fourth entry is added to one of four sums.
INLINE double NAME(sparse_dot)(const int32_t *index, const double *x, int32_t n, const double *of) {
  double sum[4] = {0};
  int32_t e = 0;
  for (; e + 4 <= n; e += 4) {
    for (int lane = 0; lane < 4; lane++) sum[lane] += x[e + lane] * of[index[e + lane]];
  }
  for (int lane = 0; e < n; e++, lane++) sum[lane] += x[e] * of[index[e]];
  return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

// listed_dot first finds where all coefficients are, and has them fetched, so that these cache misses overlap.
INLINE double NAME(listed_dot)(const int32_t *index, const double *x, int32_t n, const gv_matrix_params *p) {
  double sum[4] = {0};
  uint32_t at[FOUND];
  for (int32_t from = 0; from < n; from += FOUND) {
    int32_t some = n - from < FOUND ? n - from : FOUND, e = 0;
    for (int32_t i = 0; i < some; i++) {
      at[i] = gv_listed(p->listed, (uint32_t)(p->first + index[from + i]));
      __builtin_prefetch(p->matrix + at[i]);
    }
    for (; e + 4 <= some; e += 4) {
      for (int lane = 0; lane < 4; lane++) sum[lane] += x[from + e + lane] * p->matrix[at[e + lane]];
    }
    for (int lane = 0; e < some; e++, lane++) sum[lane] += x[from + e] * p->matrix[at[e]];
  }
  return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

// sparse_block computes columns ≤ wide · GV_LANES outputs of one row; wide and fused are constants where it is called.
INLINE void NAME(sparse_block)(const int32_t *index, const double *x, int32_t n, const double *m, size_t stride, int wide, int fused,
                               int32_t columns, double *out) {
  vec sum[4] = {{0}};
  for (int32_t e = 0; e < n; e++) {
    const double *of = m + (size_t)index[e] * stride;
    vec a = {x[e], x[e], x[e], x[e]};
#pragma GCC unroll 4
    for (int v = 0; v < wide; v++) sum[v] = fused ? FMA(a, LOAD(of + v * GV_LANES), sum[v]) : sum[v] + a * LOAD(of + v * GV_LANES);
  }
  for (int32_t c = 0; c < columns; c++) out[c] = sum[c / GV_LANES][c % GV_LANES];
}

INLINE void NAME(sparse_products)(const gv_matrix_params *p, const gv_value *in, int32_t rows, int fused, double *out) {
  size_t stride = (size_t)gv_stride(p->k);
  for (int32_t r = 0; r < rows; r++, out += p->k) {
    const int32_t *index = in->index + in->start[r];
    const double *x = in->entry + in->start[r];
    int32_t n = in->start[r + 1] - in->start[r];
    if (p->listed || !p->transposed) {
      *out = p->listed ? NAME(listed_dot)(index, x, n, p) : NAME(sparse_dot)(index, x, n, p->matrix);
      continue;
    }
    for (int32_t c = 0; c < p->k;) {
      int32_t left = gv_stride(p->k - c) / GV_LANES, wide = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      int32_t columns = p->k - c < wide * GV_LANES ? p->k - c : wide * GV_LANES;
      if (wide == 4) NAME(sparse_block)(index, x, n, p->transposed + c, stride, 4, fused, columns, out + c);
      if (wide == 2) NAME(sparse_block)(index, x, n, p->transposed + c, stride, 2, fused, columns, out + c);
      if (wide == 1) NAME(sparse_block)(index, x, n, p->transposed + c, stride, 1, fused, columns, out + c);
      c += columns;
    }
  }
}

static TARGET void NAME(products)(const gv_matrix_params *p, const gv_value *in, int32_t rows, double *out) {
  if (!in->sparse) {
    NAME(dense_products)(p, in->f64, rows, out);
  } else if (p->fused) {
    NAME(sparse_products)(p, in, rows, 1, out);
  } else {
    NAME(sparse_products)(p, in, rows, 0, out);
  }
}

#undef INLINE
#undef TARGET
#undef NAME
#undef FMA
