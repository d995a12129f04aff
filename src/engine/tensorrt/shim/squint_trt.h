// What Squint needs of TensorRT, as plain C: the one seam between Rust (raw.rs) and a TensorRT major.
//
// squint_trt.cpp and squint_trt_build.cpp implement it once for each major, against that major's headers, as libsquint-trt8.so, -trt10.so
// and -trt11.so (and, for tests without a GPU, -trt-rtx1.so). The
// objects link neither TensorRT nor CUDA: the entry points of libnvinfer and libnvonnxparser are handed in. Rules for all functions:
// nothing throws; a pointer below 4096 that a library returns counts as failure; NULL or 0 means failure, and the library has said why to
// the log. Objects go in the order context, engine, runtime, logger. One object is used by one thread at a time.
#ifndef SQUINT_TRT_H
#define SQUINT_TRT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Raised by one whenever anything below changes.
#define SQUINT_TRT_FACE 1
// Longest tensor name with its closing zero; a longer one makes the engine unusable.
#define SQUINT_TRT_NAME 256
#define SQUINT_TRT_RANK 8

typedef struct SquintTrtLogger SquintTrtLogger;
typedef struct SquintTrtRuntime SquintTrtRuntime;
typedef struct SquintTrtEngine SquintTrtEngine;
typedef struct SquintTrtContext SquintTrtContext;

// Severity as TensorRT counts: 0 internal error, 1 error, 2 warning, 3 info, 4 verbose. May come from any thread; `text` is the caller's again
// when the call returns.
typedef void (*SquintTrtLog)(void* who, int32_t severity, const char* text);

// Element types, as Squint counts them.
enum { SQUINT_TRT_FLOAT32 = 0, SQUINT_TRT_FLOAT16 = 1, SQUINT_TRT_INT8 = 2, SQUINT_TRT_INT32 = 3, SQUINT_TRT_OTHER = 4 };

typedef struct {
    char name[SQUINT_TRT_NAME];
    int32_t is_input; // 1 or 0
    int32_t type;     // SQUINT_TRT_FLOAT32 ...
    int32_t rank;     // 0..=SQUINT_TRT_RANK
    int64_t dims[SQUINT_TRT_RANK]; // -1 where the engine leaves it open
} SquintTrtTensor;

// SQUINT_TRT_FACE of the object, and NV_TENSORRT_VERSION of the headers it was built with (8201, 101601, 110400 ...; RTX: its own number).
int32_t squint_trt_face(void);
int32_t squint_trt_headers(void);

SquintTrtLogger* squint_trt_logger_new(SquintTrtLog log, void* who);
void squint_trt_logger_delete(SquintTrtLogger* logger);

// `create`: createInferRuntime_INTERNAL of the opened library.
SquintTrtRuntime* squint_trt_runtime_new(void* create, SquintTrtLogger* logger);
void squint_trt_runtime_delete(SquintTrtRuntime* runtime);

SquintTrtEngine* squint_trt_engine_new(SquintTrtRuntime* runtime, const void* bytes, size_t length);
void squint_trt_engine_delete(SquintTrtEngine* engine);
int32_t squint_trt_tensors(SquintTrtEngine* engine);
int32_t squint_trt_tensor(SquintTrtEngine* engine, int32_t index, SquintTrtTensor* tensor); // 1 or 0
uint64_t squint_trt_device_bytes(SquintTrtEngine* engine); // what a context allocates on the device

SquintTrtContext* squint_trt_context_new(SquintTrtEngine* engine);
void squint_trt_context_delete(SquintTrtContext* context);
int32_t squint_trt_bind(SquintTrtContext* context, int32_t index, void* device); // 1 or 0; stays until bound anew
int32_t squint_trt_enqueue(SquintTrtContext* context, void* stream);             // 1 or 0

// One picture's tensor a call, for calibration: fills `values` floats at `host`; 1, or 0 when there are no more.
typedef int32_t (*SquintTrtFeed)(void* who, float* host, size_t values);
// Hands out bytes that are the callee's to copy; 1, or 0 to give up.
typedef int32_t (*SquintTrtBytes)(void* who, const void* bytes, size_t length);
// Progress within one phase: steps done of `steps` (0 if unknown). 1 to go on, 0 to give up. TensorRT has a monitor from 10 on;
// for 8 there are only our own phases, "parse" and "build", and giving up is heeded between them. May come from any thread, one at a time.
typedef int32_t (*SquintTrtProgress)(void* who, const char* phase, int32_t done, int32_t steps);

typedef struct {
    void* create_builder; // createInferBuilder_INTERNAL
    void* create_parser;  // createNvOnnxParser_INTERNAL
    SquintTrtLogger* logger;
    const void* onnx;
    size_t onnx_length;
    uint64_t workspace_bytes; // 0: TensorRT's own limit
    int32_t fp16;             // 1 allows it; ignored where every network is strongly typed (11)
    int32_t int8;             // 1 allows it: explicit Q/DQ, or the calibration below
    int32_t dla_core;         // -1: GPU
    int32_t capability;       // compute capability to build for, 10 * major + minor; 0: this machine's GPU. Only RTX builds without a GPU
    const void* timing_cache; // or NULL
    size_t timing_cache_length;
    const void* calibration; // an earlier calibration cache, or NULL
    size_t calibration_length;
    int32_t batch;         // pictures of one calibration batch, at least 1
    size_t values;         // floats of one picture
    void* device_batch;    // device memory for one batch, the caller's
    int32_t (*copy_to_device)(void* who, void* device, const void* host, size_t bytes); // 1 or 0
    SquintTrtFeed feed;    // or NULL: no calibration by pictures
    SquintTrtBytes calibrated, timed, plan; // the caches and the plan as they come to be; the first two may be NULL
    SquintTrtProgress progress;             // or NULL
    void* who;
} SquintTrtBuild;

// Parses, builds, serialises. 1, or 0; the phases and the causes are in the log. Takes seconds to many minutes.
int32_t squint_trt_build(const SquintTrtBuild* build);

typedef struct {
    int32_t fast_fp16, fast_int8; // 1, 0, or -1: this TensorRT does not say
    int32_t dla_cores;
} SquintTrtPlatform;

// What the machine can do, asked of a builder. 1 or 0.
int32_t squint_trt_platform(void* create_builder, SquintTrtLogger* logger, SquintTrtPlatform* platform);

#ifdef __cplusplus
}
#endif
#endif
