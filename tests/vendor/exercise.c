// Takes a shim (src/engine/tensorrt/shim/squint_trt.h) through what drive.c beside it leaves out, with the fakes of this folder: frames, and
// builds with all that a build may be given. Tells what came of it as lines of JSON; for tests/tensorrt/shim.rs.
//
//   exercise SHIM NVINFER run CUDA PLAN FRAMES       loads the plan, runs frames; input k is filled with the frame's number from 1, plus k.
//                                                    0 frames: one without memory
//   exercise SHIM NVINFER build PARSER ONNX FOLDER [WORD=VALUE...]
//     fp16=1 int8=1 dla=N workspace=BYTES            as in SquintTrtBuild
//     pictures=N batch=N values=N                    calibration: picture k has the value k everywhere, from 0
//     cache=FILE timing=FILE                         earlier caches
//     refuse=plan|timing|cache|copy                  the callback says no
//     give-up=N                                      the N-th report of progress says stop
//   What is handed out goes to FOLDER: plan, timing, cache.
//
// Exit codes: 0 whatever the result, which is the last line; 64 wrong use; 69 something cannot be opened.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../src/engine/tensorrt/shim/squint_trt.h"

static void leave(const char* what) {
    fprintf(stderr, "exercise: %s\n", what);
    exit(69);
}
static void* open_library(const char* path) {
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) leave(dlerror());
    return library;
}
static void* find(void* library, const char* name) {
    void* found = dlsym(library, name);
    if (!found) leave(name);
    return found;
}
#define IN(library, name) __typeof__(&name) p_##name = (__typeof__(&name))find(library, #name)

// Objects of a fake that are still there; none of a real library's can be counted.
static long objects(void* library) {
    long (*live)(void) = (long (*)(void))dlsym(library, "fake_trt_live");
    return live ? live() : 0;
}

static pthread_t main_thread;
static void on_log(void* who, int32_t severity, const char* text) {
    (void)who;
    printf("{\"log\":%d,\"elsewhere\":%s,\"text\":\"", severity, pthread_equal(pthread_self(), main_thread) ? "false" : "true");
    for (; *text; text++)
        if (*text == '"' || *text == '\\') printf("\\%c", *text);
        else if ((unsigned char)*text < 32) printf(" ");
        else putchar(*text);
    printf("\"}\n");
}

static char* read_file(const char* path, size_t* length) {
    FILE* file = fopen(path, "rb");
    if (!file) leave(path);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char* bytes = malloc(*length + 1);
    if (!bytes || fread(bytes, 1, *length, file) != *length) leave(path);
    fclose(file);
    return bytes;
}

// ---- frames ----
int cuInit(unsigned), cuDeviceGet(int*, int), cuDevicePrimaryCtxRetain(void**, int), cuDevicePrimaryCtxReset(int), cuCtxSetCurrent(void*);
int cuMemAlloc_v2(uint64_t*, size_t), cuMemFree_v2(uint64_t);
int cuMemcpyHtoDAsync_v2(uint64_t, const void*, size_t, void*), cuMemcpyDtoHAsync_v2(void*, uint64_t, size_t, void*);
int cuStreamCreate(void**, unsigned), cuStreamSynchronize(void*), cuStreamDestroy_v2(void*);
unsigned long fake_cuda_live(void);

static size_t values_of(const SquintTrtTensor* tensor) {
    size_t values = 1;
    for (int32_t i = 0; i < tensor->rank; i++) values *= (size_t)tensor->dims[i];
    return values;
}

