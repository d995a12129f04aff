// A libcuda.so.1 for tests: the driver functions that Squint uses, over malloc and memcpy, with faults on demand (fake_faults.h).
//
// It is strict where the driver is: without cuInit, without a current context, with a handle that it never gave, a freed pointer or a
// copy that leaves its allocation, it answers with the driver's error. It proves our logic, never that NVIDIA's driver behaves so.
// Work "on a stream" is done at once. An error of 700 to 719 or 999 is sticky, as the real ones are: every call that needs the context gives it
// until cuDevicePrimaryCtxReset, or until the last user releases the context; then all its memory, streams and events are gone.
//
// Variables, read when a function is called: FAKE_CUDA_FAIL and FAKE_CUDA_FAIL_FILE (plans), FAKE_CUDA_DEVICES (1),
// FAKE_CUDA_CAPABILITY (86: 10 * major + minor), FAKE_CUDA_MEMORY (bytes of the device, 1 GiB), FAKE_CUDA_VERSION (12020),
// FAKE_CUDA_INTEGRATED (0; 1: host and device share memory, as on a Jetson), FAKE_CUDA_LIVE (a file: in it stands how many things were made
// and not given back).
// Built with -DFAKE_CUDA_10 it lacks the names that came with CUDA 11 (the _v2 of the primary context's functions).
// For tests in the same process: fake_cuda_fail(plan), fake_cuda_calls(function), fake_cuda_live() (things not given back),
// fake_cuda_stick(code) (the context is broken from now on, as after a kernel's wild access).
// tests/standin/nvidia.c has it in itself, with STRICT: a copy is of a whole allocation on both sides, and giving back what is no more, or
// what is in a context beyond help, ends the process, as TensorRT's own destructors may.
#define _GNU_SOURCE
#ifndef FAULTS_VARIABLE
#define FAULTS_VARIABLE "FAKE_CUDA_FAIL"
#define FAULTS_FILE_VARIABLE "FAKE_CUDA_FAIL_FILE"
enum { CAPABILITY = 86, VERSION = 12020, STRICT = 0 };
#endif
#include "fake_faults.h"
#include <stdint.h>

#define OUT __attribute__((visibility("default")))
enum { OK = 0, INVALID_VALUE = 1, NO_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
       INVALID_HANDLE = 400 };
enum { MEMORY = 1, PINNED, STREAM, EVENT };

struct thing {
    struct thing* next;
    int kind;
    size_t bytes;
    void* at;             // the memory, or the thing itself
    struct timespec when; // of an event
    int recorded;
};

static struct {
    pthread_mutex_t lock;
    int initialized, users, sticky;
    unsigned long generation;
    size_t used;
    struct thing* things;
} gpu = {.lock = PTHREAD_MUTEX_INITIALIZER};
static __thread unsigned long current; // generation of the context that this thread made current, 0: none

static long number(const char* variable, long otherwise) { return getenv(variable) ? atol(getenv(variable)) : otherwise; }
static size_t capacity(void) { return (size_t)number("FAKE_CUDA_MEMORY", 1L << 30); }

static int stick(int code) {
    if (((code >= 700 && code <= 719) || code == 999) && gpu.users > 0) gpu.sticky = code;
    return code;
}

// The two ways into a function: one that needs cuInit only, and one that needs the current context. Both lock on success.
static int enter(const char* name) {
    int code = faults_call(name);
    if (code) {
        pthread_mutex_lock(&gpu.lock);
        stick(code);
        pthread_mutex_unlock(&gpu.lock);
        return code;
    }
    if (!gpu.initialized) return NOT_INITIALIZED;
    pthread_mutex_lock(&gpu.lock);
    return OK;
}
static int enter_context(const char* name) {
    int code = enter(name);
    if (code) return code;
    code = gpu.users == 0 || current != gpu.generation ? INVALID_CONTEXT : gpu.sticky;
    if (code) pthread_mutex_unlock(&gpu.lock);
    return code;
}
static int leave(int code) {
    pthread_mutex_unlock(&gpu.lock);
    return code;
}
#define ENTER(name) do { int code_ = enter(name); if (code_) return code_; } while (0)
#define ENTER_CONTEXT(name) do { int code_ = enter_context(name); if (code_) return code_; } while (0)

