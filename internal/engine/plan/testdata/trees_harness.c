// Runs `trees` and `leaves` alone, for Python's tests and benchmarks, which load it as a shared library.
#include <stdlib.h>
#include <time.h>

#include "../trees.h"

// Runs the stage over rows of `type` and `width`, `tile` at once, `times` times. fault: a byte a row, or NULL. Returns the
// nanoseconds, or -1 if there was no memory.
double harness_run(const gv_trees *p, int type, int width, const void *in, int64_t rows, int tile, double *out, uint8_t *fault,
                   int times) {
  gv_value values[2] = {{.type = (uint8_t)type, .width = width}, {.type = GV_F64, .width = p->outputs}};
  static const int32_t in_number = 0;
  gv_stage stage = {.run = gv_trees_run, .params = p, .in = &in_number, .inputs = 1, .out = 1};
  gv_run *run = calloc(1, sizeof *run);
  if (!run) return -1;
  size_t row_bytes = (size_t)width * (type == GV_F64 ? sizeof(double) : sizeof(float));
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  int failed = 0;
  for (int64_t i = 0; i < times * rows && !failed; i += tile) {
    int64_t r = i % rows;
    run->values = values;
    run->rows = (int32_t)(rows - r < tile ? rows - r : tile);
    values[0].f64 = (double *)((const char *)in + (size_t)r * row_bytes);
    values[1].f64 = out + r * p->outputs;
    for (int32_t j = 0; j < run->rows; j++) run->fault[j] = 0;
    gv_reset(&run->arena);
    failed = stage.run(&stage, run);
    for (int32_t j = 0; fault && j < run->rows; j++) fault[r + j] = run->fault[j];
    if (run->rows < tile) i += run->rows - tile;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  gv_arena_free(&run->arena);
  free(run);
  return failed ? -1 : (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
}