enum { MOST = 8 };
static int run(void* shim, void* nvinfer, SquintTrtLogger* logger, char** args) {
    void* cuda = open_library(args[0]);
    int frames = atoi(args[2]), result = 0;
    IN(shim, squint_trt_runtime_new);
    IN(shim, squint_trt_runtime_delete);
    IN(shim, squint_trt_engine_new);
    IN(shim, squint_trt_engine_delete);
    IN(shim, squint_trt_tensors);
    IN(shim, squint_trt_tensor);
    IN(shim, squint_trt_device_bytes);
    IN(shim, squint_trt_context_new);
    IN(shim, squint_trt_context_delete);
    IN(shim, squint_trt_bind);
    IN(shim, squint_trt_enqueue);
    IN(cuda, cuInit);
    IN(cuda, cuDevicePrimaryCtxRetain);
    IN(cuda, cuDevicePrimaryCtxReset);
    IN(cuda, cuCtxSetCurrent);
    IN(cuda, cuMemAlloc_v2);
    IN(cuda, cuMemFree_v2);
    IN(cuda, cuMemcpyHtoDAsync_v2);
    IN(cuda, cuMemcpyDtoHAsync_v2);
    IN(cuda, cuStreamCreate);
    IN(cuda, cuStreamSynchronize);
    IN(cuda, cuStreamDestroy_v2);
    IN(cuda, fake_cuda_live);
    void *primary, *stream;
    if (p_cuInit(0) || p_cuDevicePrimaryCtxRetain(&primary, 0) || p_cuCtxSetCurrent(primary) || p_cuStreamCreate(&stream, 0))
        leave("the fake driver does not start");

    size_t length;
    char* plan = read_file(args[1], &length);
    SquintTrtRuntime* runtime = p_squint_trt_runtime_new(find(nvinfer, "createInferRuntime_INTERNAL"), logger);
    SquintTrtEngine* engine = p_squint_trt_engine_new(runtime, plan, length);
    SquintTrtContext* context = p_squint_trt_context_new(engine);
    SquintTrtTensor tensors[MOST];
    uint64_t memory[MOST] = {0};
    float* host[MOST] = {0};
    int32_t many = p_squint_trt_tensors(engine), bound = 1;
    for (int32_t i = 0; i < many && i < MOST; i++) {
        if (!p_squint_trt_tensor(engine, i, &tensors[i])) {
            tensors[i].rank = 0;
            bound = 0;
            continue;
        }
        printf("{\"tensor\":\"%s\",\"input\":%d,\"type\":%d,\"rank\":%d,\"values\":%zu}\n", tensors[i].name, tensors[i].is_input,
               tensors[i].type, tensors[i].rank, values_of(&tensors[i]));
        if (!context) continue;
        size_t bytes = values_of(&tensors[i]) * sizeof(float);
        host[i] = calloc(1, bytes);
        if (p_cuMemAlloc_v2(&memory[i], bytes)) leave("the fake driver has no memory");
        bound &= p_squint_trt_bind(context, i, (void*)(uintptr_t)memory[i]);
    }
    bound &= !p_squint_trt_bind(context, many, NULL); // there is no such tensor
    for (int32_t i = 0; i < many && context && frames == 0; i++) p_squint_trt_bind(context, i, NULL);
    if (frames == 0) printf("{\"unbound\":%d}\n", p_squint_trt_enqueue(context, stream));
    int good = 0, broken = 0;
    for (int frame = 1; context && bound && frame <= frames; frame++) {
        for (int32_t i = 0; i < many; i++) {
            if (!tensors[i].is_input) continue;
            for (size_t v = 0; v < values_of(&tensors[i]); v++) host[i][v] = (float)(frame + i);
            p_cuMemcpyHtoDAsync_v2(memory[i], host[i], values_of(&tensors[i]) * sizeof(float), stream);
        }
        int done = p_squint_trt_enqueue(context, stream), code = p_cuStreamSynchronize(stream);
        good += done && !code;
        broken |= code >= 700; // nothing of this context can be given back then: it goes as a whole
        printf("{\"frame\":%d,\"enqueued\":%d,\"code\":%d", frame, done, code);
        for (int32_t i = 0; i < many && done && !code; i++) {
            if (tensors[i].is_input) continue;
            p_cuMemcpyDtoHAsync_v2(host[i], memory[i], values_of(&tensors[i]) * sizeof(float), stream);
            printf(",\"%s\":[", tensors[i].name);
            for (size_t v = 0; v < values_of(&tensors[i]); v++) printf(v ? ",%g" : "%g", (double)host[i][v]);
            printf("]");
        }
        printf("}\n");
    }
    result = context && bound && good == frames;
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    int32_t again = context && bound && frames ? 1000 : 0;
    for (int32_t i = 0; i < again; i++) p_squint_trt_enqueue(context, stream);
    clock_gettime(CLOCK_MONOTONIC, &to);
    long ns = (to.tv_sec - from.tv_sec) * 1000000000L + (to.tv_nsec - from.tv_nsec);
    printf("{\"device_bytes\":%llu,\"ns_per_enqueue\":%ld}\n", (unsigned long long)p_squint_trt_device_bytes(engine), again ? ns / again : 0);
    p_squint_trt_context_delete(context);
    p_squint_trt_engine_delete(engine);
    p_squint_trt_runtime_delete(runtime);
    for (int i = 0; i < MOST; i++) {
        if (memory[i]) p_cuMemFree_v2(memory[i]);
        free(host[i]);
    }
    p_cuStreamDestroy_v2(stream);
    if (broken) p_cuDevicePrimaryCtxReset(0);
    printf("{\"live\":%lu}\n", p_fake_cuda_live() + (unsigned long)objects(nvinfer));
    free(plan);
    return result;
}

