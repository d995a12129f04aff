// A driver, a TensorRT and a shim in one shared object, for tests of the Rust side: everything of libcuda and of squint_trt.h
// that Squint calls, over malloc and memcpy. It proves our own logic and nothing about NVIDIA's libraries. Holds nothing of
// NVIDIA's; built by tests/common/nvidia.rs with the system's C compiler.
//
// As bad as the real thing: a call can be told to fail by the variable FAKE_NVIDIA, a list like
// "cuMemAlloc_v2:3=2,squint_trt_enqueue:5=0": the third call of the one answers 2, the fifth of the other 0. In place of a
// number: "hang", "crash", "small" (the pointer 0x228), "nan" (an enqueue that answers NaN). Codes 700 to 719 and 999 are sticky:
// every call in the context fails from then on, until it is reset. What was made in a context that was reset or is beyond help
// must not be given back: doing so ends the process, as TensorRT's own destructors may.
//
// With FAKE_NVIDIA_LIVE=FILE, the number of things made and not given back stands in FILE.
//
// A plan is text: "FAKEPLAN <rank> <dims> <name> <rank> <dims> <name> <element> <nhwc> <finish> <channels> <classes> <weights>";
// it averages each channel and multiplies, as the ONNX models of tests/common/onnx_model.rs do; finish is 0 none, 1 softmax, 2
// square root.
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../src/engine/tensorrt/shim/squint_trt.h"

