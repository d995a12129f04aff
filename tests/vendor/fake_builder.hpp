// The building half of the fake of TensorRT: builder, network, configuration, parser. What it accepts stands in fake_nvinfer.cpp.
#pragma once
#include "fake_objects.hpp"

#if FAKE_MAJOR == 11
#define FAKE_NOEXCEPT noexcept // as the header declares it
#else
#define FAKE_NOEXCEPT
#endif

namespace fake {

using namespace nvinfer1;

// ---- bytes ----
inline void* bytes_of(Rest* self) { return &self->bytes[0]; }
inline size_t length_of(Rest* self) { return self->bytes.size(); }
inline void* host_memory(ILogger* logger, const std::string& bytes, int fault) {
    static const Table methods = Table().at(&apiv::VHostMemory::data, &bytes_of).at(&apiv::VHostMemory::size, &length_of);
    void* memory = make(methods, logger, fault);
    if (!fault) rest(memory).bytes = bytes;
    return memory;
}

// ---- timing cache ----
inline std::string timing_words() { return "FAKETIMING " + std::to_string(FAKE_MAJOR) + "\n"; }
inline void* serialize_timing(Rest* self) { return host_memory(self->logger, self->bytes, faults_call("serialize")); }
inline void* create_timing(Rest* self, const char* bytes, size_t length) {
    static const Table methods = Table().at(&apiv::VTimingCache::serialize, &serialize_timing);
    int fault = faults_call("timing");
    if (length && std::string(bytes, length).compare(0, 11, "FAKETIMING ") != 0)
        return say(self->logger, 1, "fake: not a timing cache"), nullptr;
    void* cache = make(methods, self->logger, fault);
    if (!fault) rest(cache).bytes = length ? std::string(bytes, length) : timing_words();
    return cache;
}
inline bool set_timing(Rest* self, Object* cache, bool) {
    if (rest(cache).bytes != timing_words()) return say(self->logger, 2, "fake: timing cache of another version"), false;
    return self->timing = cache, true;
}
inline void* get_timing(Rest* self) { return self->timing; }

// ---- configuration ----
inline void ignore(Rest*) {}
inline bool accept(Rest*) { return true; }
inline int32_t first(Rest*) { return 0; }
inline void set_flag(Rest* self, BuilderFlag flag) {
#if FAKE_MAJOR == 11
    (void)self, (void)flag; // strongly typed: only kGPU_FALLBACK and the like are left
#else
    self->fp16 |= flag == BuilderFlag::kFP16;
    self->int8 |= flag == BuilderFlag::kINT8;
#endif
}
inline void set_calibrator(Rest* self, void* calibrator) { self->calibrator = calibrator; }
inline void set_monitor(Rest* self, void* monitor) { self->monitor = monitor; }

inline void* create_config(Rest* self) {
    static const Table methods = [] {
        typedef apiv::VBuilderConfig V;
        Table table;
        table.at(&V::setFlag, &set_flag).at(&V::setDefaultDeviceType, &ignore).at(&V::setDLACore, &ignore);
        table.at(&V::createTimingCache, &create_timing).at(&V::setTimingCache, &set_timing).at(&V::getTimingCache, &get_timing);
        table.at(&V::addOptimizationProfile, &first);
#if FAKE_MAJOR == 8
        table.at(&V::setMaxWorkspaceSize, &ignore);
#else
        table.at(&V::setMemoryPoolLimit, &ignore).at(&V::setProgressMonitor, &set_monitor);
#endif
#if FAKE_MAJOR != 11
        table.at(&V::setInt8Calibrator, &set_calibrator).at(&V::setCalibrationProfile, &accept);
#endif
#ifdef TRT_MAJOR_RTX
        table.at(&V::setNbComputeCapabilities, &accept).at(&V::setComputeCapability, &accept);
#endif
        return table;
    }();
    return make(methods, self->logger, faults_call("createConfig"));
}

// ---- network ----
inline Dims tensor_dims(Rest* self) { return dims(self->tensors[0]); }
inline const char* tensor_name(Rest* self) { return self->tensors[0].name.c_str(); }
inline int32_t inputs(Rest* self) { return static_cast<int32_t>(self->inputs.size()); }
inline void* input(Rest* self, int32_t index) { return self->inputs[static_cast<size_t>(index)]; }
inline void* create_network(Rest* self, uint32_t) {
    static const Table methods = Table().at(&apiv::VNetworkDefinition::getNbInputs, &inputs).at(&apiv::VNetworkDefinition::getInput, &input);
    return make(methods, self->logger, faults_call("createNetwork"));
}
inline void* create_profile(Rest* self) {
    static const Table methods = Table().at(&apiv::VOptimizationProfile::setDimensions, &accept);
    Object* profile = static_cast<Object*>(make(methods, self->logger));
    self->inputs.push_back(profile); // the builder's own: nobody else deletes it
    return profile;
}

// ---- building ----
// Calibrates as TensorRT does: the cache if there is one, else pictures until there are no more; false if there is neither.
inline bool calibrate(ILogger* logger, const Tensor& tensor, void* with) {
#if FAKE_MAJOR == 11
    (void)logger, (void)tensor, (void)with;
    return true;
#else
    IInt8Calibrator* calibrator = static_cast<IInt8Calibrator*>(with);
    size_t length = 0;
    const char* cache = static_cast<const char*>(calibrator->readCalibrationCache(length));
    if (cache && length > 4 && memcmp(cache, "TRT-", 4) == 0) return say(logger, 3, "fake: calibration cache taken"), true;
    void* bindings[1] = {nullptr};
    const char* names[1] = {tensor.name.c_str()};
    int batches = 0;
    double sum = 0;
    while (!faults_call("batch") && calibrator->getBatch(bindings, names, 1)) batches++, sum += static_cast<double>(*static_cast<const float*>(bindings[0]));
    if (!batches) return say(logger, 1, "fake: calibration without a picture"), false;
    char words[200];
    int used = snprintf(words, sizeof words, "TRT-%d-EntropyCalibration2\n%s: %08x\n", static_cast<int>(NV_TENSORRT_VERSION),
                        tensor.name.c_str(), static_cast<unsigned>(batches));
    calibrator->writeCalibrationCache(words, static_cast<size_t>(used));
    say(logger, 3, "fake: calibrated with %d batches of %d, first values sum to %g", batches, calibrator->getBatchSize(), sum);
    return true;
#endif
}

inline void* build(Rest* self, Object* network, Object* config) {
    const Rest &net = rest(network), &how = rest(config);
    int fault = faults_call("build");
    if (net.tensors.empty()) return say(self->logger, 1, "fake: the network has no tensors"), nullptr;
    if (how.int8 && how.calibrator && !calibrate(self->logger, net.tensors[0], how.calibrator)) return nullptr;
    for (int step = 0; step < 4; step++) {
        if (faults_call("step")) return say(self->logger, 1, "fake: no tactic was found for a layer, as told"), nullptr;
#if FAKE_MAJOR != 8
        IProgressMonitor* monitor = static_cast<IProgressMonitor*>(how.monitor);
        if (monitor && step == 0) monitor->phaseStart("Building Engine", nullptr, 4);
        if (monitor && !monitor->stepComplete("Building Engine", step)) return say(self->logger, 2, "fake: build cancelled"), nullptr;
        if (monitor && step == 3) monitor->phaseFinish("Building Engine");
#endif
    }
    std::string plan = "FAKEPLAN 1\nmajor " + std::to_string(FAKE_MAJOR) + "\ncapability " + std::to_string(capability()) + "\n";
    plan += std::string("precision ") + (how.int8 ? "int8" : how.fp16 ? "fp16" : "fp32") + "\n";
    static const char* types[] = {"float", "half", "int8", "int32"};
    for (const Tensor& tensor : net.tensors) {
        plan += "tensor " + tensor.name + (tensor.input ? " in " : " out ") + types[static_cast<int>(tensor.type) & 3];
        for (int64_t dim : tensor.dims) plan += " " + std::to_string(dim < 0 ? 1 : dim);
        plan += "\n";
    }
    if (fault == 1) say(self->logger, 1, "fake: the build failed, as told");
    return host_memory(self->logger, plan + "end\n", fault);
}

inline void* create_builder(ILogger* logger) {
    static const Table methods = [] {
        typedef apiv::VBuilder V;
        Table table;
        table.at(&V::createNetworkV2, &create_network).at(&V::createBuilderConfig, &create_config).at(&V::getNbDLACores, &first);
        table.at(&V::createOptimizationProfile, &create_profile).at(&V::buildSerializedNetwork, &build);
#if FAKE_MAJOR != 11
        table.at(&V::platformHasFastFp16, &accept).at(&V::platformHasFastInt8, &accept);
#endif
        return table;
    }();
    int fault = faults_call("createBuilder");
    if (fault == 1) say(logger, 1, "fake: no builder, as told");
    return make(methods, logger, fault);
}

// ---- parser: an object with its methods in its own table ----
struct Parser {
    const Place* methods;
    Rest* network;
    ILogger* logger;
    bool failed;
};
struct ParserError {
    const Place* methods;
};
inline int error_node(ParserError*) { return 7; }
inline const char* error_words(ParserError*) { return "fake: this is not an ONNX model"; }
inline int errors(Parser* self) { return self->failed; }
inline void* error_at(Parser*, int) {
    typedef nvonnxparser::IParserError V;
    static const Table methods = Table().at(&V::node, &error_node).at(&V::desc, &error_words);
    static ParserError error{methods.places};
    return &error;
}
inline bool parse(Parser* self, const char* bytes, size_t length, const char*) {
    std::string text(bytes, length);
    self->failed = true;
    if (faults_call("parse")) return false;
    if (text.compare(0, 8, "FAKEONNX") != 0) {
        if (text.empty() || text[0] != 8) return false;
        text = "tensor images in float 1 3 224 224\ntensor scores out float 1 1000\n";
    }
    if (!read_tensors(text, self->network->tensors) || self->network->tensors.empty()) return false;
    static const Table methods = Table().at(&apiv::VTensor::getDimensions, &tensor_dims).at(&apiv::VTensor::getName, &tensor_name);
    for (const Tensor& tensor : self->network->tensors) {
        if (!tensor.input) continue;
        Object* made = static_cast<Object*>(make(methods, self->logger));
        rest(made).tensors.push_back(tensor);
        self->network->inputs.push_back(made);
    }
    self->failed = false;
    return true;
}
inline void destroy_parser(Parser* self) {
    live_objects--;
    delete self;
}

inline void* create_parser(void* network, ILogger* logger) {
    static const Table methods = [] {
        typedef nvonnxparser::IParser V;
        Table table;
        table.at(&V::parse, &parse).at(&V::getNbErrors, &errors).at(&V::getError, &error_at);
        table.places[slot(&V::clearErrors) + 2] = reinterpret_cast<Place>(&destroy_parser); // the deleting destructor: declared next
        return table;
    }();
    int fault = faults_call("createParser");
    if (fault) return fault == 1 ? nullptr : reinterpret_cast<void*>(static_cast<uintptr_t>(fault));
    live_objects++;
    return new Parser{methods.places, &rest(network), logger, false};
}

} // namespace fake
