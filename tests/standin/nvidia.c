// A driver, a TensorRT and a shim in one shared object, for tests of the Rust side: the driver of tests/vendor, at its strictest and as of
// CUDA 10, and everything of squint_trt.h that Squint calls to run a plan. It proves our own logic and nothing about NVIDIA's libraries.
// Holds nothing of NVIDIA's; built by tests/common/nvidia.rs with the system's C compiler.
//
// As bad as the real thing: the variable FAKE_NVIDIA tells which call fails, in the words of tests/vendor/fake_faults.h. Of the shim's:
// `none` is 0 or NULL, 552 the pointer 0x228, a sticky error one that breaks the context, and an enqueue that is told 1 answers NaN.
//
// A plan is text: "FAKEPLAN <rank> <dims> <name> <rank> <dims> <name> <element> <nhwc> <finish> <channels> <classes> <weights>";
// it averages each channel and multiplies, as the ONNX models of tests/common/onnx_model.rs do; finish is 0 none, 1 softmax, 2
// square root.
#define _GNU_SOURCE
#include <math.h>

#define FAULTS_VARIABLE "FAKE_NVIDIA"
#define FAULTS_FILE_VARIABLE "FAKE_NVIDIA_FILE"
#define FAKE_CUDA_10
enum { CAPABILITY = 62, VERSION = 10020, STRICT = 1 };
#include "../vendor/fake_cuda.c"

#include "../../src/engine/tensorrt/shim/squint_trt.h"

enum { ENGINE = EVENT + 1, CONTEXT };

// What the call is told to answer; 0: what it would anyway.
static int told(const char* name) {
    int code = faults_call(name);
    pthread_mutex_lock(&gpu.lock);
    stick(code);
    return leave(code);
}
static int or(int code, int otherwise) { return code == FAULTS_NONE ? 0 : code ? code : otherwise; }

// Something of a context.
static void* make(int kind, size_t size) {
    pthread_mutex_lock(&gpu.lock);
    void* at = add(kind, size)->at;
    pthread_mutex_unlock(&gpu.lock);
    return at;
}
static void gone(int kind, void* at) {
    pthread_mutex_lock(&gpu.lock);
    if (gpu.sticky || take_away(kind, at)) abort(); // as strict as the driver
    pthread_mutex_unlock(&gpu.lock);
}

OUT int getInferLibVersion(void) { return or(told("getInferLibVersion"), 8201); }
OUT void* createInferRuntime_INTERNAL(void* logger, int version) { (void)version; return logger; }

struct SquintTrtLogger { SquintTrtLog log; void* who; };
struct SquintTrtRuntime { SquintTrtLogger* logger; };
struct SquintTrtEngine {
    SquintTrtLogger* logger;
    SquintTrtTensor tensors[2];
    int nhwc, finish, channels, classes, contexts;
    float weights[256];
};
struct SquintTrtContext { SquintTrtEngine* engine; float *input, *output; };

static void say(SquintTrtLogger* logger, int severity, const char* text) { logger->log(logger->who, severity, text); }

// The pointer that a call is told to answer: NULL or a small one.
#define POINTER(name, logger)                                     \
    do {                                                          \
        int code = told(name);                                    \
        if (!code && !gpu.sticky) break;                          \
        if (logger) say(logger, 1, "told to fail at " name);      \
        return code == 552 ? (void*)0x228 : NULL;                 \
    } while (0)