static void told_live(int change) {
    static int live;
    const char* path = getenv("FAKE_CUDA_LIVE");
    FILE* file = path ? fopen(path, "w") : NULL;
    live += change;
    if (!file) return;
    fprintf(file, "%d\n", live);
    fclose(file);
}
static struct thing* add(int kind, size_t bytes) {
    struct thing* thing = calloc(1, sizeof *thing);
    if (!thing) return NULL;
    thing->kind = kind;
    thing->bytes = bytes;
    thing->at = bytes ? calloc(1, bytes) : thing;
    if (!thing->at) {
        free(thing);
        return NULL;
    }
    thing->next = gpu.things;
    gpu.things = thing;
    if (kind == MEMORY) gpu.used += bytes;
    told_live(1);
    return thing;
}
static struct thing* find(int kind, const void* at) {
    for (struct thing* thing = gpu.things; thing; thing = thing->next)
        if (thing->kind == kind && thing->at == at) return thing;
    return NULL;
}
static int take_away(int kind, const void* at) {
    for (struct thing** link = &gpu.things; *link; link = &(*link)->next) {
        struct thing* thing = *link;
        if (thing->kind != kind || thing->at != at) continue;
        *link = thing->next;
        if (kind == MEMORY) gpu.used -= thing->bytes;
        if (thing->at != thing) free(thing->at);
        free(thing);
        told_live(-1);
        return OK;
    }
    return kind == MEMORY || kind == PINNED ? INVALID_VALUE : INVALID_HANDLE;
}
static void forget_context(void) {
    while (gpu.things) take_away(gpu.things->kind, gpu.things->at);
    gpu.sticky = 0;
    gpu.generation++;
}
static int give_back(const char* name, int kind, const void* at) {
    int code = enter_context(name);
    if (!code) code = leave(at ? take_away(kind, at) : kind == MEMORY ? OK : INVALID_VALUE);
    if (code && STRICT) abort();
    return code;
}
static int within_device(uintptr_t at, size_t bytes) {
    for (struct thing* thing = gpu.things; thing; thing = thing->next) {
        uintptr_t start = (uintptr_t)thing->at;
        if ((thing->kind == MEMORY || thing->kind == PINNED) && at >= start && at - start <= thing->bytes &&
            bytes <= thing->bytes - (at - start))
            return 1;
    }
    return 0;
}
static int device_there(int device) { return device >= 0 && device < number("FAKE_CUDA_DEVICES", 1); }

// ---- driver and device ----
OUT int cuInit(unsigned flags) {
    int code = faults_call("cuInit");
    if (code) return code;
    if (flags) return INVALID_VALUE;
    if (number("FAKE_CUDA_DEVICES", 1) < 1) return NO_DEVICE;
    pthread_mutex_lock(&gpu.lock);
    gpu.initialized = 1;
    if (!gpu.generation) gpu.generation = 1;
    return leave(OK);
}
OUT int cuDriverGetVersion(int* version) {
    int code = faults_call("cuDriverGetVersion");
    if (code) return code;
    if (!version) return INVALID_VALUE;
    *version = (int)number("FAKE_CUDA_VERSION", VERSION);
    return OK;
}
OUT int cuDeviceGetCount(int* count) {
    int code = enter("cuDeviceGetCount");
    *count = code ? 0 : (int)number("FAKE_CUDA_DEVICES", 1);
    return code == FAULTS_NONE ? OK : code ? code : leave(OK);
}
OUT int cuDeviceGet(int* device, int ordinal) {
    ENTER("cuDeviceGet");
    if (!device_there(ordinal)) return leave(INVALID_DEVICE);
    *device = ordinal;
    return leave(OK);
}
OUT int cuDeviceGetName(char* name, int room, int device) {
    ENTER("cuDeviceGetName");
    if (!device_there(device) || room < 1) return leave(INVALID_DEVICE);
    snprintf(name, (size_t)room, "Fake GPU %d", device);
    return leave(OK);
}
OUT int cuDeviceGetAttribute(int* value, int attribute, int device) {
    long capability = number("FAKE_CUDA_CAPABILITY", CAPABILITY);
    ENTER("cuDeviceGetAttribute");
    if (!device_there(device)) return leave(INVALID_DEVICE);
    switch (attribute) {
        case 18: *value = (int)number("FAKE_CUDA_INTEGRATED", 0); break; // INTEGRATED
        case 19: *value = 1; break;                                     // CAN_MAP_HOST_MEMORY
        case 75: *value = (int)(capability / 10); break;                // COMPUTE_CAPABILITY_MAJOR
        case 76: *value = (int)(capability % 10); break;                // COMPUTE_CAPABILITY_MINOR
        default: *value = 0;
    }
    return leave(OK);
}

