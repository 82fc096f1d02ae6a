// The arithmetic of deepfm.c for one kind of machine. It is included once for each, with
//
//   TARGET       the attribute of its functions
//   NAME(x)      their names
//   FMA(a, b, c) a · b + c of vectors
//   ROWS         how many rows share a load of a kernel: as many as the registers hold

#define INLINE static inline __attribute__((always_inline)) TARGET

// block multiplies `rows` rows of x, of k values, with k rows of `panels` panels, from w on. Both are constants where it is called.
// It writes the products to out, or adds them. Each is added up in the order of k.
INLINE void NAME(block)(const float *x, size_t stride, int32_t k, const float *w, size_t panel, int rows, int panels, int add, float *out,
                        size_t out_stride) {
  vec sum[ROWS < 2 ? 2 : ROWS][8] = {{{0}}};
  for (int32_t j = 0; j < k; j++, w += GV_PANEL) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
      float one = x[(size_t)r * stride + (size_t)j];
      vec a = {one, one, one, one, one, one, one, one};
#pragma GCC unroll 8
      for (int v = 0; v < 2 * panels; v++) sum[r][v] = FMA(a, LOAD(w + (size_t)(v / 2) * panel + v % 2 * GV_VEC), sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
    for (int v = 0; v < 2 * panels; v++) {
      float *to = out + (size_t)r * out_stride + v * GV_VEC;
      LOAD(to) = add ? LOAD(to) + sum[r][v] : sum[r][v];
    }
  }
}

// rows_of multiplies `rows` rows with up to GV_PANELS panels. Few rows take several panels at once, to add more sums side by side.
INLINE void NAME(rows_of)(const part *p, int32_t from, int rows, const float *w, size_t panel, int32_t panels, int add, float *out,
                          size_t out_stride) {
  const float *x = p->x + (size_t)from * p->stride;
  out += (size_t)from * out_stride;
  int32_t at = 0;
  if (rows == 1) {
    for (; at + 4 <= panels; at += 4) NAME(block)(x, p->stride, p->k, w + (size_t)at * panel, panel, 1, 4, add, out + at * GV_PANEL, out_stride);
  }
  if (rows <= 2) {
    for (; at + 2 <= panels; at += 2) NAME(block)(x, p->stride, p->k, w + (size_t)at * panel, panel, rows, 2, add, out + at * GV_PANEL, out_stride);
  }
  for (; at < panels; at++) NAME(block)(x, p->stride, p->k, w + (size_t)at * panel, panel, rows, 1, add, out + at * GV_PANEL, out_stride);
}

// products multiplies all rows of a part.
static TARGET void NAME(products)(const part *p, const float *w, size_t panel, int32_t panels, int add, float *out, size_t out_stride) {
  int32_t r = 0;
  for (; r + ROWS <= p->count; r += ROWS) NAME(rows_of)(p, r, ROWS, w, panel, panels, add, out, out_stride);
  switch (p->count - r) {
#if ROWS > 5
    case 5: NAME(rows_of)(p, r, 5, w, panel, panels, add, out, out_stride); break;
    case 4: NAME(rows_of)(p, r, 4, w, panel, panels, add, out, out_stride); break;
    case 3: NAME(rows_of)(p, r, 3, w, panel, panels, add, out, out_stride); break;
#endif
#if ROWS > 2
    case 2: NAME(rows_of)(p, r, 2, w, panel, panels, add, out, out_stride); break;
#endif
    case 1: NAME(rows_of)(p, r, 1, w, panel, panels, add, out, out_stride); break;
  }
}

// layer computes max(0, x · kernel + bias) of n rows whose columns are in parts. out: [n][out_stride]. shared: [n][GV_PANELS · GV_PANEL],
// for the products of rows that are like the one before.
static TARGET void NAME(layer)(const gv_layer *l, const part *parts, int32_t part_count, int32_t n, float *shared, float *out,
                               size_t out_stride) {
  int32_t panels = (int32_t)(gv_padded((size_t)l->out, GV_PANEL) / GV_PANEL);
  size_t panel = (size_t)l->in * GV_PANEL;
  for (int32_t at = 0; at < panels; at += GV_PANELS) {
    int32_t wide = panels - at < GV_PANELS ? panels - at : GV_PANELS;
    const float *w = l->packed + (size_t)at * panel, *bias = l->bias + at * GV_PANEL;
    float *to = out + at * GV_PANEL;
    for (int32_t i = 0; i < part_count; w += (size_t)parts[i++].k * GV_PANEL) {
      if (parts[i].count == n) {
        NAME(products)(&parts[i], w, panel, wide, i > 0, to, out_stride);
        continue;
      }
      NAME(products)(&parts[i], w, panel, wide, 0, shared, GV_PANELS * GV_PANEL);
      for (int32_t r = 0; r < n; r++) {
        const float *from = shared + (size_t)parts[i].slot[r] * (GV_PANELS * GV_PANEL);
        float *sum = to + (size_t)r * out_stride;
        for (int32_t c = 0; c < wide * GV_PANEL; c += GV_VEC) LOAD(sum + c) = i > 0 ? LOAD(sum + c) + LOAD(from + c) : LOAD(from + c);
      }
    }
    for (int32_t r = 0; r < n; r++) {
      for (int32_t c = 0; c < wide * GV_PANEL; c += GV_VEC) {
        vec h = LOAD(to + (size_t)r * out_stride + c) + LOAD(bias + c);
        LOAD(to + (size_t)r * out_stride + c) = (vec)((bits)h & ~(h < (vec){0}));  // NaN stays
      }
    }
  }
}

