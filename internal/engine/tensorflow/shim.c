#include "shim.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#ifdef __linux__
#include <sys/prctl.h>
#endif

// Row memory is counted: one reference is the batch's, one each tensor's that TensorFlow holds. Only the last gives it
// back, so a tensor that outlives its run can never point at freed memory.
typedef struct gavel_rows {
  atomic_int refs;
  int32_t* data;
} gavel_rows;

static atomic_llong live_rows;

static void drop(gavel_rows* r) {
  if (atomic_fetch_sub(&r->refs, 1) == 1) {
    free(r->data);
    free(r);
    atomic_fetch_sub(&live_rows, 1);
  }
}

static void returned(void* data, size_t len, void* rows) {
  (void)data;
  (void)len;
  drop(rows);
}

int64_t gavel_live_rows(void) { return atomic_load(&live_rows); }

static atomic_ullong runs, caller_ns, naming_begun, naming_ended;

gavel_usage gavel_read_usage(void) {
  // Ended before begun: a naming that comes in between is seen as one that goes on.
  uint64_t ended = atomic_load(&naming_ended);
  return (gavel_usage){atomic_load(&runs), atomic_load(&caller_ns), atomic_load(&naming_begun), ended};
}

// Threads that TensorFlow makes between the two inherit the name, but for those that it names itself. (It tries with all;
// the names of some are longer than Linux allows.)
static void begin_naming(char was[16]) {
  atomic_fetch_add(&naming_begun, 1);
#ifdef __linux__
  prctl(PR_GET_NAME, was);
  prctl(PR_SET_NAME, GAVEL_POOL_THREAD);
#endif
}

static void end_naming(const char was[16]) {
#ifdef __linux__
  prctl(PR_SET_NAME, was);
#endif
  atomic_fetch_add(&naming_ended, 1);
}

static uint64_t thread_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// TF_SessionRun, counted. Asking for a thread's CPU time is a system call, half a microsecond on a virtual machine, so
// that past a session's first runs one in eight is measured, and counts for eight. Which ones is decided by multiples of
// the golden ratio: they spread evenly over any regular pattern of runs, such as two models in turn.
static void run_session(gavel_session* s, gavel_batch* b, int ran, TF_Tensor* in, TF_Tensor** out) {
  uint64_t k = atomic_fetch_add_explicit(&runs, 1, memory_order_relaxed);
  uint64_t weight = ran < GAVEL_METERED ? 1 : k * 0x9e3779b97f4a7c15u < UINT64_MAX / 8 ? 8 : 0;
  uint64_t before = weight > 0 ? thread_cpu() : 0;
  TF_SessionRun(s->session, NULL, &s->input, &in, 1, &s->output, out, 1, NULL, 0, NULL, b->status);
  b->cpu_ns = 0;
  if (weight > 0) {
    uint64_t took = thread_cpu() - before;
    atomic_fetch_add_explicit(&caller_ns, weight * took, memory_order_relaxed);
    if (ran > 0) b->cpu_ns = took;  // the first takes some 50 ms
  }
}

gavel_session* gavel_load(const char* dir, const void* config, size_t config_len, TF_Buffer* meta, TF_Status* status) {
  static const char* const tags[] = {"serve"};
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_SetConfig(options, config, config_len, status);
  if (TF_GetCode(status) != TF_OK) {
    TF_DeleteSessionOptions(options);
    return NULL;
  }
  TF_Graph* graph = TF_NewGraph();
  char was[16];
  begin_naming(was);
  TF_Session* session = TF_LoadSessionFromSavedModel(options, NULL, dir, tags, 1, graph, meta, status);
  end_naming(was);
  TF_DeleteSessionOptions(options);
  if (TF_GetCode(status) != TF_OK) {
    TF_DeleteGraph(graph);
    return NULL;
  }
  gavel_session* s = calloc(1, sizeof *s);
  if (s == NULL) {
    TF_DeleteSession(session, status);
    TF_DeleteGraph(graph);
    TF_SetStatus(status, TF_RESOURCE_EXHAUSTED, "out of memory");
    return NULL;
  }
  s->session = session;
  s->graph = graph;
  return s;
}

