// What the engine asks of onnxruntime, each one cgo call.
#ifndef ONNX_SHIM_H
#define ONNX_SHIM_H

#include <stdatomic.h>
#include <stdint.h>

#include "ort.h"

// The library, loaded once and never unloaded.
typedef struct onnx_library {
  const OrtApi* api;
  const char* version;  // as "1.31.1"
  OrtEnv* env;
  OrtMemoryInfo* memory;
  OrtAllocator* allocator;  // not owned
} onnx_library;

// Loads the library of that name. NULL, and a message of the caller's to free, if it cannot be used.
onnx_library* onnx_open_library(const char* name, char** message);

// An input or output. Its name is allocated.
typedef struct onnx_field {
  char* name;
  int kind;     // ORT_TENSOR or another
  int element;  // ORT_FLOAT or another
  int64_t rank;
  int64_t dims[2];  // of a rank up to 2; −1: not fixed
} onnx_field;

// A loaded model. The arrays are of all its inputs and of those outputs that are computed.
typedef struct onnx_model {
  const onnx_library* library;
  OrtSession* session;
  int64_t inputs, outputs;
  onnx_field* input;
  onnx_field* output;
  const char** input_name;
  const char** output_name;
  atomic_int ran;  // runs that have ended, counted up to ONNX_METERED
} onnx_model;

enum { ONNX_METERED = 512 };  // so many of a model's first runs are all measured: they warm and calibrate

// Loads a model, which has all outputs at first: the file of that path, or if that is NULL the data, which are not kept. NULL, and a
// message of the caller's to free, if it cannot be read.
onnx_model* onnx_load(const onnx_library* library, const char* path, const void* data, size_t size, char** message);

// Leaves an output out.
void onnx_drop_output(onnx_model* m, int64_t index);

void onnx_unload(onnx_model* m);

// A text of a batch.
typedef struct onnx_text {
  const char* bytes;
  size_t length;
} onnx_text;

// Memory for rows. The arrays and what they point at are the caller's, in C memory.
typedef struct onnx_batch {
  void** input;      // rows of each input: float, double, int32_t, or onnx_text where it is of strings
  int64_t** wide;    // ONNX_CHUNK rows of each input of int64
  void** output;     // rows of each output: float or double
  OrtValue** value;  // one each
  OrtStatus* status;  // of the last run that failed
  uint64_t cpu_ns;    // of the calling thread in the last run; 0: not measured
} onnx_batch;

enum { ONNX_CHUNK = 256 };  // rows that onnxruntime runs at a time: what it needs for them bounds its memory

// Scores rows [first, first + n). Returns the error's message, which the next run or onnx_end_batch frees, or NULL.
const char* onnx_run(onnx_model* m, onnx_batch* b, int64_t first, int64_t n);

// Frees what runs have left.
void onnx_end_batch(const onnx_model* m, onnx_batch* b);

// Gives what the allocator keeps of freed memory back to the system, where it can be asked to (glibc).
void onnx_trim(void);

#endif
