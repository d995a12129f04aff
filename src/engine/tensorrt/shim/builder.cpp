// The half of the shim that builds engines: parser, configuration, calibration, plan. What it promises stands in squint_trt.h.
#include "common.hpp"

#include <NvOnnxParser.h>

using namespace nvinfer1;
using squint::Owned;
using squint::real;
using squint::say;

#define CALIBRATES (SQUINT_MAJOR < 11) // later only explicit Q/DQ
#define MONITORED (SQUINT_MAJOR >= 10) // 8.6 has no way to set one that 8.2 would not mistake for another call

namespace {

typedef void* (*CreateParser)(void* network, void* logger, int version);

#if MONITORED
// Hands TensorRT's nested phases on; a `no` from there ends the build at the next step.
class Monitor final : public IProgressMonitor {
public:
    explicit Monitor(const SquintTrtBuild& given) : build(given) {}
    void phaseStart(char const* phase, char const*, int32_t steps) noexcept override { tell(phase, 0, steps); }
    bool stepComplete(char const* phase, int32_t step) noexcept override { return tell(phase, step + 1, 0); }
    void phaseFinish(char const*) noexcept override {}
    bool stopped = false; // TensorRT calls from one thread at a time

private:
    bool tell(const char* phase, int32_t done, int32_t steps) noexcept {
        if (!stopped && !build.progress(build.who, phase, done, steps)) stopped = true;
        return !stopped;
    }
    const SquintTrtBuild& build;
};
#endif

#if CALIBRATES
// Shows TensorRT pictures in whole batches; what is left over at the end is not used.
class Calibrator final : public IInt8EntropyCalibrator2 {
public:
    explicit Calibrator(const SquintTrtBuild& given) : build(given) {
        host = build.feed ? static_cast<float*>(calloc(static_cast<size_t>(build.batch) * build.values, sizeof(float))) : nullptr;
    }
    ~Calibrator() noexcept override { free(host); }
    bool ready() const { return host || !build.feed; }
    int32_t getBatchSize() const noexcept override { return build.batch; }
    bool getBatch(void* bindings[], char const*[], int32_t many) noexcept override {
        if (!host) return false;
        for (int32_t i = 0; i < build.batch; i++)
            if (!build.feed(build.who, host + static_cast<size_t>(i) * build.values, build.values)) return false;
        size_t bytes = static_cast<size_t>(build.batch) * build.values * sizeof(float);
        if (!build.copy_to_device(build.who, build.device_batch, host, bytes)) return failed = true, false;
        for (int32_t i = 0; i < many; i++) bindings[i] = build.device_batch; // networks with one input only: see build()
        return true;
    }
    void const* readCalibrationCache(size_t& length) noexcept override {
        length = build.calibration ? build.calibration_length : 0;
        return build.calibration;
    }
    void writeCalibrationCache(void const* bytes, size_t length) noexcept override {
        if (build.calibrated && !build.calibrated(build.who, bytes, length)) failed = true;
    }
    bool failed = false;

private:
    const SquintTrtBuild& build;
    float* host;
};
#endif

bool parse(nvonnxparser::IParser& parser, const SquintTrtBuild& build) {
    if (parser.parse(build.onnx, build.onnx_length)) return true;
    say(build.logger, 1, "the ONNX file was not understood");
    for (int i = 0; i < parser.getNbErrors() && i < 8; i++) {
        const nvonnxparser::IParserError* error = real(parser.getError(i));
        const char* what = error ? real(error->desc()) : nullptr;
        if (what) say(build.logger, 1, "ONNX node %d: %.400s", error->node(), what);
    }
    return false;
}

bool configure(IBuilderConfig& config, const SquintTrtBuild& build) {
    if (build.workspace_bytes) {
#if SQUINT_MAJOR == 8
        config.setMaxWorkspaceSize(build.workspace_bytes);
#else
        config.setMemoryPoolLimit(MemoryPoolType::kWORKSPACE, build.workspace_bytes);
#endif
    }
#if CALIBRATES
    if (build.fp16) config.setFlag(BuilderFlag::kFP16);
    if (build.int8) config.setFlag(BuilderFlag::kINT8);
#else
    if (build.feed || build.calibration)
        return say(build.logger, 1, "this TensorRT has no calibration; int8 takes an ONNX file with Q/DQ nodes"), false;
#endif
    if (build.dla_core >= 0) {
        config.setDefaultDeviceType(DeviceType::kDLA);
        config.setDLACore(build.dla_core);
        config.setFlag(BuilderFlag::kGPU_FALLBACK);
    }
    if (build.capability) {
#if SQUINT_RTX
        if (!config.setNbComputeCapabilities(1) || !config.setComputeCapability(static_cast<ComputeCapability>(build.capability), 0))
            return say(build.logger, 1, "TensorRT-RTX does not build for compute capability %d", build.capability), false;
#else
        return say(build.logger, 1, "only TensorRT-RTX builds for a GPU that is not there"), false;
#endif
    }
    return true;
}

// The timing cache: the given one, or an empty one where that is from another TensorRT or GPU. NULL where there is none to be had.
ITimingCache* timing_cache(IBuilderConfig& config, const SquintTrtBuild& build) {
    if (!build.timed && !build.timing_cache) return nullptr;
    Owned<ITimingCache> cache(config.createTimingCache(build.timing_cache, build.timing_cache ? build.timing_cache_length : 0));
    if (cache && config.setTimingCache(*cache, false)) return cache.release();
    if (build.timing_cache) {
        say(build.logger, 2, "the timing cache is not of this TensorRT and GPU; starting an empty one");
        Owned<ITimingCache> empty(config.createTimingCache(nullptr, 0));
        if (empty && config.setTimingCache(*empty, false)) return empty.release();
    }
    say(build.logger, 2, "no timing cache can be had");
    return nullptr;
}

bool goes_on(const SquintTrtBuild& build, const char* phase, int32_t done) {
    if (!build.progress || build.progress(build.who, phase, done, 1)) return true;
    say(build.logger, 2, "the build was given up before: %s", phase);
    return false;
}

bool hand_out(const IHostMemory& memory, SquintTrtBytes to, const SquintTrtBuild& build, const char* what) {
    if (to(build.who, memory.data(), memory.size())) return true;
    say(build.logger, 1, "the %s was not taken", what);
    return false;
}

int32_t run(const SquintTrtBuild& build) {
    SquintTrtLogger* logger = build.logger;
    Owned<IBuilder> builder(
        static_cast<IBuilder*>(reinterpret_cast<squint::Create>(build.create_builder)(static_cast<ILogger*>(logger), NV_TENSORRT_VERSION)));
    if (!builder) return say(logger, 1, "TensorRT made no builder"), 0;
#if SQUINT_MAJOR == 8
    Owned<INetworkDefinition> network(
        builder->createNetworkV2(1U << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kEXPLICIT_BATCH)));
#else
    Owned<INetworkDefinition> network(builder->createNetworkV2(0));
#endif
    Owned<IBuilderConfig> config(builder->createBuilderConfig());
    if (!network || !config) return say(logger, 1, "TensorRT made no network or no configuration"), 0;
    if (!goes_on(build, "parse", 0)) return 0;
    Owned<nvonnxparser::IParser> parser(static_cast<nvonnxparser::IParser*>(reinterpret_cast<CreateParser>(build.create_parser)(
        &*network, static_cast<ILogger*>(logger), NV_ONNX_PARSER_VERSION)));
    if (!parser) return say(logger, 1, "TensorRT made no ONNX parser"), 0;
    if (!parse(*parser, build) || !configure(*config, build)) return 0;

#if CALIBRATES
    Calibrator calibrator(build);
    if (build.int8 && (build.feed || build.calibration)) {
        if (!calibrator.ready()) return say(logger, 1, "out of memory"), 0;
        if (network->getNbInputs() != 1) return say(logger, 1, "calibration is for networks with one input"), 0;
        config->setInt8Calibrator(&calibrator);
    }
#endif
    Owned<ITimingCache> timings(timing_cache(*config, build));
#if MONITORED
    Monitor monitor(build);
    if (build.progress) config->setProgressMonitor(&monitor);
#endif
    if (!goes_on(build, "build", 0)) return 0;
    Owned<IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
#if CALIBRATES
    if (calibrator.failed) return say(logger, 1, "calibration failed: a batch or the cache could not be handed on"), 0;
#endif
#if MONITORED
    if (monitor.stopped) return say(logger, 2, "the build was given up"), 0;
#endif
    if (!plan || !plan->data() || !plan->size()) return say(logger, 1, "TensorRT built no engine"), 0;
    if (timings && build.timed) { // a lost cache costs the next build time, and nothing else
        Owned<IHostMemory> bytes(timings->serialize());
        if (!bytes || !hand_out(*bytes, build.timed, build, "timing cache")) say(logger, 2, "the timing cache is lost");
    }
    return hand_out(*plan, build.plan, build, "plan");
}

} // namespace