// ---- primary context ----
OUT int cuDevicePrimaryCtxRetain(void** context, int device) {
    ENTER("cuDevicePrimaryCtxRetain");
    if (!device_there(device)) return leave(INVALID_DEVICE);
    gpu.users++;
    *context = (void*)(uintptr_t)(0x10000 + gpu.generation);
    return leave(OK);
}
static int release(int device) {
    if (!device_there(device)) return leave(INVALID_DEVICE);
    if (gpu.users == 0) return leave(INVALID_CONTEXT);
    if (--gpu.users == 0) forget_context();
    return leave(OK);
}
static int reset(int device) {
    if (!device_there(device)) return leave(INVALID_DEVICE);
    forget_context();
    return leave(OK);
}
OUT int cuDevicePrimaryCtxRelease(int device) {
    ENTER("cuDevicePrimaryCtxRelease");
    return release(device);
}
OUT int cuDevicePrimaryCtxReset(int device) {
    ENTER("cuDevicePrimaryCtxReset");
    return reset(device);
}
#ifndef FAKE_CUDA_10
OUT int cuDevicePrimaryCtxRelease_v2(int device) {
    ENTER("cuDevicePrimaryCtxRelease_v2");
    return release(device);
}
OUT int cuDevicePrimaryCtxReset_v2(int device) {
    ENTER("cuDevicePrimaryCtxReset_v2");
    return reset(device);
}
#endif
OUT int cuCtxSetCurrent(void* context) {
    ENTER("cuCtxSetCurrent");
    if (!context) {
        current = 0;
        return leave(OK);
    }
    if ((uintptr_t)context != 0x10000 + gpu.generation || gpu.users == 0) return leave(INVALID_CONTEXT);
    current = gpu.generation;
    return leave(gpu.sticky);
}

// ---- memory ----
OUT int cuMemAlloc_v2(uint64_t* device, size_t bytes) {
    struct thing* thing;
    ENTER_CONTEXT("cuMemAlloc_v2");
    if (!bytes) return leave(INVALID_VALUE);
    if (bytes > capacity() - gpu.used || !(thing = add(MEMORY, bytes))) return leave(NO_MEMORY);
    *device = (uint64_t)(uintptr_t)thing->at;
    return leave(OK);
}
OUT int cuMemFree_v2(uint64_t device) { return give_back("cuMemFree_v2", MEMORY, (void*)(uintptr_t)device); }
OUT int cuMemHostAlloc(void** host, size_t bytes, unsigned flags) {
    ENTER_CONTEXT("cuMemHostAlloc");
    struct thing* thing;
    (void)flags;
    if (!bytes) return leave(INVALID_VALUE);
    if (!(thing = add(PINNED, bytes))) return leave(NO_MEMORY);
    *host = thing->at;
    return leave(OK);
}
OUT int cuMemFreeHost(void* host) { return give_back("cuMemFreeHost", PINNED, host); }