#define PUBLIC __attribute__((visibility("default")))
enum { WORKS = -1000, SMALL = -1001, NOT_A_NUMBER = -1002 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int generation = 1, sticky, retained, live;
static __thread int current; // generation of the context that is current here

static struct { char name[64]; int left; int code; } rules[16];
static int ruled = -1;

static void read_rules(void) {
    const char* text = getenv("FAKE_NVIDIA");
    ruled = 0;
    char copy[1024], *rest = copy;
    snprintf(copy, sizeof copy, "%s", text ? text : "");
    for (char* rule; (rule = strsep(&rest, ",")) && *rule && ruled < 16;) {
        char what[32] = "";
        int nth = 0;
        if (sscanf(rule, "%63[^:]:%d=%31s", rules[ruled].name, &nth, what) != 3) abort();
        rules[ruled].left = nth;
        int code = atoi(what);
        if (!strcmp(what, "hang")) code = -1;
        if (!strcmp(what, "crash")) code = -2;
        if (!strcmp(what, "small")) code = SMALL;
        if (!strcmp(what, "nan")) code = NOT_A_NUMBER;
        rules[ruled++].code = code;
    }
}

// What the call is told to answer, or WORKS.
static int told(const char* name) {
    pthread_mutex_lock(&lock);
    if (ruled < 0) read_rules();
    int code = WORKS;
    for (int at = 0; at < ruled; at++)
        if (!strcmp(rules[at].name, name) && --rules[at].left == 0) code = rules[at].code;
    if ((code >= 700 && code < 720) || code == 999) sticky = code;
    pthread_mutex_unlock(&lock);
    if (code == -1) for (;;) pause();
    if (code == -2) *(volatile int*)8 = 0; // raised, Rust's handler would return from it
    return code;
}

static void count(int change) {
    static const char* file;
    static int asked;
    pthread_mutex_lock(&lock);
    live += change;
    if (!asked++) file = getenv("FAKE_NVIDIA_LIVE");
    if (file) {
        FILE* out = fopen(file, "w");
        if (!out) abort();
        fprintf(out, "%d\n", live);
        fclose(out);
    }
    pthread_mutex_unlock(&lock);
}

// A thing of a context.
typedef struct { int generation; double at; long size; } Thing;

static void* make(size_t size) {
    Thing* thing = calloc(1, sizeof(Thing) + 64 + size);
    thing->generation = generation;
    thing->size = (long)size;
    count(1);
    return (char*)thing + 64;
}

static Thing* thing(const void* place) { return (Thing*)((char*)(size_t)place - 64); }

static void give_back(void* place) {
    if (sticky || thing(place)->generation != generation) abort(); // see above
    free(thing(place));
    count(-1);
}

// The beginning of every call that needs a context.
#define IN_CONTEXT(name)                                     \
    do {                                                     \
        int code = told(name);                               \
        if (code != WORKS) return code;                      \
        if (sticky) return sticky;                           \
        if (!retained || current != generation) return 201;  \
    } while (0)
#define ANSWER(name)                    \
    do {                                \
        int code = told(name);          \
        if (code != WORKS) return code; \
    } while (0)

PUBLIC int cuInit(unsigned flags) { ANSWER("cuInit"); return flags ? 1 : 0; }
PUBLIC int cuDriverGetVersion(int* version) { ANSWER("cuDriverGetVersion"); *version = 10020; return 0; }
PUBLIC int cuDeviceGetCount(int* count) {
    int code = told("cuDeviceGetCount");
    if (code > 0) return code;
    *count = code == 0 ? 0 : 1;
    return 0;
}
PUBLIC int cuDeviceGet(int* device, int number) { ANSWER("cuDeviceGet"); *device = number; return number ? 101 : 0; }
PUBLIC int cuDeviceGetName(char* name, int room, int device) {
    (void)device;
    ANSWER("cuDeviceGetName");
    snprintf(name, (size_t)room, "Fake GPU");
    return 0;
}
PUBLIC int cuDeviceGetAttribute(int* value, int which, int device) {
    (void)device;
    ANSWER("cuDeviceGetAttribute");
    *value = which == 75 ? 6 : which == 76 ? 2 : 1;
    return 0;
}
PUBLIC int cuDevicePrimaryCtxRetain(void** context, int device) {
    (void)device;
    ANSWER("cuDevicePrimaryCtxRetain");
    if (sticky) return sticky;
    retained = 1;
    *context = (void*)(size_t)(4096 * (size_t)generation);
    return 0;
}
PUBLIC int cuDevicePrimaryCtxRelease(int device) {
    (void)device;
    ANSWER("cuDevicePrimaryCtxRelease");
    retained = 0;
    return sticky;
}
PUBLIC int cuDevicePrimaryCtxReset(int device) {
    (void)device;
    ANSWER("cuDevicePrimaryCtxReset");
    sticky = 0;
    generation++;
    return 0;
}
PUBLIC int cuCtxSetCurrent(void* context) {
    ANSWER("cuCtxSetCurrent");
    if (sticky) return sticky;
    current = (int)((size_t)context / 4096);
    return current == generation ? 0 : 201;
}
PUBLIC int cuMemAlloc_v2(unsigned long long* address, size_t bytes) {
    IN_CONTEXT("cuMemAlloc_v2");
    *address = (size_t)make(bytes);
    return 0;
}
PUBLIC int cuMemFree_v2(unsigned long long address) { give_back((void*)(size_t)address); return 0; }
PUBLIC int cuMemHostAlloc(void** place, size_t bytes, unsigned flags) {
    (void)flags;
    IN_CONTEXT("cuMemHostAlloc");
    *place = make(bytes);
    return 0;
}
PUBLIC int cuMemFreeHost(void* place) { give_back(place); return 0; }
PUBLIC int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t bytes, void* stream) {
    (void)stream;
    IN_CONTEXT("cuMemcpyHtoDAsync_v2");
    if ((long)bytes != thing((void*)(size_t)to)->size || (long)bytes != thing(from)->size) return 1;
    memcpy((void*)(size_t)to, from, bytes);
    return 0;
}
PUBLIC int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t bytes, void* stream) {
    (void)stream;
    IN_CONTEXT("cuMemcpyDtoHAsync_v2");
    if ((long)bytes != thing(to)->size || (long)bytes != thing((void*)(size_t)from)->size) return 1;
    memcpy(to, (void*)(size_t)from, bytes);
    return 0;
}
PUBLIC int cuStreamCreate(void** stream, unsigned flags) {
    (void)flags;
    IN_CONTEXT("cuStreamCreate");
    *stream = make(0);
    return 0;
}
PUBLIC int cuStreamSynchronize(void* stream) { (void)stream; IN_CONTEXT("cuStreamSynchronize"); return 0; }
PUBLIC int cuStreamDestroy_v2(void* stream) { give_back(stream); return 0; }
PUBLIC int cuEventCreate(void** event, unsigned flags) { (void)flags; IN_CONTEXT("cuEventCreate"); *event = make(0); return 0; }
PUBLIC int cuEventRecord(void* event, void* stream) {
    (void)stream;
    IN_CONTEXT("cuEventRecord");
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    thing(event)->at = (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
    return 0;
}
PUBLIC int cuEventSynchronize(void* event) { (void)event; IN_CONTEXT("cuEventSynchronize"); return 0; }
PUBLIC int cuEventElapsedTime(float* ms, void* begun, void* ended) {
    IN_CONTEXT("cuEventElapsedTime");
    *ms = (float)(thing(ended)->at - thing(begun)->at);
    return 0;
}
PUBLIC int cuEventDestroy_v2(void* event) { give_back(event); return 0; }

PUBLIC int getInferLibVersion(void) { int code = told("getInferLibVersion"); return code == WORKS ? 8201 : code; }
PUBLIC void* createInferRuntime_INTERNAL(void* logger, int version) { (void)version; return logger; }

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
        if (code == WORKS && sticky) code = 0;                    \
        if (code == WORKS) break;                                 \
        if (logger) say(logger, 1, "told to fail at " name);      \
        return code == SMALL ? (void*)0x228 : NULL;               \
    } while (0)

