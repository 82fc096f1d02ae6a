#include "shim.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define TRY(expression)                       \
  do {                                        \
    OrtStatus* failed = (expression);         \
    if (failed != NULL) return failed;        \
  } while (0)

// The status' message, which the caller frees.
static char* taken(const OrtApi* api, OrtStatus* status) {
  char* message = strdup(api->GetErrorMessage(status));
  api->ReleaseStatus(status);
  return message;
}

static OrtStatus* start(onnx_library* l) {
  // Errors are returned; onnxruntime would log each to stderr too.
  TRY(l->api->CreateEnv(ORT_LOG_FATAL, "gavel", &l->env));
  TRY(l->api->CreateCpuMemoryInfo(ORT_ARENA, ORT_MEMORY_DEFAULT, &l->memory));
  return l->api->GetAllocatorWithDefaultOptions(&l->allocator);
}

onnx_library* onnx_open_library(const char* name, char** message) {
  *message = NULL;
  void* handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) {
    *message = strdup(dlerror());
    return NULL;
  }
  const OrtApiBase* (*base)(void) = (const OrtApiBase* (*)(void))dlsym(handle, "OrtGetApiBase");
  if (base == NULL) {
    *message = strdup("it is not onnxruntime: it lacks OrtGetApiBase");
    dlclose(handle);
    return NULL;
  }
  const OrtApi* api = base()->GetApi(ORT_API_VERSION_USED);
  if (api == NULL) {
    char text[128];
    snprintf(text, sizeof text, "it is version %s, which is too old; 1.%d or later is needed", base()->GetVersionString(),
             ORT_API_VERSION_USED);
    *message = strdup(text);
    dlclose(handle);
    return NULL;
  }
  onnx_library* l = calloc(1, sizeof *l);
  if (l == NULL) return NULL;
  l->api = api;
  l->version = base()->GetVersionString();
  OrtStatus* failed = start(l);
  if (failed != NULL) {
    *message = taken(api, failed);
    free(l);  // the library stays loaded: what it has begun cannot be undone
    return NULL;
  }
  return l;
}

// One thread computes a run, the one that calls it: with more, onnxruntime's own would spin between runs. Without its arena
// a model keeps no memory between runs, and without memory patterns none for each size of batch.
static OrtStatus* configure(const OrtApi* api, OrtSessionOptions* o) {
  TRY(api->SetSessionExecutionMode(o, ORT_SEQUENTIAL));
  TRY(api->SetIntraOpNumThreads(o, 1));
  TRY(api->SetInterOpNumThreads(o, 1));
  TRY(api->AddSessionConfigEntry(o, "session.intra_op.allow_spinning", "0"));
  TRY(api->AddSessionConfigEntry(o, "session.inter_op.allow_spinning", "0"));
  TRY(api->SetSessionLogSeverityLevel(o, ORT_LOG_FATAL));
  TRY(api->SetSessionGraphOptimizationLevel(o, ORT_OPTIMIZE_ALL));
  TRY(api->DisableMemPattern(o));
  return api->DisableCpuMemArena(o);
}

static OrtStatus* create(onnx_model* m, const char* path, const void* data, size_t size) {
  const OrtApi* api = m->library->api;
  OrtSessionOptions* options;
  TRY(api->CreateSessionOptions(&options));
  OrtStatus* failed = configure(api, options);
  const OrtEnv* env = m->library->env;
  if (failed == NULL) {
    failed = path != NULL ? api->CreateSession(env, path, options, &m->session)
                          : api->CreateSessionFromArray(env, data, size, options, &m->session);
  }
  api->ReleaseSessionOptions(options);
  return failed;
}

static OrtStatus* describe_type(const OrtApi* api, const OrtTypeInfo* info, onnx_field* f) {
  TRY(api->GetOnnxTypeFromTypeInfo(info, &f->kind));
  if (f->kind != ORT_TENSOR) return NULL;
  const OrtTensorInfo* tensor;
  size_t rank;
  TRY(api->CastTypeInfoToTensorInfo(info, &tensor));
  TRY(api->GetTensorElementType(tensor, &f->element));
  TRY(api->GetDimensionsCount(tensor, &rank));
  f->rank = (int64_t)rank;
  return rank <= 2 ? api->GetDimensions(tensor, f->dims, rank) : NULL;
}

