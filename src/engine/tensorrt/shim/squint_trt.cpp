// The half of the shim that runs engines: logger, runtime, engine, context. What each call promises stands in squint_trt.h.
//
// One source for all majors. Up to 8 tensors are counted ("bindings") and enqueueV2 is called: valid from 8.0 to 8.6, whichever of these
// headers it is built with. From 10 on tensors have names and enqueueV3 is called. Only methods that every minor of a major has are used:
// a method is a place in a table, and an older library has no such place.
#include "common.hpp"

using namespace nvinfer1;
using squint::make;
using squint::Owned;
using squint::real;
using squint::say;

#define COUNTED (SQUINT_MAJOR == 8)

// The classes in NVIDIA's headers have virtual destructors, so the compiler emits deleting ones here too. Nothing calls them: what the
// library made is deleted by the library, what is made here is freed here.
void operator delete(void*) noexcept {}
void operator delete(void*, size_t) noexcept {}
extern "C" void __cxa_pure_virtual(void) { abort(); }

struct SquintTrtRuntime {
    IRuntime* it;
    SquintTrtLogger* logger;
};
struct SquintTrtEngine {
    ICudaEngine* it;
    SquintTrtLogger* logger;
    int32_t tensors;
};
struct SquintTrtContext {
    IExecutionContext* it;
    SquintTrtEngine* engine;
    void** bound; // one address a tensor
};

int32_t squint_trt_face(void) { return SQUINT_TRT_FACE; }
int32_t squint_trt_headers(void) { return NV_TENSORRT_VERSION; }

SquintTrtLogger* squint_trt_logger_new(SquintTrtLog log, void* who) { return make<SquintTrtLogger>(log, who); }
void squint_trt_logger_delete(SquintTrtLogger* logger) {
    if (!logger) return;
    logger->~SquintTrtLogger();
    free(logger);
}

// ---- runtime ----
SquintTrtRuntime* squint_trt_runtime_new(void* create, SquintTrtLogger* logger) {
    if (!logger) return nullptr;
    if (!create) return say(logger, 1, "no createInferRuntime_INTERNAL was handed in"), nullptr;
    void* made = reinterpret_cast<squint::Create>(create)(static_cast<ILogger*>(logger), NV_TENSORRT_VERSION);
    if (!real(made)) return say(logger, 1, "TensorRT made no runtime (it returned %p)", made), nullptr;
    Owned<IRuntime> runtime(static_cast<IRuntime*>(made));
    SquintTrtRuntime* ours = make<SquintTrtRuntime>(&*runtime, logger);
    if (!ours) return say(logger, 1, "out of memory"), nullptr;
    runtime.release();
    return ours;
}
void squint_trt_runtime_delete(SquintTrtRuntime* runtime) {
    if (!runtime) return;
    delete runtime->it;
    free(runtime);
}

// ---- engine ----
static int32_t count(ICudaEngine& engine) {
#if COUNTED
    return engine.getNbBindings();
#else
    return engine.getNbIOTensors();
#endif
}

SquintTrtEngine* squint_trt_engine_new(SquintTrtRuntime* runtime, const void* bytes, size_t length) {
    if (!runtime) return nullptr;
    if (!bytes || !length) return say(runtime->logger, 1, "the engine file is empty"), nullptr;
    Owned<ICudaEngine> engine(runtime->it->deserializeCudaEngine(bytes, length));
    if (!engine) return say(runtime->logger, 1, "TensorRT refused the engine file"), nullptr;
    int32_t tensors = count(*engine);
    if (tensors < 0) return say(runtime->logger, 1, "TensorRT says that the engine has %d tensors", tensors), nullptr;
    SquintTrtEngine* ours = make<SquintTrtEngine>(&*engine, runtime->logger, tensors);
    if (!ours) return say(runtime->logger, 1, "out of memory"), nullptr;
    engine.release();
    return ours;
}
void squint_trt_engine_delete(SquintTrtEngine* engine) {
    if (!engine) return;
    delete engine->it;
    free(engine);
}

int32_t squint_trt_tensors(SquintTrtEngine* engine) { return engine ? engine->tensors : 0; }

static const char* name_of(SquintTrtEngine* engine, int32_t index) {
#if COUNTED
    return real(engine->it->getBindingName(index));
#else
    return real(engine->it->getIOTensorName(index));
#endif
}

// Squint's number of an element type; OTHER too for what does not lie plainly on the device, one value after the other.
static int32_t type_of(DataType type, bool plain) {
    if (!plain) return SQUINT_TRT_OTHER;
    switch (type) {
        case DataType::kFLOAT: return SQUINT_TRT_FLOAT32;
        case DataType::kHALF: return SQUINT_TRT_FLOAT16;
        case DataType::kINT8: return SQUINT_TRT_INT8;
        case DataType::kINT32: return SQUINT_TRT_INT32;
        default: return SQUINT_TRT_OTHER;
    }
}