// sums adds up a group of fields: sum of e and of e², each padded with zeros.
INLINE void NAME(sums)(const float *const *e, int32_t fields, int32_t width, float *sum, float *squares) {
  int32_t j = 0;
  for (; j + GV_VEC <= width; j += GV_VEC) {
    vec s = {0}, q = {0};
    for (int32_t f = 0; f < fields; f++) {
      vec x = LOAD(e[f] + j);
      s += x;
      q = FMA(x, x, q);
    }
    LOAD(sum + j) = s;
    LOAD(squares + j) = q;
  }
  for (int32_t end = (int32_t)gv_padded((size_t)width, GV_VEC); j < end; j++) {
    float s = 0, q = 0;
    for (int32_t f = 0; j < width && f < fields; f++) {
      s += e[f][j];
      q += e[f][j] * e[f][j];
    }
    sum[j] = s;
    squares[j] = q;
  }
}

INLINE void NAME(copy)(const float *from, int32_t n, float *to) {
  int32_t j = 0;
  for (; j + GV_VEC <= n; j += GV_VEC) LOAD(to + j) = LOAD(from + j);
  for (; j < n; j++) to[j] = from[j];
}

// gather adds the sums of each row's fields to interactions [n][2 · padded width], and writes what the first layer reads into parts.
static TARGET void NAME(gather)(const gv_deepfm_params *p, const int32_t *const *rows, int32_t n, part *parts, int32_t part_count,
                                float *group_sums, float *interactions) {
  const gv_indices_params *of = &p->indices;
  size_t padded = gv_padded((size_t)of->width, GV_VEC), both = 2 * padded;
  int32_t columns = of->width - p->skip;
  for (int32_t i = 0; i < part_count; i++) {
    int32_t first = i * p->group, fields = of->fields - first < p->group ? of->fields - first : p->group;
    int32_t last = -1;
    for (int32_t r = 0; r < n; r++) {
      if (parts[i].slot[r] != last) {
        const float *e[GV_GROUP];
        last = parts[i].slot[r];
        for (int32_t f = 0; f < fields; f++) {
          e[f] = of->table + (size_t)rows[r][first + f] * (size_t)of->width;
          if (parts[i].x) NAME(copy)(e[f] + p->skip, columns, parts[i].x + (size_t)last * parts[i].stride + (size_t)f * (size_t)columns);
        }
        NAME(sums)(e, fields, of->width, group_sums, group_sums + padded);
      }
      float *to = interactions + (size_t)r * both;
      for (size_t c = 0; c < both; c += GV_VEC) LOAD(to + c) = i > 0 ? LOAD(to + c) + LOAD(group_sums + c) : LOAD(group_sums + c);
    }
  }
}

// logits computes [S, S² − Q, H] · head + bias of n rows.
static TARGET void NAME(logits)(const gv_deepfm_params *p, int32_t n, const float *interactions, const float *h, size_t h_stride,
                                float *out) {
  size_t padded = gv_padded((size_t)p->indices.width, GV_VEC);
  for (int32_t r = 0; r < n; r++, interactions += 2 * padded) {
    vec sum = {0};
    for (size_t c = 0; c < padded; c += GV_VEC) {
      vec s = LOAD(interactions + c), pairs = s * s - LOAD(interactions + padded + c);
      sum = FMA(s, LOAD(p->head + c), sum);
      sum = FMA(pairs, LOAD(p->head + padded + c), sum);
    }
    if (p->layer_count > 0) {
      size_t last = gv_padded((size_t)p->layers[p->layer_count - 1].out, GV_PANEL);
      for (size_t c = 0; c < last; c += GV_VEC) sum = FMA(LOAD(h + (size_t)r * h_stride + c), LOAD(p->head + 2 * padded + c), sum);
    }
    out[r] = ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7])) + p->indices.bias;
  }
}

// chunk scores n rows.
static TARGET void NAME(chunk)(const gv_deepfm_params *p, const int32_t *const *rows, int32_t n, const memory *m, float *out) {
  NAME(gather)(p, rows, n, m->parts, m->part_count, m->group_sums, m->interactions);
  float *h = m->hidden, *next = m->hidden + m->hidden_stride * (size_t)n;
  for (int32_t i = 0; i < p->layer_count; i++) {
    part all = {.x = h, .stride = m->hidden_stride, .k = p->layers[i].in, .count = n};
    NAME(layer)(&p->layers[i], i > 0 ? &all : m->parts, i > 0 ? 1 : m->part_count, n, m->shared, next, m->hidden_stride);
    float *swap = h;
    h = next, next = swap;
  }
  NAME(logits)(p, n, m->interactions, h, m->hidden_stride, out);
}

#undef INLINE
#undef TARGET
#undef NAME
#undef FMA
#undef ROWS