static OrtStatus* describe(const onnx_model* m, int input, size_t index, onnx_field* f) {
  const OrtApi* api = m->library->api;
  OrtTypeInfo* info;
  TRY(input ? api->SessionGetInputTypeInfo(m->session, index, &info)
            : api->SessionGetOutputTypeInfo(m->session, index, &info));
  OrtStatus* failed = describe_type(api, info, f);
  api->ReleaseTypeInfo(info);
  if (failed != NULL) return failed;
  return input ? api->SessionGetInputName(m->session, index, m->library->allocator, &f->name)
               : api->SessionGetOutputName(m->session, index, m->library->allocator, &f->name);
}

static OrtStatus* describe_all(onnx_model* m, int input, onnx_field** fields, const char*** names, int64_t* count) {
  const OrtApi* api = m->library->api;
  size_t n;
  TRY(input ? api->SessionGetInputCount(m->session, &n) : api->SessionGetOutputCount(m->session, &n));
  *fields = calloc(n + 1, sizeof **fields);
  *names = calloc(n + 1, sizeof **names);
  if (*fields == NULL || *names == NULL) abort();  // as Go does
  for (*count = 0; *count < (int64_t)n; ++*count) {
    onnx_field* f = *fields + *count;
    TRY(describe(m, input, (size_t)*count, f));
    (*names)[*count] = f->name;
  }
  return NULL;
}

onnx_model* onnx_load(const onnx_library* library, const char* path, const void* data, size_t size, char** message) {
  onnx_model* m = calloc(1, sizeof *m);
  if (m == NULL) abort();
  m->library = library;
  OrtStatus* failed = create(m, path, data, size);
  if (failed == NULL) failed = describe_all(m, 1, &m->input, &m->input_name, &m->inputs);
  if (failed == NULL) failed = describe_all(m, 0, &m->output, &m->output_name, &m->outputs);
  if (failed != NULL) {
    *message = taken(library->api, failed);
    onnx_unload(m);
    return NULL;
  }
  return m;
}

static void free_name(const onnx_model* m, onnx_field* f) {
  if (f->name == NULL) return;
  OrtStatus* failed = m->library->api->AllocatorFree(m->library->allocator, f->name);
  if (failed != NULL) m->library->api->ReleaseStatus(failed);
}

void onnx_drop_output(onnx_model* m, int64_t index) {
  free_name(m, &m->output[index]);
  size_t after = (size_t)(--m->outputs - index);
  memmove(m->output + index, m->output + index + 1, after * sizeof *m->output);
  memmove(m->output_name + index, m->output_name + index + 1, after * sizeof *m->output_name);
}

void onnx_unload(onnx_model* m) {
  for (int64_t i = 0; i < m->inputs; i++) free_name(m, &m->input[i]);
  for (int64_t i = 0; i < m->outputs; i++) free_name(m, &m->output[i]);
  free(m->input);
  free(m->output);
  free(m->input_name);
  free(m->output_name);
  if (m->session != NULL) m->library->api->ReleaseSession(m->session);
  free(m);
}

static size_t size_of(int element) { return element == ORT_DOUBLE || element == ORT_INT64 ? 8 : 4; }

// A tensor over memory of the batch, which onnxruntime reads or writes in place.
static OrtStatus* tensor_over(const onnx_model* m, const onnx_field* f, void* data, int64_t n, OrtValue** out) {
  int64_t width = f->rank == 2 ? f->dims[1] : 1, shape[2] = {n, width};
  return m->library->api->CreateTensorWithDataAsOrtValue(m->library->memory, data, (size_t)(n * width) * size_of(f->element),
                                                         shape, (size_t)f->rank, f->element, out);
}

