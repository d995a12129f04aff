// The shim's running half: logger, runtime, engine, context. squint_trt.h is the contract, squint_trt_build.cpp the building half.
//
// For TensorRT 8 only calls that every 8.x has, so that one object serves them all: bindings by number and enqueueV2. From 10 on tensors go
// by name, and by enqueueV3. Calls the library through its objects' virtual functions alone; nothing of it is linked.
#include "squint_trt_own.hpp"

using nvinfer1::ICudaEngine;
using nvinfer1::IExecutionContext;
using nvinfer1::IRuntime;

struct SquintTrtRuntime : FromMalloc {
    IRuntime* runtime;
    SquintTrtLogger* logger;
};

struct SquintTrtEngine : FromMalloc {
    ICudaEngine* engine;
    SquintTrtLogger* logger;
};

struct SquintTrtContext : FromMalloc {
    IExecutionContext* context;
    SquintTrtLogger* logger;
    int32_t tensors;
#if SQUINT_API == 8
    void** bindings; // one for each tensor
#else
    const ICudaEngine* engine; // for the names
#endif
};

int32_t squint_trt_face(void) { return SQUINT_TRT_FACE; }

int32_t squint_trt_headers(void) { return NV_TENSORRT_VERSION; }

SquintTrtLogger* squint_trt_logger_new(SquintTrtLog log, void* who) { return new (std::nothrow) SquintTrtLogger(log, who); }

void squint_trt_logger_delete(SquintTrtLogger* logger) { delete logger; }

SquintTrtRuntime* squint_trt_runtime_new(void* create, SquintTrtLogger* logger)
{
    if (create == nullptr || logger == nullptr) {
        return nullptr;
    }
    void* made = reinterpret_cast<SquintTrtCreate>(create)(static_cast<nvinfer1::ILogger*>(logger), NV_TENSORRT_VERSION);
    IRuntime* runtime = sound(static_cast<IRuntime*>(made), "createInferRuntime", logger);
    if (runtime == nullptr) {
        return nullptr;
    }
    SquintTrtRuntime* own = new (std::nothrow) SquintTrtRuntime;
    if (own == nullptr) {
        delete runtime;
        return nullptr;
    }
    own->runtime = runtime;
    own->logger = logger;
    return own;
}

void squint_trt_runtime_delete(SquintTrtRuntime* runtime)
{
    if (runtime != nullptr) {
        delete runtime->runtime;
        delete runtime;
    }
}

SquintTrtEngine* squint_trt_engine_new(SquintTrtRuntime* runtime, const void* bytes, size_t length)
{
    if (runtime == nullptr || bytes == nullptr || length == 0) {
        return nullptr;
    }
    ICudaEngine* engine = runtime->runtime->deserializeCudaEngine(bytes, length);
    engine = sound(engine, "deserializeCudaEngine", runtime->logger);
    if (engine == nullptr) {
        return nullptr;
    }
    SquintTrtEngine* own = new (std::nothrow) SquintTrtEngine;
    if (own == nullptr) {
        delete engine;
        return nullptr;
    }
    own->engine = engine;
    own->logger = runtime->logger;
    return own;
}

void squint_trt_engine_delete(SquintTrtEngine* engine)
{
    if (engine != nullptr) {
        delete engine->engine;
        delete engine;
    }
}

static int32_t count(const ICudaEngine& engine) noexcept
{
#if SQUINT_API == 8
    return engine.getNbBindings();
#else
    return engine.getNbIOTensors();
#endif
}

int32_t squint_trt_tensors(SquintTrtEngine* engine) { return engine != nullptr ? count(*engine->engine) : 0; }

// `plain`: on the device, one value after the other. What is not is nothing that Squint can fill or read.
static int32_t element(nvinfer1::DataType type, bool plain) noexcept
{
    if (!plain) {
        return SQUINT_TRT_OTHER;
    }
    switch (type) {
    case nvinfer1::DataType::kFLOAT: return SQUINT_TRT_FLOAT32;
    case nvinfer1::DataType::kHALF: return SQUINT_TRT_FLOAT16;
    case nvinfer1::DataType::kINT8: return SQUINT_TRT_INT8;
    case nvinfer1::DataType::kINT32: return SQUINT_TRT_INT32;
    default: return SQUINT_TRT_OTHER;
    }
}

