// What the engine asks of onnxruntime, each one cgo call.
#ifndef GAVEL_ONNX_SHIM_H
#define GAVEL_ONNX_SHIM_H

#include <stdatomic.h>
#include <stdint.h>

#include "ort.h"

// The library, loaded once and never unloaded.
typedef struct gavel_library {
  const OrtApi* api;
  const char* version;  // as "1.31.1"
  OrtEnv* env;
  OrtMemoryInfo* memory;
  OrtAllocator* allocator;  // not owned
} gavel_library;

// Loads the library of that name. NULL, and a message of the caller's to free, if it cannot be used.
gavel_library* gavel_open_library(const char* name, char** message);

// An input or output. Its name is allocated.
typedef struct gavel_field {
  char* name;
  int kind;     // ORT_TENSOR or another
  int element;  // ORT_FLOAT or another
  int64_t rank;
  int64_t dims[2];  // of a rank up to 2; −1: not fixed
} gavel_field;

// A loaded model. The arrays are of all its inputs and of those outputs that are computed.
typedef struct gavel_model {
  const gavel_library* library;
  OrtSession* session;
  int64_t inputs, outputs;
  gavel_field* input;
  gavel_field* output;
  const char** input_name;
  const char** output_name;
  atomic_int ran;  // runs that have ended, counted up to GAVEL_METERED
} gavel_model;

enum { GAVEL_METERED = 512 };  // so many of a model's first runs are all measured: they warm and calibrate

// Loads a model, which has all outputs at first. NULL, and a message of the caller's to free, if it cannot be read.
gavel_model* gavel_load(const gavel_library* library, const char* path, char** message);

// Leaves an output out.
void gavel_drop_output(gavel_model* m, int64_t index);

void gavel_unload(gavel_model* m);

// A text of a batch.
typedef struct gavel_text {
  const char* bytes;
  size_t length;
} gavel_text;

// Memory for rows. The arrays and what they point at are the caller's, in C memory.
typedef struct gavel_batch {
  void** input;      // rows of each input: float, double, int32_t, or gavel_text where it is of strings
  int64_t** wide;    // GAVEL_CHUNK rows of each input of int64
  void** output;     // rows of each output: float or double
  OrtValue** value;  // one each
  OrtStatus* status;  // of the last run that failed
  uint64_t cpu_ns;    // of the calling thread in the last run; 0: not measured
} gavel_batch;

enum { GAVEL_CHUNK = 1024 };  // rows that onnxruntime runs at a time: what it needs for them bounds its memory

// Scores rows [first, first + n). Returns the error's message, which the next run or gavel_end_batch frees, or NULL.
const char* gavel_run(gavel_model* m, gavel_batch* b, int64_t first, int64_t n);

// Frees what runs have left.
void gavel_end_batch(const gavel_model* m, gavel_batch* b);

// Gives what the allocator keeps of freed memory back to the system, where it can be asked to (glibc).
void gavel_trim(void);

#endif