// ---- builds ----
static struct {
    const char *folder, *refuse;
    int pictures, fed, reports, give_up, copies;
} told;

static int32_t feed(void* who, float* host, size_t values) {
    (void)who;
    if (told.fed == told.pictures) return 0;
    for (size_t i = 0; i < values; i++) host[i] = (float)told.fed;
    told.fed++;
    return 1;
}
static int32_t copy(void* who, void* device, const void* host, size_t bytes) {
    (void)who;
    told.copies++;
    memcpy(device, host, bytes);
    return strcmp(told.refuse, "copy") != 0;
}
static int32_t keep(const char* name, const void* bytes, size_t length) {
    char path[4096];
    if (strcmp(told.refuse, name) == 0) return 0;
    snprintf(path, sizeof path, "%s/%s", told.folder, name);
    FILE* file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, length, file) != length || fclose(file)) leave(path);
    return 1;
}
static int32_t keep_plan(void* who, const void* bytes, size_t length) { return (void)who, keep("plan", bytes, length); }
static int32_t keep_timing(void* who, const void* bytes, size_t length) { return (void)who, keep("timing", bytes, length); }
static int32_t keep_cache(void* who, const void* bytes, size_t length) { return (void)who, keep("cache", bytes, length); }
static int32_t progress(void* who, const char* phase, int32_t done, int32_t steps) {
    (void)who;
    told.reports++;
    printf("{\"progress\":\"%s\",\"done\":%d,\"steps\":%d}\n", phase, done, steps);
    return told.reports != told.give_up;
}

static int build(void* shim, void* nvinfer, SquintTrtLogger* logger, char** args) {
    IN(shim, squint_trt_build);
    SquintTrtBuild order;
    memset(&order, 0, sizeof order);
    order.create_builder = find(nvinfer, "createInferBuilder_INTERNAL");
    order.create_parser = find(open_library(args[0]), "createNvOnnxParser_INTERNAL");
    order.logger = logger;
    order.onnx = read_file(args[1], &order.onnx_length);
    order.dla_core = -1;
    order.batch = 1;
    order.values = 1;
    order.calibrated = keep_cache, order.timed = keep_timing, order.plan = keep_plan, order.progress = progress;
    order.copy_to_device = copy;
    told.folder = args[2];
    told.refuse = "";
    for (char** word = args + 3; *word; word++) {
        char* value = strchr(*word, '=');
        if (!value) return 64;
        *value++ = 0;
        if (!strcmp(*word, "fp16")) order.fp16 = atoi(value);
        else if (!strcmp(*word, "int8")) order.int8 = atoi(value);
        else if (!strcmp(*word, "dla")) order.dla_core = atoi(value);
        else if (!strcmp(*word, "workspace")) order.workspace_bytes = strtoull(value, NULL, 10);
        else if (!strcmp(*word, "capability")) order.capability = atoi(value);
        else if (!strcmp(*word, "pictures")) told.pictures = atoi(value), order.feed = feed;
        else if (!strcmp(*word, "batch")) order.batch = atoi(value);
        else if (!strcmp(*word, "values")) order.values = strtoul(value, NULL, 10);
        else if (!strcmp(*word, "cache")) order.calibration = read_file(value, &order.calibration_length);
        else if (!strcmp(*word, "timing")) order.timing_cache = read_file(value, &order.timing_cache_length);
        else if (!strcmp(*word, "refuse")) told.refuse = value;
        else if (!strcmp(*word, "give-up")) told.give_up = atoi(value);
        else return 64;
    }
    order.device_batch = calloc((size_t)(order.batch > 0 ? order.batch : 1) * order.values, sizeof(float));
    int result = p_squint_trt_build(&order);
    printf("{\"fed\":%d,\"copies\":%d,\"reports\":%d,\"live\":%ld}\n", told.fed, told.copies, told.reports,
           objects(nvinfer) + objects(open_library(args[0])));
    return result;
}

int main(int count, char** args) {
    int result = 64;
    if (count < 7) return 64;
    main_thread = pthread_self();
    setvbuf(stdout, NULL, _IOLBF, 0);
    void *shim = open_library(args[1]), *nvinfer = open_library(args[2]);
    IN(shim, squint_trt_logger_new);
    IN(shim, squint_trt_logger_delete);
    SquintTrtLogger* logger = p_squint_trt_logger_new(on_log, NULL);
    if (!strcmp(args[3], "run") && count == 7) result = run(shim, nvinfer, logger, args + 4);
    if (!strcmp(args[3], "build")) result = build(shim, nvinfer, logger, args + 4);
    p_squint_trt_logger_delete(logger);
    if (result == 64) return 64;
    printf("{\"result\":%d}\n", result);
    return 0;
}
