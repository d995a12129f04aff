// What the two halves of the shim share: the version, the check of pointers, the logger, and memory from malloc instead of the C++ library.
#ifndef SQUINT_TRT_OWN_HPP
#define SQUINT_TRT_OWN_HPP

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <new>

#include <NvInfer.h>

// Everything is compiled hidden; the functions of this header are what the object shows.
#pragma GCC visibility push(default)
#include "squint_trt.h"
#pragma GCC visibility pop

// The interface the code is written against: 8 (bindings by number), 10 or 11 (tensors by name). TensorRT-RTX counts its own majors; from its
// 1.4 it has the interface of 11.
#if NV_TENSORRT_MAJOR == 1 && defined(TRT_MAJOR_RTX)
#define SQUINT_RTX 1
#define SQUINT_API 11
#else
#define SQUINT_RTX 0
#define SQUINT_API NV_TENSORRT_MAJOR
#endif
#if SQUINT_API != 8 && SQUINT_API != 10 && SQUINT_API != 11
#error "the shim knows TensorRT 8, 10 and 11 and TensorRT-RTX 1"
#endif

// Memory of malloc for our own objects; of those that derive from TensorRT's, only this `delete` is ever run.
struct FromMalloc {
    static void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return calloc(1, bytes); }
    static void operator delete(void* memory) noexcept { free(memory); }
    static void operator delete(void* memory, const std::nothrow_t&) noexcept { free(memory); }
};

struct SquintTrtLogger final : FromMalloc, nvinfer1::ILogger {
    using FromMalloc::operator new;
    using FromMalloc::operator delete;

    SquintTrtLogger(SquintTrtLog log, void* who) noexcept : log_(log), who_(who) {}

    void log(Severity severity, const char* text) noexcept override
    {
        if (log_ != nullptr) {
            log_(who_, static_cast<int32_t>(severity), text != nullptr ? text : "");
        }
    }

    // A line of the shim's own, as an error.
    __attribute__((format(printf, 2, 3))) void say(const char* format, ...) noexcept
    {
        char text[512];
        va_list rest;
        va_start(rest, format);
        vsnprintf(text, sizeof text, format, rest);
        va_end(rest);
        log(Severity::kERROR, text);
    }

private:
    SquintTrtLog log_;
    void* who_;
};

// The pointer a library returned, if it can be one: without a driver some return 0x228 for an object. Says so to the log otherwise.
template <typename T>
T* sound(T* object, const char* call, SquintTrtLogger* logger) noexcept
{
    if (reinterpret_cast<uintptr_t>(object) >= 4096) {
        return object;
    }
    logger->say("%s gave no object (%p)", call, reinterpret_cast<const void*>(object));
    return nullptr;
}

// Deletes a library's object at the end of the block: through its virtual destructor, thus by the library itself.
template <typename T>
struct Owned {
    T* object;
    explicit Owned(T* taken) noexcept : object(taken) {}
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    ~Owned() { delete object; }
    explicit operator bool() const noexcept { return object != nullptr; }
    T* operator->() const noexcept { return object; }
    T& operator*() const noexcept { return *object; }
    T* release() noexcept
    {
        T* given = object;
        object = nullptr;
        return given;
    }
};

// createInferRuntime_INTERNAL and createInferBuilder_INTERNAL.
typedef void* (*SquintTrtCreate)(void* logger, int32_t version);

#endif