// ---- copies; `stream` may be NULL, the default stream ----
static int is_whole(int kind, const void* at, size_t bytes) {
    struct thing* thing = find(kind, at);
    return thing && thing->bytes == bytes;
}
static int copy(void* to, const void* from, uint64_t device, size_t bytes, void* stream) {
    const void* host = (uintptr_t)to == device ? from : to;
    if (STRICT && !(is_whole(MEMORY, (void*)(uintptr_t)device, bytes) && is_whole(PINNED, host, bytes))) return leave(INVALID_VALUE);
    if (stream && !find(STREAM, stream)) return leave(INVALID_HANDLE);
    if (!within_device((uintptr_t)device, bytes)) return leave(INVALID_VALUE);
    memcpy(to, from, bytes);
    return leave(OK);
}
OUT int cuMemcpyHtoDAsync_v2(uint64_t device, const void* host, size_t bytes, void* stream) {
    ENTER_CONTEXT("cuMemcpyHtoDAsync_v2");
    return copy((void*)(uintptr_t)device, host, device, bytes, stream);
}
OUT int cuMemcpyDtoHAsync_v2(void* host, uint64_t device, size_t bytes, void* stream) {
    ENTER_CONTEXT("cuMemcpyDtoHAsync_v2");
    return copy(host, (const void*)(uintptr_t)device, device, bytes, stream);
}

// ---- streams and events ----
static int fresh(int kind, void** out) {
    struct thing* thing = add(kind, 0);
    if (!thing) return leave(NO_MEMORY);
    *out = thing;
    return leave(OK);
}
OUT int cuStreamCreate(void** stream, unsigned flags) {
    ENTER_CONTEXT("cuStreamCreate");
    (void)flags;
    return fresh(STREAM, stream);
}
// All work is done at once, so there is nothing to wait for.
static int done(const char* name, int kind, const void* handle) {
    ENTER_CONTEXT(name);
    return leave((kind == STREAM && !handle) || find(kind, handle) ? OK : INVALID_HANDLE);
}
OUT int cuStreamSynchronize(void* stream) { return done("cuStreamSynchronize", STREAM, stream); }
OUT int cuEventSynchronize(void* event) { return done("cuEventSynchronize", EVENT, event); }
OUT int cuStreamDestroy_v2(void* stream) { return give_back("cuStreamDestroy_v2", STREAM, stream); }
OUT int cuEventCreate(void** event, unsigned flags) {
    ENTER_CONTEXT("cuEventCreate");
    (void)flags;
    return fresh(EVENT, event);
}
OUT int cuEventRecord(void* event, void* stream) {
    struct thing* thing;
    ENTER_CONTEXT("cuEventRecord");
    if (!(thing = find(EVENT, event)) || (stream && !find(STREAM, stream))) return leave(INVALID_HANDLE);
    clock_gettime(CLOCK_MONOTONIC, &thing->when);
    thing->recorded = 1;
    return leave(OK);
}
OUT int cuEventElapsedTime(float* ms, void* from, void* to) {
    struct thing *start, *end;
    ENTER_CONTEXT("cuEventElapsedTime");
    start = find(EVENT, from), end = find(EVENT, to);
    if (!start || !end || !start->recorded || !end->recorded) return leave(INVALID_HANDLE);
    *ms = (float)(end->when.tv_sec - start->when.tv_sec) * 1e3f + (float)(end->when.tv_nsec - start->when.tv_nsec) / 1e6f;
    return leave(OK);
}
OUT int cuEventDestroy_v2(void* event) { return give_back("cuEventDestroy_v2", EVENT, event); }

// ---- for tests in this process ----
OUT void fake_cuda_fail(const char* plan) { faults_set(plan); }
OUT unsigned long fake_cuda_calls(const char* function) { return faults_count(function); }
OUT unsigned long fake_cuda_live(void) {
    unsigned long live = 0;
    pthread_mutex_lock(&gpu.lock);
    for (struct thing* thing = gpu.things; thing; thing = thing->next) live++;
    pthread_mutex_unlock(&gpu.lock);
    return live;
}
OUT void fake_cuda_stick(int code) {
    pthread_mutex_lock(&gpu.lock);
    stick(code);
    pthread_mutex_unlock(&gpu.lock);
}
