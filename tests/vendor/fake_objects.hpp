// How the fake of TensorRT makes objects that NVIDIA's headers take for theirs, whatever the major.
//
// From 8 on a class such as IRuntime is two pointers: to its own table of virtual functions (its destructors) and to an implementation,
// whose table has a place for each method. The places are not written down here: they are read from the headers, as the compiler counts
// them (`slot`), so one source serves every major, and a method that the shim calls and the fake has not ends the process by name of its
// place. A fake proves our logic and never NVIDIA's layout: fake and shim are always built with the same headers.
#pragma once
#include <NvInfer.h>
#include <NvOnnxParser.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>

#include <string>
#include <utility>
#include <vector>

#define FAULTS_VARIABLE "FAKE_TRT_FAIL"
#define FAULTS_FILE_VARIABLE "FAKE_TRT_FAIL_FILE"
#include "fake_faults.h"

#ifdef TRT_MAJOR_RTX
#define FAKE_MAJOR 11
#else
#define FAKE_MAJOR NV_TENSORRT_MAJOR
#endif

namespace fake {

typedef void* Place;
enum { PLACES = 160 };

template <int N>
void no_such_method() {
    fprintf(stderr, "fake TensorRT: place %d of a table was called, and the fake has nothing there\n", N);
    abort();
}

// The place of a virtual method in its class's table: what a pointer to member holds in the C++ ABI of Linux.
template <typename Method>
size_t slot(Method method) {
    struct {
        uintptr_t pointer, adjust;
    } parts;
    static_assert(sizeof parts == sizeof method, "pointers to members are two words");
    memcpy(&parts, &method, sizeof parts);
#ifdef __aarch64__
    return parts.pointer / sizeof(Place);
#else
    return (parts.pointer - 1) / sizeof(Place);
#endif
}

struct Table {
    Place places[PLACES];
    Table() { fill(std::make_integer_sequence<int, PLACES>()); }
    template <int... N>
    void fill(std::integer_sequence<int, N...>) {
        Place all[] = {reinterpret_cast<Place>(&no_such_method<N>)...};
        memcpy(places, all, sizeof places);
    }
    template <typename Method, typename Function>
    Table& at(Method method, Function function) {
        places[slot(method)] = reinterpret_cast<Place>(function);
        return *this;
    }
};

struct Tensor {
    std::string name;
    bool input;
    nvinfer1::DataType type;
    std::vector<int64_t> dims;
};

struct Object;
struct Rest; // what stands behind `implementation`
// What NVIDIA's headers see of each object, and behind it whatever any of ours needs.
struct Object {
    const Place* destructors;
    Rest* implementation;
};
struct Rest {
    const Place* methods;
    Object* object;
    nvinfer1::ILogger* logger;
    std::vector<Tensor> tensors;
    std::string bytes; // of a plan, a cache
    std::vector<void*> addresses;
    std::vector<Object*> inputs; // of a network, as ITensor
    bool fp16, int8;
    void *calibrator, *monitor, *timing;
    long* live; // the count of the library that made it
};
static long live_objects; // made and not deleted

inline void destroy(Object* object) {
    __atomic_fetch_sub(object->implementation->live, 1, __ATOMIC_RELAXED);
    for (Object* input : object->implementation->inputs) destroy(input);
    delete object->implementation;
    delete object;
}
inline void destroy_nothing(Object*) {} // the complete-object destructor, which only the deleting one is ever called around

// An object whose implementation has these methods. `fault`: 0, or what the plan of faults says the making is to give.
inline void* make(const Table& methods, nvinfer1::ILogger* logger, int fault = 0) {
    static const Place destructors[] = {reinterpret_cast<Place>(&destroy_nothing), reinterpret_cast<Place>(&destroy)};
    if (fault) return fault == 1 ? nullptr : reinterpret_cast<void*>(static_cast<uintptr_t>(fault)); // 552: 0x228
    Rest* rest = new Rest();
    rest->methods = methods.places;
    rest->logger = logger;
    rest->object = new Object{destructors, rest};
    rest->live = &live_objects;
    __atomic_fetch_add(rest->live, 1, __ATOMIC_RELAXED);
    return rest->object;
}
inline Rest& rest(void* object) { return *static_cast<Object*>(object)->implementation; }

__attribute__((format(printf, 3, 4))) inline void say(nvinfer1::ILogger* logger, int severity, const char* format, ...) {
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (logger) logger->log(static_cast<nvinfer1::ILogger::Severity>(severity), text);
}

inline int capability() { return getenv("FAKE_CUDA_CAPABILITY") ? atoi(getenv("FAKE_CUDA_CAPABILITY")) : 86; }

// Lines `tensor NAME in|out float|half|int8|int32 DIM...`; false if a line is wrong.
inline bool read_tensors(const std::string& text, std::vector<Tensor>& tensors) {
    size_t at = 0;
    while (at < text.size()) {
        size_t end = text.find('\n', at);
        if (end == std::string::npos) return false; // cut off
        std::string line = text.substr(at, end - at);
        at = end + 1;
        char name[300], way[8], type[8];
        int used = 0;
        if (line.compare(0, 7, "tensor ") != 0) continue;
        if (sscanf(line.c_str(), "tensor %299s %7s %7s%n", name, way, type, &used) != 3) return false;
        std::string word = type;
        int number = word == "float" ? 0 : word == "half" ? 1 : word == "int8" ? 2 : word == "int32" ? 3 : 5;
        Tensor tensor{name, std::string(way) == "in", static_cast<nvinfer1::DataType>(number), {}};
        const char* rest_of_line = line.c_str() + used;
        long long dim;
        for (int step; sscanf(rest_of_line, "%lld%n", &dim, &step) == 1; rest_of_line += step) tensor.dims.push_back(dim);
        tensors.push_back(tensor);
    }
    return true;
}

inline nvinfer1::Dims dims(const Tensor& tensor) {
    nvinfer1::Dims dims{};
    dims.nbDims = static_cast<int32_t>(tensor.dims.size());
    for (size_t i = 0; i < tensor.dims.size() && i < 8; i++)
        dims.d[i] = static_cast<typename std::remove_reference<decltype(dims.d[0])>::type>(tensor.dims[i]);
    return dims;
}

} // namespace fake