OUT int32_t squint_trt_face(void) { return or(told("squint_trt_face"), SQUINT_TRT_FACE); }
OUT int32_t squint_trt_headers(void) { return or(told("squint_trt_headers"), 8201); }
OUT SquintTrtLogger* squint_trt_logger_new(SquintTrtLog log, void* who) {
    POINTER("squint_trt_logger_new", (SquintTrtLogger*)NULL);
    SquintTrtLogger* logger = malloc(sizeof *logger);
    *logger = (SquintTrtLogger){log, who};
    return logger;
}
OUT SquintTrtRuntime* squint_trt_runtime_new(void* create, SquintTrtLogger* logger) {
    POINTER("squint_trt_runtime_new", logger);
    if (!create || !current) abort();
    SquintTrtRuntime* runtime = malloc(sizeof *runtime);
    runtime->logger = logger;
    return runtime;
}
static int sides(const char** text, SquintTrtTensor* tensor) {
    int used = 0;
    if (sscanf(*text, "%d%n", &tensor->rank, &used) != 1 || tensor->rank < 0) return 0;
    *text += used;
    for (int at = 0; at < tensor->rank && at < SQUINT_TRT_RANK; at++) {
        long side;
        if (sscanf(*text, "%ld%n", &side, &used) != 1) return 0;
        tensor->dims[at] = side;
        *text += used;
    }
    if (sscanf(*text, "%255s%n", tensor->name, &used) != 1) return 0;
    *text += used;
    return 1;
}
OUT SquintTrtEngine* squint_trt_engine_new(SquintTrtRuntime* runtime, const void* bytes, size_t length) {
    POINTER("squint_trt_engine_new", runtime->logger);
    char copy[4096] = "";
    memcpy(copy, bytes, length < sizeof copy ? length : sizeof copy - 1);
    const char* text = copy + 8;
    SquintTrtEngine* engine = make(ENGINE, sizeof *engine);
    SquintTrtTensor *input = &engine->tensors[0], *output = &engine->tensors[1];
    int used = 0, element = 0;
    int whole = !strncmp(copy, "FAKEPLAN", 8) && sides(&text, input) && sides(&text, output)
        && sscanf(text, "%d %d %d %d %d%n", &element, &engine->nhwc, &engine->finish, &engine->channels, &engine->classes, &used)
            == 5
        && engine->channels * engine->classes <= 256;
    text += used;
    for (int at = 0; whole && at < engine->channels * engine->classes; at++, text += used)
        whole = sscanf(text, "%f%n", &engine->weights[at], &used) == 1;
    if (!whole) {
        say(runtime->logger, 2, "an idle warning");
        say(runtime->logger, 1, "magic tag does not match");
        gone(ENGINE, engine);
        return NULL;
    }
    input->is_input = 1;
    input->type = output->type = element;
    engine->logger = runtime->logger;
    return engine;
}
OUT void squint_trt_engine_delete(SquintTrtEngine* engine) {
    if (engine->contexts) abort(); // they go first
    gone(ENGINE, engine);
}
OUT int32_t squint_trt_tensors(SquintTrtEngine* engine) {
    (void)engine;
    return or(told("squint_trt_tensors"), 2);
}
OUT int32_t squint_trt_tensor(SquintTrtEngine* engine, int32_t index, SquintTrtTensor* tensor) {
    if (told("squint_trt_tensor")) return 0;
    *tensor = engine->tensors[index];
    return 1;
}
OUT uint64_t squint_trt_device_bytes(SquintTrtEngine* engine) { (void)engine; return 1024; }
OUT SquintTrtContext* squint_trt_context_new(SquintTrtEngine* engine) {
    POINTER("squint_trt_context_new", engine->logger);
    SquintTrtContext* context = make(CONTEXT, sizeof *context);
    context->engine = engine;
    engine->contexts++;
    return context;
}
OUT void squint_trt_context_delete(SquintTrtContext* context) {
    context->engine->contexts--;
    gone(CONTEXT, context);
}
OUT int32_t squint_trt_bind(SquintTrtContext* context, int32_t index, void* device) {
    if (told("squint_trt_bind")) return 0;
    if (index) context->output = device; else context->input = device;
    return 1;
}
OUT int32_t squint_trt_enqueue(SquintTrtContext* context, void* stream) {
    (void)stream;
    SquintTrtEngine* engine = context->engine;
    int code = told("squint_trt_enqueue");
    if (code && code != 1) {
        say(engine->logger, 1, "told to fail at squint_trt_enqueue");
        return 0;
    }
    pthread_mutex_lock(&gpu.lock);
    struct thing* input = gpu.sticky || current != gpu.generation ? NULL : find(MEMORY, context->input);
    if (leave(!input)) return 0;
    int channels = engine->channels, pixels = (int)(input->bytes / 4) / channels;
    for (int class = 0; class < engine->classes; class++) context->output[class] = 0;
    for (int channel = 0; channel < channels; channel++) {
        double sum = 0;
        for (int at = 0; at < pixels; at++) sum += context->input[engine->nhwc ? at * channels + channel : channel * pixels + at];
        for (int class = 0; class < engine->classes; class++)
            context->output[class] += (float)(sum / pixels) * engine->weights[channel * engine->classes + class];
    }
    double total = 0;
    for (int class = 0; class < engine->classes; class++) {
        if (engine->finish == 2) context->output[class] = sqrtf(context->output[class]);
        if (engine->finish == 1) total += exp(context->output[class]);
    }
    for (int class = 0; class < engine->classes; class++) {
        if (engine->finish == 1) context->output[class] = (float)(exp(context->output[class]) / total);
        if (code == 1) context->output[class] = NAN;
    }
    return 1;
}
