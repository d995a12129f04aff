// A libnvinfer and a libnvonnxparser for tests, of the major whose headers it is built with (8, 10, 11), with faults on demand.
//
// A plan is text:  FAKEPLAN 1 | major 11 | capability 86 | tensor images in float 1 3 4 4 | tensor scores out float 1 5 | end  (one a line).
// Another major, another capability than FAKE_CUDA_CAPABILITY (86), a missing `end` or anything else: refused, with a line in the log.
// Enqueue, at once: every value of output tensor number k (of 0, 1 ...) becomes  mean(all values of the float inputs) * (position + 1) + k.
// An ONNX file is anything that begins with byte 8, as real ones do, and then is a network from `images` (1 3 224 224) to `scores`
// (1 1000); or text `FAKEONNX` and lines `tensor ...` as above.
//
// FAKE_TRT_FAIL and FAKE_TRT_FAIL_FILE hold plans of faults (fake_faults.h) for: createRuntime deserialize format createContext
// setAddress enqueue createBuilder createNetwork createConfig createParser parse build batch step timing serialize. 1 fails, another number below 4096 is
// returned in place of a pointer or a format (552 is the 0x228 of real ones), from 700 on `enqueue` goes well and breaks the context of fake_cuda.c.
// FAKE_TRT_THREAD set: a line from another thread comes with each plan. In one process: fake_trt_fail(plan), fake_trt_calls(call),
// fake_trt_live(): objects that were made and not deleted; the parser's library counts its own.
#include "fake_objects.hpp"

#include "fake_builder.hpp"

using namespace nvinfer1;
#define OUT extern "C" __attribute__((visibility("default")))

