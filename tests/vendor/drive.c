// Drives a shim (src/engine/tensorrt/shim/squint_trt.h) with a real or a fake TensorRT, and tells what came of it as lines of JSON; for
// tests/tensorrt/rtx.rs. A program of its own, since a vendor's library may crash: then that is a finding, not the end of the tests.
//
//   drive SHIM LIBRARY runtime                                    makes a runtime and deletes it
//   drive SHIM LIBRARY engine PLAN                                loads a plan and lists its tensors
//   drive SHIM LIBRARY platform                                   asks a builder what the machine can do
//   drive SHIM LIBRARY build PARSER ONNX CAPABILITY PLAN [STOP]   builds; gives up at the STOPth report of progress
//
// Lines: {"log":SEVERITY,"text":...}, {"tensor":...}, {"progress":PHASE,"done":N,"steps":N}, and one {"result":0 or 1,...} at the end.
// Exit codes: 0 whatever the result; 64 wrong use; 69 something cannot be opened.
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../src/engine/tensorrt/shim/squint_trt.h"

static pthread_mutex_t printing = PTHREAD_MUTEX_INITIALIZER;
static long reports, stop_at, log_lines, plan_bytes;
static const char* plan_file;

static void print_text(const char* text) {
    putchar('"');
    for (const unsigned char* at = (const unsigned char*)text; *at; at++) {
        if (*at == '"' || *at == '\\') printf("\\%c", *at);
        else if (*at < 32 || *at > 126) printf("\\u%04x", *at);
        else putchar(*at);
    }
    putchar('"');
}

static void on_log(void* who, int32_t severity, const char* text) {
    (void)who;
    if (severity > 3) return; // verbose: thousands of lines
    pthread_mutex_lock(&printing);
    log_lines++;
    printf("{\"log\":%d,\"text\":", severity);
    print_text(text);
    printf("}\n");
    pthread_mutex_unlock(&printing);
}

static int32_t on_progress(void* who, const char* phase, int32_t done, int32_t steps) {
    (void)who;
    pthread_mutex_lock(&printing);
    reports++;
    printf("{\"progress\":");
    print_text(phase);
    printf(",\"done\":%d,\"steps\":%d}\n", done, steps);
    int32_t go_on = stop_at == 0 || reports < stop_at;
    pthread_mutex_unlock(&printing);
    return go_on;
}

static int32_t on_plan(void* who, const void* bytes, size_t length) {
    (void)who;
    FILE* file = fopen(plan_file, "wb");
    if (!file) return 0;
    size_t written = fwrite(bytes, 1, length, file);
    plan_bytes = (long)length;
    return fclose(file) == 0 && written == length;
}

static void* open_or_leave(const char* path) {
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "drive: %s\n", dlerror());
        exit(69);
    }
    return library;
}

static void* find_or_leave(void* library, const char* name) {
    void* found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "drive: no %s\n", name);
        exit(69);
    }
    return found;
}

static char* read_or_leave(const char* path, size_t* length) {
    FILE* file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(69);
    }
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char* bytes = malloc(*length + 1);
    if (!bytes || fread(bytes, 1, *length, file) != *length) {
        perror(path);
        exit(69);
    }
    fclose(file);
    return bytes;
}

#define SHIM(name) __typeof__(&name) p_##name = (__typeof__(&name))find_or_leave(shim, #name)

int main(int count, char** args) {
    if (count < 4) return 64;
    setvbuf(stdout, NULL, _IOLBF, 0);
    void* shim = open_or_leave(args[1]);
    void* library = open_or_leave(args[2]);
    const char* command = args[3];
    SHIM(squint_trt_face);
    SHIM(squint_trt_headers);
    SHIM(squint_trt_logger_new);
    SHIM(squint_trt_logger_delete);
    SHIM(squint_trt_runtime_new);
    SHIM(squint_trt_runtime_delete);
    SHIM(squint_trt_engine_new);
    SHIM(squint_trt_engine_delete);
    SHIM(squint_trt_tensors);
    SHIM(squint_trt_tensor);
    SHIM(squint_trt_device_bytes);
    SHIM(squint_trt_platform);
    SHIM(squint_trt_build);
    int32_t (*version)(void) = (int32_t(*)(void))find_or_leave(library, "getInferLibVersion");
    printf("{\"face\":%d,\"headers\":%d,\"library\":%d}\n", p_squint_trt_face(), p_squint_trt_headers(), version());
    SquintTrtLogger* logger = p_squint_trt_logger_new(on_log, NULL);
    int32_t result = 0, tensors = 0;
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);

    if (!strcmp(command, "runtime") || (!strcmp(command, "engine") && count == 5)) {
        SquintTrtRuntime* runtime = p_squint_trt_runtime_new(find_or_leave(library, "createInferRuntime_INTERNAL"), logger);
        result = runtime != NULL;
        if (!strcmp(command, "engine") && runtime) {
            size_t length;
            char* bytes = read_or_leave(args[4], &length);
            SquintTrtEngine* engine = p_squint_trt_engine_new(runtime, bytes, length);
            result = engine != NULL;
            for (int32_t index = 0; engine && index < p_squint_trt_tensors(engine); index++) {
                SquintTrtTensor tensor;
                if (!p_squint_trt_tensor(engine, index, &tensor)) continue;
                tensors++;
                printf("{\"tensor\":");
                print_text(tensor.name);
                printf(",\"input\":%d,\"type\":%d,\"dims\":[", tensor.is_input, tensor.type);
                for (int32_t axis = 0; axis < tensor.rank; axis++) printf(axis ? ",%lld" : "%lld", (long long)tensor.dims[axis]);
                printf("]}\n");
            }
            if (engine) printf("{\"device_bytes\":%llu}\n", (unsigned long long)p_squint_trt_device_bytes(engine));
            p_squint_trt_engine_delete(engine);
            free(bytes);
        }
        p_squint_trt_runtime_delete(runtime);
    } else if (!strcmp(command, "platform")) {
        SquintTrtPlatform platform = {0, 0, 0};
        result = p_squint_trt_platform(find_or_leave(library, "createInferBuilder_INTERNAL"), logger, &platform);
        printf("{\"fp16\":%d,\"int8\":%d,\"dla\":%d}\n", platform.fast_fp16, platform.fast_int8, platform.dla_cores);
    } else if (!strcmp(command, "build") && (count == 8 || count == 9)) {
        SquintTrtBuild build;
        memset(&build, 0, sizeof build);
        size_t length;
        char* onnx = read_or_leave(args[5], &length);
        build.create_builder = find_or_leave(library, "createInferBuilder_INTERNAL");
        build.create_parser = find_or_leave(open_or_leave(args[4]), "createNvOnnxParser_INTERNAL");
        build.logger = logger;
        build.onnx = onnx;
        build.onnx_length = length;
        build.workspace_bytes = 256u << 20;
        build.dla_core = -1;
        build.capability = atoi(args[6]);
        build.batch = 1;
        build.plan = on_plan;
        build.progress = on_progress;
        plan_file = args[7];
        stop_at = count == 9 ? atol(args[8]) : 0;
        result = p_squint_trt_build(&build);
        free(onnx);
    } else {
        return 64;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    p_squint_trt_logger_delete(logger);
    printf("{\"result\":%d,\"seconds\":%.3f,\"tensors\":%d,\"log_lines\":%ld,\"reports\":%ld,\"plan_bytes\":%ld}\n", result, seconds, tensors, log_lines,
           reports, plan_bytes);
    return 0;
}
