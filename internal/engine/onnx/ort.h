// The part of onnxruntime's C API that the engine uses.
//
// The API is a table of functions that onnxruntime only appends to: a function's place never changes. So the few that are
// needed stand here with their places, and nothing but the library has to be installed. A wrong place fails to compile.
#ifndef ONNX_ORT_H
#define ONNX_ORT_H

#include <stddef.h>
#include <stdint.h>

enum { ORT_API_VERSION_USED = 17 };  // the library must have this version of the table, or a later one

typedef struct OrtStatus OrtStatus;  // NULL: success
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtTensorInfo OrtTensorInfo;  // OrtTensorTypeAndShapeInfo
typedef struct OrtAllocator OrtAllocator;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtValue OrtValue;

enum { ORT_LOG_FATAL = 4, ORT_SEQUENTIAL = 0, ORT_OPTIMIZE_ALL = 99, ORT_ARENA = 1, ORT_MEMORY_DEFAULT = 0 };
enum { ORT_TENSOR = 1, ORT_SEQUENCE = 2, ORT_MAP = 3, ORT_SPARSE_TENSOR = 5, ORT_OPTIONAL = 6 };  // kinds of values
enum { ORT_FLOAT = 1, ORT_INT32 = 6, ORT_INT64 = 7, ORT_STRING = 8, ORT_DOUBLE = 11 };           // types of elements

#define ORT_SKIP(from, to) void* skip_##from[(to) - (from) + 1]

typedef struct OrtApi {
  ORT_SKIP(0, 1);
  const char* (*GetErrorMessage)(const OrtStatus*);                        // 2
  OrtStatus* (*CreateEnv)(int log_level, const char* name, OrtEnv** out);  // 3
  ORT_SKIP(4, 6);
  OrtStatus* (*CreateSession)(const OrtEnv*, const char* path, const OrtSessionOptions*, OrtSession** out);  // 7
  OrtStatus* (*CreateSessionFromArray)(const OrtEnv*, const void* data, size_t size, const OrtSessionOptions*,
                                       OrtSession** out);  // 8
  OrtStatus* (*Run)(OrtSession*, const OrtRunOptions*, const char* const* input_names, const OrtValue* const* inputs,
                    size_t input_count, const char* const* output_names, size_t output_count, OrtValue** outputs);  // 9
  OrtStatus* (*CreateSessionOptions)(OrtSessionOptions** out);  // 10
  ORT_SKIP(11, 12);
  OrtStatus* (*SetSessionExecutionMode)(OrtSessionOptions*, int mode);  // 13
  ORT_SKIP(14, 16);
  OrtStatus* (*DisableMemPattern)(OrtSessionOptions*);  // 17
  ORT_SKIP(18, 18);
  OrtStatus* (*DisableCpuMemArena)(OrtSessionOptions*);  // 19
  ORT_SKIP(20, 21);
  OrtStatus* (*SetSessionLogSeverityLevel)(OrtSessionOptions*, int level);       // 22
  OrtStatus* (*SetSessionGraphOptimizationLevel)(OrtSessionOptions*, int level);  // 23
  OrtStatus* (*SetIntraOpNumThreads)(OrtSessionOptions*, int threads);            // 24
  OrtStatus* (*SetInterOpNumThreads)(OrtSessionOptions*, int threads);            // 25
  ORT_SKIP(26, 29);
  OrtStatus* (*SessionGetInputCount)(const OrtSession*, size_t* out);   // 30
  OrtStatus* (*SessionGetOutputCount)(const OrtSession*, size_t* out);  // 31
  ORT_SKIP(32, 32);
  OrtStatus* (*SessionGetInputTypeInfo)(const OrtSession*, size_t index, OrtTypeInfo** out);   // 33
  OrtStatus* (*SessionGetOutputTypeInfo)(const OrtSession*, size_t index, OrtTypeInfo** out);  // 34
  ORT_SKIP(35, 35);
  OrtStatus* (*SessionGetInputName)(const OrtSession*, size_t index, OrtAllocator*, char** out);   // 36
  OrtStatus* (*SessionGetOutputName)(const OrtSession*, size_t index, OrtAllocator*, char** out);  // 37
  ORT_SKIP(38, 47);
  OrtStatus* (*CreateTensorAsOrtValue)(OrtAllocator*, const int64_t* shape, size_t rank, int element,
                                       OrtValue** out);  // 48
  OrtStatus* (*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo*, void* data, size_t bytes, const int64_t* shape,
                                               size_t rank, int element, OrtValue** out);  // 49
  ORT_SKIP(50, 54);
  OrtStatus* (*CastTypeInfoToTensorInfo)(const OrtTypeInfo*, const OrtTensorInfo** out);  // 55
  OrtStatus* (*GetOnnxTypeFromTypeInfo)(const OrtTypeInfo*, int* out);                    // 56
  ORT_SKIP(57, 59);
  OrtStatus* (*GetTensorElementType)(const OrtTensorInfo*, int* out);                      // 60
  OrtStatus* (*GetDimensionsCount)(const OrtTensorInfo*, size_t* out);                     // 61
  OrtStatus* (*GetDimensions)(const OrtTensorInfo*, int64_t* dims, size_t count);          // 62
  ORT_SKIP(63, 68);
  OrtStatus* (*CreateCpuMemoryInfo)(int allocator, int memory, OrtMemoryInfo** out);  // 69
  ORT_SKIP(70, 75);
  OrtStatus* (*AllocatorFree)(OrtAllocator*, void*);  // 76
  ORT_SKIP(77, 77);
  OrtStatus* (*GetAllocatorWithDefaultOptions)(OrtAllocator** out);  // 78
  ORT_SKIP(79, 92);
  void (*ReleaseStatus)(OrtStatus*);          // 93
  void (*ReleaseMemoryInfo)(OrtMemoryInfo*);  // 94
  void (*ReleaseSession)(OrtSession*);        // 95
  void (*ReleaseValue)(OrtValue*);            // 96
  ORT_SKIP(97, 97);
  void (*ReleaseTypeInfo)(OrtTypeInfo*);  // 98
  ORT_SKIP(99, 99);
  void (*ReleaseSessionOptions)(OrtSessionOptions*);  // 100
  ORT_SKIP(101, 129);
  OrtStatus* (*AddSessionConfigEntry)(OrtSessionOptions*, const char* key, const char* value);  // 130
  ORT_SKIP(131, 251);
  OrtStatus* (*GetResizedStringTensorElementBuffer)(OrtValue*, size_t index, size_t bytes, char** out);  // 252
} OrtApi;

#define ORT_PLACE(function, place) _Static_assert(offsetof(OrtApi, function) == (place) * sizeof(void*), #function)
ORT_PLACE(Run, 9);
ORT_PLACE(SetInterOpNumThreads, 25);
ORT_PLACE(SessionGetOutputName, 37);
ORT_PLACE(CreateTensorWithDataAsOrtValue, 49);
ORT_PLACE(GetDimensions, 62);
ORT_PLACE(GetAllocatorWithDefaultOptions, 78);
ORT_PLACE(ReleaseSessionOptions, 100);
ORT_PLACE(AddSessionConfigEntry, 130);
ORT_PLACE(GetResizedStringTensorElementBuffer, 252);

typedef struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);  // NULL if the library has no such version
  const char* (*GetVersionString)(void);
} OrtApiBase;

#endif
