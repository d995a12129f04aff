// What both halves of the shim share: the logger, the check of a library's pointers, memory without the C++ library.
//
// No half needs libstdc++: memory is malloc's, TensorRT's own objects are deleted by the library that made them (virtual destructors).
#pragma once
#pragma GCC visibility push(default)
#include "squint_trt.h"
#pragma GCC visibility pop

#include <NvInfer.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <new>

// The major whose layout the headers have. TensorRT-RTX counts by itself; from 1.6 on it has the layout of 11.
#ifdef TRT_MAJOR_RTX
#define SQUINT_RTX 1
#define SQUINT_MAJOR 11
static_assert(NV_TENSORRT_MAJOR > 1 || NV_TENSORRT_MINOR >= 6, "TensorRT-RTX before 1.6 has another layout");
#else
#define SQUINT_RTX 0
#define SQUINT_MAJOR NV_TENSORRT_MAJOR
#endif
static_assert(SQUINT_MAJOR == 8 || SQUINT_MAJOR == 10 || SQUINT_MAJOR == 11, "TensorRT 8, 10 and 11 are known");

struct SquintTrtLogger final : nvinfer1::ILogger {
    SquintTrtLogger(SquintTrtLog given, void* given_who) : to(given), who(given_who) {}
    void log(Severity severity, char const* text) noexcept override {
        if (to && text) to(who, static_cast<int32_t>(severity), text);
    }
    SquintTrtLog to;
    void* who;
};

namespace squint {

// Our own words, beside the library's. Severity 1: error, 2: warning.
__attribute__((format(printf, 3, 4))) inline void say(SquintTrtLogger* logger, int32_t severity, const char* format, ...) {
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    logger->log(static_cast<nvinfer1::ILogger::Severity>(severity), text);
}

// Without a driver some libraries return a small number such as 0x228 for NULL; touching that is a crash.
template <typename T>
T* real(T* pointer) {
    return reinterpret_cast<uintptr_t>(pointer) < 4096 ? nullptr : pointer;
}

// One of TensorRT's objects, deleted at the end of its scope. A false pointer becomes NULL.
template <typename T>
class Owned {
public:
    explicit Owned(T* given) : object(real(given)) {}
    ~Owned() { delete object; }
    Owned(Owned const&) = delete;
    Owned& operator=(Owned const&) = delete;
    T* operator->() const { return object; }
    T& operator*() const { return *object; }
    explicit operator bool() const { return object != nullptr; }
    T* release() {
        T* given = object;
        object = nullptr;
        return given;
    }

private:
    T* object;
};

template <typename T, typename... Values>
T* make(Values... values) {
    void* room = malloc(sizeof(T));
    return room ? new (room) T{values...} : nullptr;
}

typedef void* (*Create)(void* logger, int32_t version);

} // namespace squint