int32_t squint_trt_build(const SquintTrtBuild* build) {
    if (!build || !build->logger) return 0;
    if (!build->create_builder || !build->create_parser || !build->onnx || !build->onnx_length || !build->plan)
        return say(build->logger, 1, "the build lacks an entry point, the ONNX file or a place for the plan"), 0;
    if (build->feed && (build->batch < 1 || !build->values || !build->device_batch || !build->copy_to_device))
        return say(build->logger, 1, "calibration lacks its batch"), 0;
    return run(*build);
}

int32_t squint_trt_platform(void* create_builder, SquintTrtLogger* logger, SquintTrtPlatform* platform) {
    if (!logger || !platform) return 0;
    if (!create_builder) return say(logger, 1, "no createInferBuilder_INTERNAL was handed in"), 0;
    Owned<IBuilder> builder(
        static_cast<IBuilder*>(reinterpret_cast<squint::Create>(create_builder)(static_cast<ILogger*>(logger), NV_TENSORRT_VERSION)));
    if (!builder) return say(logger, 1, "TensorRT made no builder"), 0;
#if CALIBRATES
    platform->fast_fp16 = builder->platformHasFastFp16();
    platform->fast_int8 = builder->platformHasFastInt8();
#else
    platform->fast_fp16 = platform->fast_int8 = -1;
#endif
    platform->dla_cores = builder->getNbDLACores();
    return 1;
}