const char* gavel_bind(gavel_session* s, const char* input, int input_index, const char* output, int output_index,
                       int64_t row_len) {
  s->input.oper = TF_GraphOperationByName(s->graph, input);
  s->input.index = input_index;
  if (s->input.oper == NULL || input_index >= TF_OperationNumOutputs(s->input.oper)) return input;
  s->output.oper = TF_GraphOperationByName(s->graph, output);
  s->output.index = output_index;
  if (s->output.oper == NULL || output_index >= TF_OperationNumOutputs(s->output.oper)) return output;
  s->row_len = row_len;
  return NULL;
}

void gavel_unload(gavel_session* s, TF_Status* status) {
  TF_CloseSession(s->session, status);
  // Deleted whatever closing said; status keeps the first fault.
  TF_Status* second = TF_NewStatus();
  TF_DeleteSession(s->session, TF_GetCode(status) == TF_OK ? status : second);
  TF_DeleteStatus(second);
  TF_DeleteGraph(s->graph);
  free(s);
}

void gavel_trim(void) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

gavel_batch* gavel_new_batch(int64_t capacity, int64_t row_len) {
  gavel_batch* b = calloc(1, sizeof *b);
  gavel_rows* r = calloc(1, sizeof *r);
  void *data = NULL, *probabilities = NULL;
  size_t bytes = (size_t)capacity * (size_t)row_len * sizeof(int32_t);
  if (b == NULL || r == NULL || posix_memalign(&data, 64, bytes) != 0 ||
      posix_memalign(&probabilities, 64, (size_t)capacity * sizeof(float)) != 0) {
    free(data);
    free(r);
    free(b);
    return NULL;
  }
  memset(data, 0, bytes);
  memset(probabilities, 0, (size_t)capacity * sizeof(float));
  atomic_init(&r->refs, 1);
  r->data = data;
  b->rows = r;
  b->probabilities = probabilities;
  b->status = TF_NewStatus();
  b->capacity = capacity;
  atomic_fetch_add(&live_rows, 1);
  return b;
}

int32_t* gavel_batch_rows(gavel_batch* b) { return b->rows->data; }

void gavel_free_batch(gavel_batch* b) {
  drop(b->rows);
  free(b->probabilities);
  TF_DeleteStatus(b->status);
  free(b);
}

int gavel_run(gavel_session* s, gavel_batch* b, int64_t n, int64_t* row) {
  int64_t dims[2] = {n, s->row_len};
  atomic_fetch_add(&b->rows->refs, 1);
  // Aligned memory is used in place: TF_NewTensor copies only what is not.
  TF_Tensor* in = TF_NewTensor(TF_INT32, dims, 2, b->rows->data, (size_t)(n * s->row_len) * sizeof(int32_t), returned,
                               b->rows);
  if (in == NULL) {
    return GAVEL_NO_MEMORY;
  }
  TF_Tensor* out = NULL;
  int ran = atomic_load_explicit(&s->ran, memory_order_relaxed);
  if (ran > 0) {
    run_session(s, b, ran, in, &out);
  } else {  // the first may make threads too
    char was[16];
    begin_naming(was);
    run_session(s, b, ran, in, &out);
    end_naming(was);
  }
  if (ran < GAVEL_METERED) atomic_fetch_add_explicit(&s->ran, 1, memory_order_relaxed);
  TF_DeleteTensor(in);
  if (TF_GetCode(b->status) != TF_OK) {
    if (out != NULL) TF_DeleteTensor(out);
    return GAVEL_FAILED;
  }
  int rc = GAVEL_OK;
  if (TF_TensorType(out) != TF_FLOAT || TF_NumDims(out) != 1 || TF_Dim(out, 0) != n) {
    rc = GAVEL_BAD_OUTPUT;
  } else {
    const float* p = TF_TensorData(out);
    memcpy(b->probabilities, p, (size_t)n * sizeof(float));
    int ok = 1;
    for (int64_t i = 0; i < n; i++) ok &= p[i] >= 0.0f && p[i] <= 1.0f;  // false for NaN
    if (!ok) {
      int64_t i = 0;
      while (p[i] >= 0.0f && p[i] <= 1.0f) i++;
      *row = i;
      rc = GAVEL_BAD_VALUE;
    }
  }
  TF_DeleteTensor(out);
  return rc;
}