static OrtStatus* tensor_of_texts(const onnx_model* m, const onnx_field* f, const onnx_text* texts, int64_t n,
                                  OrtValue** out) {
  const OrtApi* api = m->library->api;
  int64_t width = f->rank == 2 ? f->dims[1] : 1, shape[2] = {n, width};
  TRY(api->CreateTensorAsOrtValue(m->library->allocator, shape, (size_t)f->rank, ORT_STRING, out));
  for (int64_t i = 0; i < n * width; i++) {
    char* bytes;
    TRY(api->GetResizedStringTensorElementBuffer(*out, (size_t)i, texts[i].length, &bytes));
    memcpy(bytes, texts[i].bytes, texts[i].length);
  }
  return NULL;
}

static OrtStatus* make_input(const onnx_model* m, onnx_batch* b, int64_t k, int64_t first, int64_t n) {
  const onnx_field* f = &m->input[k];
  int64_t width = f->rank == 2 ? f->dims[1] : 1, from = first * width;
  switch (f->element) {
    case ORT_STRING:
      return tensor_of_texts(m, f, (onnx_text*)b->input[k] + from, n, &b->value[k]);
    case ORT_INT64: {
      const int32_t* narrow = (int32_t*)b->input[k] + from;
      for (int64_t i = 0; i < n * width; i++) b->wide[k][i] = narrow[i];
      return tensor_over(m, f, b->wide[k], n, &b->value[k]);
    }
    default:
      return tensor_over(m, f, (char*)b->input[k] + (size_t)from * size_of(f->element), n, &b->value[k]);
  }
}

static OrtStatus* run_values(const onnx_model* m, onnx_batch* b, int64_t first, int64_t n) {
  for (int64_t k = 0; k < m->inputs; k++) TRY(make_input(m, b, k, first, n));
  OrtValue** outputs = b->value + m->inputs;
  for (int64_t k = 0; k < m->outputs; k++) {
    const onnx_field* f = &m->output[k];
    size_t row = size_of(f->element) * (size_t)(f->rank == 2 ? f->dims[1] : 1);
    TRY(tensor_over(m, f, (char*)b->output[k] + (size_t)first * row, n, &outputs[k]));
  }
  return m->library->api->Run(m->session, NULL, m->input_name, (const OrtValue* const*)b->value, (size_t)m->inputs,
                              m->output_name, (size_t)m->outputs, outputs);
}

static OrtStatus* run_chunk(const onnx_model* m, onnx_batch* b, int64_t first, int64_t n) {
  OrtStatus* failed = run_values(m, b, first, n);
  for (int64_t k = 0; k < m->inputs + m->outputs; k++) {
    if (b->value[k] != NULL) m->library->api->ReleaseValue(b->value[k]);
    b->value[k] = NULL;
  }
  return failed;
}

static uint64_t thread_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const char* onnx_run(onnx_model* m, onnx_batch* b, int64_t first, int64_t n) {
  static atomic_ullong runs;
  onnx_end_batch(m, b);
  // A thread's CPU time costs a system call: past a model's first runs one in eight is measured, chosen by multiples of
  // the golden ratio, which spread evenly over any regular pattern of runs.
  uint64_t number = atomic_fetch_add_explicit(&runs, 1, memory_order_relaxed);
  int ran = atomic_load_explicit(&m->ran, memory_order_relaxed);
  int measured = ran < ONNX_METERED || number * 0x9e3779b97f4a7c15u < UINT64_MAX / 8;
  uint64_t before = measured ? thread_cpu() : 0;
  for (int64_t at = 0; at < n && b->status == NULL; at += ONNX_CHUNK) {
    b->status = run_chunk(m, b, first + at, n - at < ONNX_CHUNK ? n - at : ONNX_CHUNK);
  }
  b->cpu_ns = measured && ran > 0 ? thread_cpu() - before : 0;  // the first run takes longer
  if (ran < ONNX_METERED) atomic_fetch_add_explicit(&m->ran, 1, memory_order_relaxed);
  return b->status == NULL ? NULL : m->library->api->GetErrorMessage(b->status);
}

void onnx_end_batch(const onnx_model* m, onnx_batch* b) {
  if (b->status != NULL) m->library->api->ReleaseStatus(b->status);
  b->status = NULL;
}

void onnx_trim(void) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}
