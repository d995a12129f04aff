// A TensorRT and its shim in one shared object, for a machine with a real NVIDIA driver: every "network" copies the first values of
// its input to its output, on the device, by the driver itself. So the CUDA layer can be tried on a GPU for which no TensorRT is at
// hand. Proves nothing about TensorRT. Built and used by tests/nvidia/tensorrt_gpu.rs.
//
// A plan is text: "ECHOPLAN <height> <width> <classes>", for three planes in, one row of scores out.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/engine/tensorrt/shim/squint_trt.h"

#define PUBLIC __attribute__((visibility("default")))

struct SquintTrtLogger { SquintTrtLog log; void* who; };
struct SquintTrtRuntime { SquintTrtLogger* logger; };
struct SquintTrtEngine { long height, width, classes; };
struct SquintTrtContext { SquintTrtEngine* engine; void* places[2]; };

PUBLIC int getInferLibVersion(void) { return 8201; }
PUBLIC void* createInferRuntime_INTERNAL(void* logger, int version) { (void)version; return logger; }

PUBLIC int32_t squint_trt_face(void) { return SQUINT_TRT_FACE; }
PUBLIC int32_t squint_trt_headers(void) { return 8201; }
PUBLIC SquintTrtLogger* squint_trt_logger_new(SquintTrtLog log, void* who) {
    SquintTrtLogger* logger = malloc(sizeof *logger);
    *logger = (SquintTrtLogger){log, who};
    return logger;
}
PUBLIC SquintTrtRuntime* squint_trt_runtime_new(void* create, SquintTrtLogger* logger) {
    (void)create;
    SquintTrtRuntime* runtime = malloc(sizeof *runtime);
    runtime->logger = logger;
    return runtime;
}
PUBLIC SquintTrtEngine* squint_trt_engine_new(SquintTrtRuntime* runtime, const void* bytes, size_t length) {
    char text[128] = "";
    memcpy(text, bytes, length < sizeof text ? length : sizeof text - 1);
    SquintTrtEngine* engine = calloc(1, sizeof *engine);
    if (sscanf(text, "ECHOPLAN %ld %ld %ld", &engine->height, &engine->width, &engine->classes) == 3) return engine;
    free(engine);
    runtime->logger->log(runtime->logger->who, 1, "no echo plan");
    return NULL;
}
PUBLIC void squint_trt_engine_delete(SquintTrtEngine* engine) { free(engine); }
PUBLIC int32_t squint_trt_tensors(SquintTrtEngine* engine) { (void)engine; return 2; }
PUBLIC int32_t squint_trt_tensor(SquintTrtEngine* engine, int32_t index, SquintTrtTensor* tensor) {
    *tensor = index == 0 ? (SquintTrtTensor){"input", 1, SQUINT_TRT_FLOAT32, 4, {1, 3, engine->height, engine->width}}
                         : (SquintTrtTensor){"scores", 0, SQUINT_TRT_FLOAT32, 2, {1, engine->classes}};
    return 1;
}
PUBLIC SquintTrtContext* squint_trt_context_new(SquintTrtEngine* engine) {
    SquintTrtContext* context = calloc(1, sizeof *context);
    context->engine = engine;
    return context;
}
PUBLIC void squint_trt_context_delete(SquintTrtContext* context) { free(context); }
PUBLIC int32_t squint_trt_bind(SquintTrtContext* context, int32_t index, void* device) {
    context->places[index] = device;
    return 1;
}
PUBLIC int32_t squint_trt_enqueue(SquintTrtContext* context, void* stream) {
    static int (*copy)(unsigned long long, unsigned long long, size_t, void*);
    if (!copy) {
        void* cuda = dlopen("libcuda.so.1", RTLD_NOW);
        *(void**)&copy = cuda ? dlsym(cuda, "cuMemcpyDtoDAsync_v2") : NULL;
    }
    size_t bytes = (size_t)context->engine->classes * sizeof(float);
    return copy && copy((size_t)context->places[1], (size_t)context->places[0], bytes, stream) == 0;
}
PUBLIC int32_t squint_trt_build(const SquintTrtBuild* build) { (void)build; return 0; }
PUBLIC int32_t squint_trt_platform(void* create, SquintTrtLogger* logger, SquintTrtPlatform* platform) {
    (void)create;
    (void)logger;
    (void)platform;
    return 0;
}