PUBLIC int32_t squint_trt_face(void) { int code = told("squint_trt_face"); return code == WORKS ? SQUINT_TRT_FACE : code; }
PUBLIC int32_t squint_trt_headers(void) { int code = told("squint_trt_headers"); return code == WORKS ? 8201 : code; }
PUBLIC SquintTrtLogger* squint_trt_logger_new(SquintTrtLog log, void* who) {
    POINTER("squint_trt_logger_new", (SquintTrtLogger*)NULL);
    SquintTrtLogger* logger = malloc(sizeof *logger);
    *logger = (SquintTrtLogger){log, who};
    return logger;
}
PUBLIC SquintTrtRuntime* squint_trt_runtime_new(void* create, SquintTrtLogger* logger) {
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
PUBLIC SquintTrtEngine* squint_trt_engine_new(SquintTrtRuntime* runtime, const void* bytes, size_t length) {
    POINTER("squint_trt_engine_new", runtime->logger);
    char copy[4096] = "";
    memcpy(copy, bytes, length < sizeof copy ? length : sizeof copy - 1);
    const char* text = copy + 8;
    SquintTrtEngine* engine = make(sizeof *engine);
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
        give_back(engine);
        return NULL;
    }
    input->is_input = 1;
    input->type = output->type = element;
    engine->logger = runtime->logger;
    return engine;
}
PUBLIC void squint_trt_engine_delete(SquintTrtEngine* engine) {
    if (engine->contexts) abort(); // they go first
    give_back(engine);
}
PUBLIC int32_t squint_trt_tensors(SquintTrtEngine* engine) {
    (void)engine;
    int code = told("squint_trt_tensors");
    return code == WORKS ? 2 : code;
}
PUBLIC int32_t squint_trt_tensor(SquintTrtEngine* engine, int32_t index, SquintTrtTensor* tensor) {
    int code = told("squint_trt_tensor");
    if (code != WORKS) return code;
    *tensor = engine->tensors[index];
    return 1;
}
PUBLIC uint64_t squint_trt_device_bytes(SquintTrtEngine* engine) { (void)engine; return 1024; }
PUBLIC SquintTrtContext* squint_trt_context_new(SquintTrtEngine* engine) {
    POINTER("squint_trt_context_new", engine->logger);
    SquintTrtContext* context = make(sizeof *context);
    context->engine = engine;
    engine->contexts++;
    return context;
}
PUBLIC void squint_trt_context_delete(SquintTrtContext* context) {
    context->engine->contexts--;
    give_back(context);
}
PUBLIC int32_t squint_trt_bind(SquintTrtContext* context, int32_t index, void* device) {
    int code = told("squint_trt_bind");
    if (code != WORKS) return code;
    if (index) context->output = device; else context->input = device;
    return 1;
}
PUBLIC int32_t squint_trt_enqueue(SquintTrtContext* context, void* stream) {
    (void)stream;
    SquintTrtEngine* engine = context->engine;
    int code = told("squint_trt_enqueue");
    if (code != WORKS && code != NOT_A_NUMBER) {
        say(engine->logger, 1, "told to fail at squint_trt_enqueue");
        return 0;
    }
    if (sticky || current != generation) return 0;
    int channels = engine->channels, pixels = (int)(thing(context->input)->size / 4) / channels;
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
        if (code == NOT_A_NUMBER) context->output[class] = NAN;
    }
    return 1;
}
