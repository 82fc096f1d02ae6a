// The arithmetic of deepfm.c for one kind of machine. It is included once for each, with
//
//   TARGET       the attribute of its functions
//   NAME(x)      their names
//   FMA(a, b, c) a · b + c of vectors
//   LANES        values of the vectors in which layers are multiplied: GV_VEC, or GV_PANEL
//   SPLAT(x)     such a vector of one value
//   FMA_WIDE     FMA of such vectors
//   ROWS         how many rows share a load of a kernel: as many as the registers hold
//   SUMS         how many vectors of sums are kept side by side, at most, where panels could be taken one after another
//
// A sum is added up in one order, whatever the vectors: all forms with FMA give the same bits.

#define INLINE static inline __attribute__((always_inline)) TARGET
#define OF_PANEL (GV_PANEL / LANES)  // vectors of a panel

typedef float NAME(wide) __attribute__((vector_size(4 * LANES), aligned(4)));
#define WIDE(p) (*(NAME(wide) *)(uintptr_t)(p))

// block multiplies `rows` rows of x, of k values, with k rows of `panels` panels, from w on. Both are constants where it is called.
// It writes the products to out, or adds them. Each is added up in the order of k.
INLINE void NAME(block)(const float *x, size_t stride, int32_t k, const float *w, size_t panel, int rows, int panels, int add, float *out,
                        size_t out_stride) {
  NAME(wide) sum[ROWS < 2 ? 2 : ROWS][4 * OF_PANEL] = {{{0}}};
  for (int32_t j = 0; j < k; j++, w += GV_PANEL) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
      NAME(wide) a = SPLAT(x[(size_t)r * stride + (size_t)j]);
#pragma GCC unroll 8
      for (int v = 0; v < OF_PANEL * panels; v++) {
        sum[r][v] = FMA_WIDE(a, WIDE(w + (size_t)(v / OF_PANEL) * panel + v % OF_PANEL * LANES), sum[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
    for (int v = 0; v < OF_PANEL * panels; v++) {
      float *to = out + (size_t)r * out_stride + v * LANES;
      WIDE(to) = add ? WIDE(to) + sum[r][v] : sum[r][v];
    }
  }
}

// rows_of multiplies `rows` rows with up to GV_PANELS panels. It takes several panels at once, so that more sums are added side by side,
// while the registers hold them.
INLINE void NAME(rows_of)(const part *p, int32_t from, int rows, const float *w, size_t panel, int32_t panels, int add, float *out,
                          size_t out_stride) {
  const float *x = p->x + (size_t)from * p->stride;
  out += (size_t)from * out_stride;
  int32_t at = 0;
  if (4 * OF_PANEL * rows <= SUMS) {
    for (; at + 4 <= panels; at += 4) NAME(block)(x, p->stride, p->k, w + (size_t)at * panel, panel, rows, 4, add, out + at * GV_PANEL, out_stride);
  }
  if (2 * OF_PANEL * rows <= SUMS) {
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

// layer computes max(0, x · kernel + bias) of n rows whose columns are in parts. out: [n][hidden_stride].
static TARGET void NAME(layer)(const gv_layer *l, const part *parts, int32_t part_count, int32_t n, const memory *m, float *out) {
  size_t out_stride = m->hidden_stride;
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
      NAME(products)(&parts[i], w, panel, wide, 0, m->shared, GV_PANELS * GV_PANEL);
      for (int32_t r = 0; r < n; r++) {
        const float *from = m->shared + (size_t)m->slots[(size_t)r * (size_t)part_count + (size_t)i] * (GV_PANELS * GV_PANEL);
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

// block_of takes `lanes` ≤ GV_VEC columns of every field, from embedding column j on: it adds them and their squares to interactions, and
// copies them into the parts for the first layer. With j = 0, so the linear column. What it has added up of a group is kept in group_sums.
INLINE void NAME(block_of)(const gv_deepfm_params *p, const int32_t *const *rows, int32_t n, const memory *m, int32_t j, int32_t lanes) {
  const gv_indices_params *of = &p->indices;
  int32_t columns = of->width - p->skip, at = j + 1 - p->skip;  // of a field in a part
  size_t stride = m->interaction_stride;
  for (int32_t r = 0; r < n; r++) {
    vec s = {0}, q = {0};
    float linear = 0, linear_squares = 0;
    sums *known = m->group_sums;
    for (int32_t i = 0, first = 0; i < m->part_count; i++, known++, first += p->group) {
      const part *part = &m->parts[i];
      int32_t slot = m->slots[(size_t)r * (size_t)m->part_count + (size_t)i];
      if (r == 0 || slot != m->slots[(size_t)(r - 1) * (size_t)m->part_count + (size_t)i]) {
        vec ds = {0}, dq = {0};
        float dl = 0, dls = 0;
        float *x = part->x ? part->x + (size_t)slot * part->stride : NULL;
        int32_t fields = of->fields - first < p->group ? of->fields - first : p->group;
        for (int32_t f = 0; f < fields; f++) {
          const float *e = of->table + (size_t)rows[r][first + f] * (size_t)of->width;
          vec v = {0};
          if (lanes == GV_VEC) {
            v = LOAD(e + 1 + j);
          } else {
            for (int32_t lane = 0; lane < lanes; lane++) v[lane] = e[1 + j + lane];
          }
          ds += v;
          dq = FMA(v, v, dq);
          if (j == 0) {
            dl += e[0];
            dls += e[0] * e[0];
          }
          if (!x) continue;
          if (lanes == GV_VEC) {
            LOAD(x + at) = v;
          } else {
            for (int32_t lane = 0; lane < lanes; lane++) x[at + lane] = v[lane];
          }
          if (j == 0 && p->skip == 0) x[0] = e[0];
          x += columns;
        }
        *known = (sums){ds, dq, dl, dls};
      }
      s += known->s;
      q += known->q;
      linear += known->linear;
      linear_squares += known->linear_squares;
    }
    float *to = m->interactions + (size_t)r * stride;
    LOAD(to + GV_VEC + 2 * j) = s;
    LOAD(to + GV_VEC + 2 * j + GV_VEC) = q;
    if (j == 0) {
      LOAD(to) = (vec){0};
      to[0] = linear;
      to[1] = linear * linear - linear_squares;
    }
  }
}

// gather makes interactions and parts of n rows.
static TARGET void NAME(gather)(const gv_deepfm_params *p, const int32_t *const *rows, int32_t n, const memory *m) {
  int32_t k = p->indices.width - 1, j = 0;
  if (k >= GV_VEC) NAME(block_of)(p, rows, n, m, 0, GV_VEC);
  for (j = GV_VEC; j + GV_VEC <= k; j += GV_VEC) NAME(block_of)(p, rows, n, m, j, GV_VEC);
  if (k < GV_VEC) NAME(block_of)(p, rows, n, m, 0, k);
  if (k > GV_VEC && j < k) NAME(block_of)(p, rows, n, m, j, k - j);
}

// logits computes [S, S² − Q, H] · head + bias of n rows.
static TARGET void NAME(logits)(const gv_deepfm_params *p, int32_t n, const memory *m, const float *h, float *out) {
  size_t last = p->layer_count > 0 ? gv_padded((size_t)p->layers[p->layer_count - 1].out, GV_PANEL) : 0;
  for (int32_t r = 0; r < n; r++, h += m->hidden_stride) {
    const float *of = m->interactions + (size_t)r * m->interaction_stride, *head = p->head;
    vec sum = LOAD(of) * LOAD(head);
    for (size_t c = GV_VEC; c < m->interaction_stride; c += 2 * GV_VEC) {
      vec s = LOAD(of + c), pairs = s * s - LOAD(of + c + GV_VEC);
      sum = FMA(s, LOAD(head + c), sum);
      sum = FMA(pairs, LOAD(head + c + GV_VEC), sum);
    }
    head += m->interaction_stride;
    for (size_t c = 0; c < last; c += GV_VEC) sum = FMA(LOAD(h + c), LOAD(head + c), sum);
    out[r] = ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7])) + p->indices.bias;
  }
}

// chunk scores n rows.
static TARGET void NAME(chunk)(const gv_deepfm_params *p, const int32_t *const *rows, int32_t n, const memory *m, float *out) {
  NAME(gather)(p, rows, n, m);
  float *h = m->hidden, *next = m->hidden + m->hidden_stride * (size_t)n;
  for (int32_t i = 0; i < p->layer_count; i++) {
    part all = {.x = h, .stride = m->hidden_stride, .k = p->layers[i].in, .count = n};
    NAME(layer)(&p->layers[i], i > 0 ? &all : m->parts, i > 0 ? 1 : m->part_count, n, m, next);
    float *swap = h;
    h = next, next = swap;
  }
  NAME(logits)(p, n, m, h, out);
}

#undef INLINE
#undef OF_PANEL
#undef WIDE
#undef TARGET
#undef NAME
#undef FMA
#undef LANES
#undef SPLAT
#undef FMA_WIDE
#undef ROWS
#undef SUMS