namespace fake {

// ---- context ----
size_t values(const Tensor& tensor) {
    size_t product = 1;
    for (int64_t dim : tensor.dims) product *= static_cast<size_t>(dim);
    return product;
}

bool compute(Rest* self) {
    double sum = 0;
    size_t many = 0, outputs = 0;
    for (size_t i = 0; i < self->tensors.size(); i++)
        if (!self->addresses[i]) return say(self->logger, 1, "fake: tensor %s has no address", self->tensors[i].name.c_str()), false;
    for (size_t i = 0; i < self->tensors.size(); i++) {
        const Tensor& tensor = self->tensors[i];
        if (!tensor.input || tensor.type != DataType::kFLOAT) continue;
        const float* at = static_cast<const float*>(self->addresses[i]);
        for (size_t n = values(tensor); n > 0; n--, many++) sum += static_cast<double>(*at++);
    }
    for (size_t i = 0; i < self->tensors.size(); i++) {
        const Tensor& tensor = self->tensors[i];
        if (tensor.input || tensor.type != DataType::kFLOAT) continue;
        float* at = static_cast<float*>(self->addresses[i]);
        float mean = many ? static_cast<float>(sum / static_cast<double>(many)) : 0;
        for (size_t n = 0; n < values(tensor); n++) at[n] = mean * static_cast<float>(n + 1) + static_cast<float>(outputs);
        outputs++;
    }
    return true;
}

bool enqueue(Rest* self, void* const* bindings) {
    int fault = faults_call("enqueue");
    if (fault && fault < 700) return say(self->logger, 1, "fake: enqueue failed, as told"), false;
    if (bindings) self->addresses.assign(bindings, bindings + self->tensors.size());
    if (!compute(self)) return false;
    if (fault) {
        void* cuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
        void (*stick)(int) = cuda ? reinterpret_cast<void (*)(int)>(dlsym(cuda, "fake_cuda_stick")) : nullptr;
        if (stick) stick(fault);
        if (cuda) dlclose(cuda);
    }
    return true;
}
bool enqueue_counted(Rest* self, void* const* bindings, void*, void*) { return enqueue(self, bindings); }
bool enqueue_named(Rest* self, void*) { return enqueue(self, nullptr); }
bool set_address(Rest* self, const char* name, void* address) {
    if (faults_call("setAddress")) return false;
    for (size_t i = 0; i < self->tensors.size(); i++)
        if (self->tensors[i].name == name) return self->addresses[i] = address, true;
    return false;
}

// ---- engine ----
int32_t count(Rest* self) { return static_cast<int32_t>(self->tensors.size()); }
size_t device_bytes(Rest*) { return 1 << 20; }
int32_t zero(Rest*) { return 0; } // kDEVICE
int32_t format(Rest*) { return faults_call("format"); } // 0: kLINEAR
const Tensor* named(Rest* self, const char* name) {
    for (const Tensor& tensor : self->tensors)
        if (tensor.name == name) return &tensor;
    return nullptr;
}
const char* name_of(Rest* self, int32_t index) { return self->tensors[static_cast<size_t>(index)].name.c_str(); }
void* create_context(Rest* self) {
    static const Table methods = [] {
        Table table;
#if FAKE_MAJOR == 8
        table.at(&apiv::VExecutionContext::enqueueV2, &enqueue_counted);
#else
        table.at(&apiv::VExecutionContext::enqueueV3, &enqueue_named).at(&apiv::VExecutionContext::setTensorAddress, &set_address);
#endif
        return table;
    }();
    int fault = faults_call("createContext");
    if (fault == 1) say(self->logger, 1, "fake: no memory for a context, as told");
    void* context = make(methods, self->logger, fault);
    if (fault) return context;
    rest(context).tensors = self->tensors;
    rest(context).addresses.resize(self->tensors.size());
    return context;
}
#if FAKE_MAJOR == 8
Dims dims_at(Rest* self, int32_t index) { return dims(self->tensors[static_cast<size_t>(index)]); }
bool is_input_at(Rest* self, int32_t index) { return self->tensors[static_cast<size_t>(index)].input; }
DataType type_at(Rest* self, int32_t index) { return self->tensors[static_cast<size_t>(index)].type; }
#else
Dims dims_named(Rest* self, const char* name) {
    const Tensor* tensor = named(self, name);
    return tensor ? dims(*tensor) : Dims{-1, {}};
}
TensorIOMode mode_named(Rest* self, const char* name) {
    const Tensor* tensor = named(self, name);
    return !tensor ? TensorIOMode::kNONE : tensor->input ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
}
DataType type_named(Rest* self, const char* name) {
    const Tensor* tensor = named(self, name);
    return tensor ? tensor->type : DataType::kFLOAT;
}
#endif

const Table& engine_methods() {
    static const Table methods = [] {
        typedef apiv::VCudaEngine V;
        Table table;
#if FAKE_MAJOR == 8
        table.at(&V::getNbBindings, &count).at(&V::getBindingName, &name_of).at(&V::getBindingDimensions, &dims_at);
        table.at(&V::bindingIsInput, &is_input_at).at(&V::getBindingDataType, &type_at).at(&V::getBindingFormat, &format);
#else
        table.at(&V::getNbIOTensors, &count).at(&V::getIOTensorName, &name_of).at(&V::getTensorShape, &dims_named);
        table.at(&V::getTensorIOMode, &mode_named).at(&V::getTensorDataType, &type_named);
        table.at(&V::getTensorFormat, &format).at(&V::getTensorLocation, &zero);
#endif
#if FAKE_MAJOR == 11
        table.at(&V::getDeviceMemorySizeV2, &device_bytes);
#else
        table.at(&V::getDeviceMemorySize, &device_bytes);
#endif
        table.at(&V::createExecutionContext, &create_context);
        return table;
    }();
    return methods;
}

// ---- runtime ----
void* log_from_elsewhere(void* logger) {
    say(static_cast<ILogger*>(logger), 3, "fake: a line from another thread");
    return nullptr;
}

void* deserialize(Rest* self, const char* bytes, size_t length) {
    int fault = faults_call("deserialize"), major = 0, made_for = 0;
    std::string text(bytes, length);
    std::vector<Tensor> tensors;
    if (getenv("FAKE_TRT_THREAD")) {
        pthread_t thread;
        if (pthread_create(&thread, nullptr, &log_from_elsewhere, self->logger) == 0) pthread_join(thread, nullptr);
    }
    if (text.compare(0, 11, "FAKEPLAN 1\n") != 0) return say(self->logger, 1, "fake: magic tag does not match, not a plan"), nullptr;
    if (sscanf(text.c_str() + 11, "major %d capability %d", &major, &made_for) != 2 || !read_tensors(text, tensors) ||
        text.size() < 4 || text.compare(text.size() - 4, 4, "end\n") != 0)
        return say(self->logger, 1, "fake: the plan is cut off or damaged"), nullptr;
    if (major != FAKE_MAJOR) return say(self->logger, 1, "fake: the plan is for TensorRT %d, this is %d", major, FAKE_MAJOR), nullptr;
    if (made_for != capability())
        return say(self->logger, 1, "fake: the plan is for compute capability %d, this is %d", made_for, capability()), nullptr;
    if (fault == 1) say(self->logger, 1, "fake: the plan is refused, as told");
    void* engine = make(engine_methods(), self->logger, fault);
    if (!fault) rest(engine).tensors = tensors;
    return engine;
}

const Table& runtime_methods() {
    static const Table methods = [] {
        Table table;
#if FAKE_MAJOR == 8
        table.at(&apiv::VRuntime::deserializeCudaEngine, &deserialize);
#else
        typedef ICudaEngine* (apiv::VRuntime::*FromBytes)(void const*, std::size_t);
        table.at(static_cast<FromBytes>(&apiv::VRuntime::deserializeCudaEngine), &deserialize);
#endif
        return table;
    }();
    return methods;
}

} // namespace fake

#ifndef FAKE_PARSER
OUT void* createInferRuntime_INTERNAL(void* logger, int32_t version) noexcept {
    ILogger* to = static_cast<ILogger*>(logger);
    int fault = faults_call("createRuntime");
    if (fault == 1) fake::say(to, 1, "fake: no runtime, as told");
    if (version != NV_TENSORRT_VERSION) fake::say(to, 2, "fake: this is %d, asked for by %d", static_cast<int>(NV_TENSORRT_VERSION), version);
    return fake::make(fake::runtime_methods(), to, fault);
}
OUT void* createInferBuilder_INTERNAL(void* logger, int32_t) noexcept { return fake::create_builder(static_cast<ILogger*>(logger)); }
OUT int32_t getInferLibVersion() noexcept { return NV_TENSORRT_VERSION; }
#else
OUT void* createNvOnnxParser_INTERNAL(void* network, void* logger, int) FAKE_NOEXCEPT {
    return fake::create_parser(network, static_cast<ILogger*>(logger));
}
#endif

OUT void fake_trt_fail(const char* plan) { faults_set(plan); }
OUT long fake_trt_live() { return __atomic_load_n(&fake::live_objects, __ATOMIC_RELAXED); }
OUT unsigned long fake_trt_calls(const char* call) { return faults_count(call); }
