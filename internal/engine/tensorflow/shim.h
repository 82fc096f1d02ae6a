// The few calls that Gavel makes into TensorFlow's C API, each one cgo call.
#ifndef GAVEL_TENSORFLOW_SHIM_H
#define GAVEL_TENSORFLOW_SHIM_H

#include <stdatomic.h>
#include <stdint.h>

#include "tensorflow/c/c_api.h"

// A loaded graph with one input, int32[?, row_len], and one output, float32[?].
typedef struct gavel_session {
  TF_Session* session;
  atomic_int ran;  // runs that have ended, counted up to GAVEL_METERED
  TF_Graph* graph;
  TF_Output input;
  TF_Output output;
  int64_t row_len;
} gavel_session;

// Memory for rows and their results. Used by one thread at a time.
typedef struct gavel_batch {
  struct gavel_rows* rows;
  float* probabilities;  // capacity
  TF_Status* status;     // of the last run
  int64_t capacity;
  uint64_t cpu_ns;       // of the calling thread in the last run; 0: not measured
} gavel_batch;

enum { GAVEL_METERED = 512 };  // so many of a session's first runs are all measured: they warm and calibrate

enum {
  GAVEL_OK = 0,
  GAVEL_FAILED = 1,      // TensorFlow refused: batch->status says why
  GAVEL_BAD_OUTPUT = 2,  // the output is not float32[n]
  GAVEL_BAD_VALUE = 3,   // a result is not in [0, 1]: *row says which
  GAVEL_NO_MEMORY = 4,
};

// Loads the graph under dir with the tag "serve". The caller owns the result and *meta, and unbinds nothing: input and
// output are set by gavel_bind. NULL where *status is not TF_OK.
gavel_session* gavel_load(const char* dir, const void* config, size_t config_len, TF_Buffer* meta, TF_Status* status);

// Names the graph's input and output. Returns the name that the graph lacks, NULL if all is there.
const char* gavel_bind(gavel_session* s, const char* input, int input_index, const char* output, int output_index,
                       int64_t row_len);

void gavel_unload(gavel_session* s, TF_Status* status);

// Gives what the allocator keeps of freed memory back to the system, where it can be asked to (glibc).
void gavel_trim(void);

// Memory for capacity rows, aligned to 64 bytes; NULL if there is none left. Zeroed.
gavel_batch* gavel_new_batch(int64_t capacity, int64_t row_len);
int32_t* gavel_batch_rows(gavel_batch* b);
void gavel_free_batch(gavel_batch* b);

// Scores the first n rows into batch->probabilities. *row is set with GAVEL_BAD_VALUE.
int gavel_run(gavel_session* s, gavel_batch* b, int64_t n, int64_t* row);

// How many row memories there are that were not freed, those included that TensorFlow still refers to.
int64_t gavel_live_rows(void);

// What TensorFlow has used since the process began, and how to find the threads of its own: those named
// GAVEL_POOL_THREAD, and those whose name begins with GAVEL_TF_THREAD, which it named itself.
#define GAVEL_POOL_THREAD "tensorflow"
#define GAVEL_TF_THREAD "tf_"

typedef struct gavel_usage {
  uint64_t runs;       // of sessions
  uint64_t caller_ns;  // CPU time of the threads that called them, from a sample of one run in eight
  // A thread that makes TensorFlow's bears their name meanwhile. While the two differ there are such threads.
  uint64_t naming_begun, naming_ended;
} gavel_usage;

gavel_usage gavel_read_usage(void);

#endif