int32_t squint_trt_tensor(SquintTrtEngine* engine, int32_t index, SquintTrtTensor* tensor) {
    if (!engine || !tensor) return 0;
    if (index < 0 || index >= engine->tensors) return say(engine->logger, 1, "the engine has no tensor %d", index), 0;
    const char* name = name_of(engine, index);
    if (!name) return say(engine->logger, 1, "TensorRT has no name for tensor %d", index), 0;
    size_t length = strnlen(name, SQUINT_TRT_NAME);
    if (length == SQUINT_TRT_NAME)
        return say(engine->logger, 1, "the name of tensor %d is longer than %d bytes", index, SQUINT_TRT_NAME - 1), 0;
#if COUNTED
    Dims dims = engine->it->getBindingDimensions(index);
    bool input = engine->it->bindingIsInput(index);
    bool plain = engine->it->getBindingFormat(index) == TensorFormat::kLINEAR;
    DataType type = engine->it->getBindingDataType(index);
#else
    Dims dims = engine->it->getTensorShape(name);
    bool input = engine->it->getTensorIOMode(name) == TensorIOMode::kINPUT;
    bool plain = engine->it->getTensorFormat(name) == TensorFormat::kLINEAR &&
                 engine->it->getTensorLocation(name) == TensorLocation::kDEVICE;
    DataType type = engine->it->getTensorDataType(name);
#endif
    if (dims.nbDims < 0 || dims.nbDims > SQUINT_TRT_RANK || dims.nbDims > Dims::MAX_DIMS)
        return say(engine->logger, 1, "tensor `%.200s` has %d dimensions", name, static_cast<int>(dims.nbDims)), 0;
    memset(tensor, 0, sizeof *tensor);
    memcpy(tensor->name, name, length);
    tensor->is_input = input;
    tensor->type = type_of(type, plain);
    tensor->rank = dims.nbDims;
    for (int32_t i = 0; i < dims.nbDims; i++) tensor->dims[i] = dims.d[i];
    return 1;
}

uint64_t squint_trt_device_bytes(SquintTrtEngine* engine) {
    if (!engine) return 0;
#if SQUINT_MAJOR == 11
    int64_t bytes = engine->it->getDeviceMemorySizeV2();
    return bytes > 0 ? static_cast<uint64_t>(bytes) : 0;
#else
    return engine->it->getDeviceMemorySize(); // its successor came with 10.1
#endif
}

// ---- context ----
SquintTrtContext* squint_trt_context_new(SquintTrtEngine* engine) {
    if (!engine) return nullptr;
    Owned<IExecutionContext> context(engine->it->createExecutionContext());
    if (!context) return say(engine->logger, 1, "TensorRT made no execution context"), nullptr;
    void** bound = static_cast<void**>(calloc(static_cast<size_t>(engine->tensors) + 1, sizeof(void*)));
    SquintTrtContext* ours = bound ? make<SquintTrtContext>(&*context, engine, bound) : nullptr;
    if (!ours) return free(bound), say(engine->logger, 1, "out of memory"), nullptr;
    context.release();
    return ours;
}
void squint_trt_context_delete(SquintTrtContext* context) {
    if (!context) return;
    delete context->it;
    free(context->bound);
    free(context);
}

int32_t squint_trt_bind(SquintTrtContext* context, int32_t index, void* device) {
    if (!context) return 0;
    SquintTrtEngine* engine = context->engine;
    if (index < 0 || index >= engine->tensors) return say(engine->logger, 1, "the engine has no tensor %d", index), 0;
#if !COUNTED
    const char* name = name_of(engine, index);
    if (!name || !context->it->setTensorAddress(name, device))
        return say(engine->logger, 1, "TensorRT takes no address for tensor %d", index), 0;
#endif
    context->bound[index] = device;
    return 1;
}

int32_t squint_trt_enqueue(SquintTrtContext* context, void* stream) {
    if (!context) return 0;
    for (int32_t i = 0; i < context->engine->tensors; i++)
        if (!context->bound[i]) return say(context->engine->logger, 1, "tensor %d has no address yet", i), 0;
#if COUNTED
    bool done = context->it->enqueueV2(context->bound, static_cast<cudaStream_t>(stream), nullptr);
#else
    bool done = context->it->enqueueV3(static_cast<cudaStream_t>(stream));
#endif
    if (!done) say(context->engine->logger, 1, "TensorRT did not take the frame into the stream");
    return done;
}