int32_t squint_trt_tensor(SquintTrtEngine* engine, int32_t index, SquintTrtTensor* tensor)
{
    if (engine == nullptr || tensor == nullptr || index < 0 || index >= count(*engine->engine)) {
        return 0;
    }
    const ICudaEngine& asked = *engine->engine;
#if SQUINT_API == 8
    const char* name = asked.getBindingName(index);
#else
    const char* name = asked.getIOTensorName(index);
#endif
    if (sound(name, "the name of a tensor", engine->logger) == nullptr) {
        return 0;
    }
    size_t length = strnlen(name, SQUINT_TRT_NAME);
    if (length == SQUINT_TRT_NAME) {
        engine->logger->say("tensor %d has a name of more than %d bytes", index, SQUINT_TRT_NAME - 1);
        return 0;
    }
#if SQUINT_API == 8
    nvinfer1::Dims dims = asked.getBindingDimensions(index);
    bool input = asked.bindingIsInput(index);
    nvinfer1::DataType type = asked.getBindingDataType(index);
    bool plain = asked.getBindingFormat(index) == nvinfer1::TensorFormat::kLINEAR;
#else
    nvinfer1::Dims dims = asked.getTensorShape(name);
    bool input = asked.getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
    nvinfer1::DataType type = asked.getTensorDataType(name);
    bool plain = asked.getTensorFormat(name) == nvinfer1::TensorFormat::kLINEAR && asked.getTensorLocation(name) == nvinfer1::TensorLocation::kDEVICE;
#endif
    if (dims.nbDims < 0 || dims.nbDims > SQUINT_TRT_RANK) {
        engine->logger->say("tensor %s has %d dimensions", name, static_cast<int>(dims.nbDims));
        return 0;
    }
    memset(tensor, 0, sizeof *tensor);
    memcpy(tensor->name, name, length + 1);
    tensor->is_input = input;
    tensor->type = element(type, plain);
    tensor->rank = dims.nbDims;
    for (int32_t axis = 0; axis < dims.nbDims; axis++) {
        tensor->dims[axis] = dims.d[axis];
    }
    return 1;
}

uint64_t squint_trt_device_bytes(SquintTrtEngine* engine)
{
    if (engine == nullptr) {
        return 0;
    }
#if SQUINT_API == 11
    int64_t bytes = engine->engine->getDeviceMemorySizeV2();
    return bytes > 0 ? static_cast<uint64_t>(bytes) : 0;
#else
    return engine->engine->getDeviceMemorySize();
#endif
}

SquintTrtContext* squint_trt_context_new(SquintTrtEngine* engine)
{
    if (engine == nullptr) {
        return nullptr;
    }
    IExecutionContext* context = sound(engine->engine->createExecutionContext(), "createExecutionContext", engine->logger);
    if (context == nullptr) {
        return nullptr;
    }
    SquintTrtContext* own = new (std::nothrow) SquintTrtContext;
    if (own == nullptr) {
        delete context;
        return nullptr;
    }
    own->context = context;
    own->logger = engine->logger;
    own->tensors = count(*engine->engine);
#if SQUINT_API == 8
    size_t slots = own->tensors > 0 ? static_cast<size_t>(own->tensors) : 1;
    own->bindings = static_cast<void**>(calloc(slots, sizeof(void*)));
    if (own->bindings == nullptr) {
        squint_trt_context_delete(own);
        return nullptr;
    }
#else
    own->engine = engine->engine;
#endif
    return own;
}

void squint_trt_context_delete(SquintTrtContext* context)
{
    if (context != nullptr) {
        delete context->context;
#if SQUINT_API == 8
        free(context->bindings);
#endif
        delete context;
    }
}

int32_t squint_trt_bind(SquintTrtContext* context, int32_t index, void* device)
{
    if (context == nullptr || index < 0 || index >= context->tensors) {
        return 0;
    }
#if SQUINT_API == 8
    context->bindings[index] = device;
    return 1;
#else
    const char* name = sound(context->engine->getIOTensorName(index), "the name of a tensor", context->logger);
    if (name == nullptr) {
        return 0;
    }
    if (!context->context->setTensorAddress(name, device)) {
        context->logger->say("setTensorAddress refused tensor %s", name);
        return 0;
    }
    return 1;
#endif
}

int32_t squint_trt_enqueue(SquintTrtContext* context, void* stream)
{
    if (context == nullptr) {
        return 0;
    }
    cudaStream_t queue = static_cast<cudaStream_t>(stream);
#if SQUINT_API == 8
    const char* call = "enqueueV2";
    for (int32_t index = 0; index < context->tensors; index++) {
        if (context->bindings[index] == nullptr) { // it would be written to; enqueueV3 looks by itself
            context->logger->say("tensor %d has no memory yet", index);
            return 0;
        }
    }
    bool taken = context->context->enqueueV2(context->bindings, queue, nullptr);
#else
    const char* call = "enqueueV3";
    bool taken = context->context->enqueueV3(queue);
#endif
    if (!taken) {
        context->logger->say("%s refused", call);
    }
    return taken;
}
