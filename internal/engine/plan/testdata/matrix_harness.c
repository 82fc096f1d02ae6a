// Runs `project` and `distances` alone, for Python's tests, which load it as a shared library.
#include <stdlib.h>
#include <string.h>

#include "../operators.h"

// Computes out [rows][k] of rows of w columns, `tile` at once. x: [rows][w], or where start is not NULL the entries of sparse rows.
// matrix: [k][w]. 0, or GV_MEMORY.
int harness_products(const double *x, const int32_t *start, const int32_t *index, int64_t rows, int32_t w, const double *matrix, int32_t k, int fused,
                     int distances, int32_t tile, double *out) {
  static const int32_t in_number = 0;
  double *transposed = calloc((size_t)w * (size_t)gv_stride(k), sizeof(double)), *norms = calloc((size_t)k, sizeof(double));
  gv_run *run = calloc(1, sizeof *run);
  int failed = !transposed || !norms || !run ? GV_MEMORY : 0;
  if (!failed) {
    gv_transpose(matrix, k, w, transposed);
    gv_squares(matrix, k, w, norms);
    gv_matrix_params p = {.matrix = matrix, .transposed = k < GV_TRANSPOSED ? NULL : transposed, .norms = norms, .k = k, .w = w, .fused = fused};
    gv_value values[2] = {{.type = GV_F64, .sparse = start != NULL, .width = w}, {.type = GV_F64, .width = k}};
    gv_stage stage = {.run = distances ? gv_distances : gv_linear, .params = &p, .in = &in_number, .inputs = 1, .out = 1};
    run->values = values;
    for (int64_t r = 0; r < rows && !failed; r += tile) {
      run->rows = (int32_t)(rows - r < tile ? rows - r : tile);
      if (start) {
        values[0].start = (int32_t *)(uintptr_t)(start + r);
        values[0].index = (int32_t *)(uintptr_t)index;
        values[0].entry = (double *)(uintptr_t)x;
      } else {
        values[0].f64 = (double *)(uintptr_t)(x + r * w);
      }
      values[1].f64 = out + r * k;
      gv_reset(&run->arena);
      failed = stage.run(&stage, run);
    }
    gv_arena_free(&run->arena);
  }
  free(run);
  free(norms);
  free(transposed);
  return failed;
}
