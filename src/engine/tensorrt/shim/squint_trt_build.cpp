// The shim's building half: ONNX bytes in, a plan out. squint_trt.h is the contract, squint_trt.cpp the running half.
//
// For TensorRT 8 only calls that every 8.x has: the workspace by setMaxWorkspaceSize, no progress monitor (it came with 10; until then there
// are our own three phases). Entropy calibration where it exists, in 8 and 10; 11 types its networks strongly and knows no precision flags.
#include "squint_trt_own.hpp"
#include "squint_trt_progress.hpp"

#ifdef __has_include
#if __has_include(<NvOnnxParser.h>)
#include <NvOnnxParser.h>
#define SQUINT_PARSER 1
#endif
#endif

using nvinfer1::IBuilder;
using nvinfer1::IBuilderConfig;
using nvinfer1::INetworkDefinition;

static IBuilder* builder_new(void* create, SquintTrtLogger* logger) noexcept
{
    void* made = reinterpret_cast<SquintTrtCreate>(create)(static_cast<nvinfer1::ILogger*>(logger), NV_TENSORRT_VERSION);
    return sound(static_cast<IBuilder*>(made), "createInferBuilder", logger);
}

int32_t squint_trt_platform(void* create_builder, SquintTrtLogger* logger, SquintTrtPlatform* platform)
{
    if (create_builder == nullptr || logger == nullptr || platform == nullptr) {
        return 0;
    }
    Owned<IBuilder> builder(builder_new(create_builder, logger));
    if (!builder) {
        return 0;
    }
#if SQUINT_API == 11
    platform->fast_fp16 = platform->fast_int8 = -1;
#else
    platform->fast_fp16 = builder->platformHasFastFp16();
    platform->fast_int8 = builder->platformHasFastInt8();
#endif
    platform->dla_cores = builder->getNbDLACores();
    return 1;
}

#ifndef SQUINT_PARSER

int32_t squint_trt_build(const SquintTrtBuild* build)
{
    if (build != nullptr && build->logger != nullptr) {
        build->logger->say("this shim was built without NvOnnxParser.h and cannot build engines");
    }
    return 0;
}

#else

#if SQUINT_API != 11

// Entropy calibration: whole batches from the caller's pictures, or an earlier cache in place of them.
struct Calibrator final : FromMalloc, nvinfer1::IInt8EntropyCalibrator2 {
    Calibrator(const SquintTrtBuild& build, float* batch) noexcept : build_(build), batch_(batch) {}

    int32_t getBatchSize() const noexcept override { return build_.batch; }

    bool getBatch(void* bindings[], const char*[], int32_t inputs) noexcept override
    {
        if (build_.feed == nullptr || batch_ == nullptr || inputs != 1) {
            return false;
        }
        for (int32_t picture = 0; picture < build_.batch; picture++) {
            if (build_.feed(build_.who, batch_ + static_cast<size_t>(picture) * build_.values, build_.values) == 0) {
                return false; // no more; the pictures of a batch begun are left out
            }
        }
        size_t bytes = static_cast<size_t>(build_.batch) * build_.values * sizeof(float);
        if (build_.copy_to_device(build_.who, build_.device_batch, batch_, bytes) == 0) {
            build_.logger->say("the calibration batch could not be copied to the device");
            failed_ = true;
            return false;
        }
        bindings[0] = build_.device_batch;
        return true;
    }

    const void* readCalibrationCache(size_t& length) noexcept override
    {
        length = build_.calibration != nullptr ? build_.calibration_length : 0;
        return length > 0 ? build_.calibration : nullptr;
    }

    void writeCalibrationCache(const void* cache, size_t length) noexcept override
    {
        if (build_.calibrated != nullptr && build_.calibrated(build_.who, cache, length) == 0) {
            build_.logger->say("the calibration cache was not taken");
            failed_ = true;
        }
    }

    // TensorRT takes an early end for the last picture, and would build from what it has seen.
    bool failed() const noexcept { return failed_; }

private:
    const SquintTrtBuild& build_;
    float* batch_;
    bool failed_ = false;
};

#endif

// Parses; the parser's errors go to the log.
static bool parse(const SquintTrtBuild& build, nvonnxparser::IParser& parser) noexcept
{
    bool parsed = parser.parse(build.onnx, build.onnx_length);
    int32_t errors = parser.getNbErrors();
    for (int32_t index = 0; index < errors && index < 8; index++) {
        const nvonnxparser::IParserError* error = parser.getError(index);
        build.logger->say("ONNX node %d: %s", error->node(), error->desc());
    }
    if (!parsed) {
        build.logger->say("the ONNX file was not parsed, %d errors", errors);
    }
    return parsed;
}

// An open first dimension becomes one picture (`batch` of them while calibrating); others must be fixed.
static bool fix_batch(const SquintTrtBuild& build, IBuilder& builder, INetworkDefinition& network, IBuilderConfig& config, bool calibrating) noexcept
{
    nvinfer1::IOptimizationProfile* profiles[2] = {nullptr, nullptr};
    for (int32_t index = 0; index < network.getNbInputs(); index++) {
        nvinfer1::ITensor* input = network.getInput(index);
        nvinfer1::Dims dims = input->getDimensions();
        for (int32_t axis = 1; axis < dims.nbDims; axis++) {
            if (dims.d[axis] < 0) {
                build.logger->say("input %s leaves dimension %d open; only the first may be", input->getName(), axis);
                return false;
            }
        }
        if (dims.nbDims < 1 || dims.d[0] >= 0) {
            continue;
        }
        for (int32_t kind = 0; kind <= static_cast<int32_t>(calibrating); kind++) {
            if (profiles[kind] == nullptr) {
                profiles[kind] = sound(builder.createOptimizationProfile(), "createOptimizationProfile", build.logger);
            }
            if (profiles[kind] == nullptr) {
                return false;
            }
            dims.d[0] = kind == 0 ? 1 : build.batch;
            using nvinfer1::OptProfileSelector;
            const OptProfileSelector ends[] = {OptProfileSelector::kMIN, OptProfileSelector::kOPT, OptProfileSelector::kMAX};
            for (OptProfileSelector end : ends) {
                if (!profiles[kind]->setDimensions(input->getName(), end, dims)) {
                    build.logger->say("input %s does not take a batch of %d", input->getName(), static_cast<int>(dims.d[0]));
                    return false;
                }
            }
        }
    }
    if (profiles[0] != nullptr && config.addOptimizationProfile(profiles[0]) < 0) {
        build.logger->say("addOptimizationProfile refused");
        return false;
    }
#if SQUINT_API != 11
    if (profiles[1] != nullptr && !config.setCalibrationProfile(profiles[1])) {
        build.logger->say("setCalibrationProfile refused");
        return false;
    }
#endif
    return true;
}

// Workspace, precision, device. What this TensorRT does not have and the caller may not do without is refused.
static bool configure(const SquintTrtBuild& build, IBuilder& builder, IBuilderConfig& config) noexcept
{
    if (build.workspace_bytes > 0) {
#if SQUINT_API == 8
        config.setMaxWorkspaceSize(build.workspace_bytes);
#else
        config.setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, build.workspace_bytes);
#endif
    }
#if SQUINT_API != 11
    if (build.fp16 != 0) {
        config.setFlag(nvinfer1::BuilderFlag::kFP16);
    }
    if (build.int8 != 0) {
        config.setFlag(nvinfer1::BuilderFlag::kINT8);
    }
#endif
    if (build.dla_core >= 0) {
        if (build.dla_core >= builder.getNbDLACores()) {
            build.logger->say("there is no DLA core %d, this machine has %d", build.dla_core, builder.getNbDLACores());
            return false;
        }
        config.setDefaultDeviceType(nvinfer1::DeviceType::kDLA);
        config.setDLACore(build.dla_core);
        config.setFlag(nvinfer1::BuilderFlag::kGPU_FALLBACK);
    }
    if (build.capability != 0) {
#if SQUINT_RTX
        nvinfer1::ComputeCapability capability = static_cast<nvinfer1::ComputeCapability>(build.capability);
        if (!config.setNbComputeCapabilities(1) || !config.setComputeCapability(capability, 0)) {
            build.logger->say("compute capability %d.%d was refused", build.capability / 10, build.capability % 10);
            return false;
        }
#else
        build.logger->say("only TensorRT-RTX builds for a compute capability; this one builds for the GPU of this machine");
        return false;
#endif
    }
    return true;
}

// A timing cache that the configuration takes: the caller's, or an empty one where that is of another TensorRT or GPU. NULL: there is none.
static nvinfer1::ITimingCache* timing_cache(const SquintTrtBuild& build, IBuilderConfig& config) noexcept
{
    if (build.timing_cache != nullptr) {
        Owned<nvinfer1::ITimingCache> given(sound(config.createTimingCache(build.timing_cache, build.timing_cache_length), "createTimingCache", build.logger));
        if (given && config.setTimingCache(*given, false)) {
            return given.release();
        }
        build.logger->say("the timing cache was made elsewhere and is not used");
    }
    Owned<nvinfer1::ITimingCache> empty(sound(config.createTimingCache(nullptr, 0), "createTimingCache", build.logger));
    return empty && config.setTimingCache(*empty, false) ? empty.release() : nullptr;
}

int32_t squint_trt_build(const SquintTrtBuild* wanted)
{
    if (wanted == nullptr || wanted->logger == nullptr) {
        return 0;
    }
    const SquintTrtBuild& build = *wanted;
    SquintTrtLogger* logger = build.logger;
    bool feeding = build.feed != nullptr;
    bool whole = build.create_builder != nullptr && build.create_parser != nullptr && build.onnx != nullptr && build.plan != nullptr;
    if (!whole || (feeding && (build.batch < 1 || build.values == 0 || build.device_batch == nullptr || build.copy_to_device == nullptr))) {
        logger->say("the order to build is not complete");
        return 0;
    }

    Progress progress(build);
    if (!progress.tell("parse", 0, 1)) {
        return 0;
    }
    Owned<IBuilder> builder(builder_new(build.create_builder, logger));
    if (!builder) {
        return 0;
    }
    // TensorRT 8 must be told that the batch is a dimension like others; from 10 on it always is.
    uint32_t flags = SQUINT_API == 8 ? 1 : 0;
    Owned<INetworkDefinition> network(sound(builder->createNetworkV2(flags), "createNetwork", logger));
    Owned<IBuilderConfig> config(network ? sound(builder->createBuilderConfig(), "createBuilderConfig", logger) : nullptr);
    if (!config) {
        return 0;
    }
    void* made = reinterpret_cast<void* (*)(void*, void*, int)>(build.create_parser)(
        network.object, static_cast<nvinfer1::ILogger*>(logger), NV_ONNX_PARSER_VERSION);
    Owned<nvonnxparser::IParser> parser(sound(static_cast<nvonnxparser::IParser*>(made), "createNvOnnxParser", logger));
    if (!parser || !parse(build, *parser) || !progress.tell("parse", 1, 1) || !configure(build, *builder, *config)) {
        return 0;
    }

    bool calibrating = build.int8 != 0 && (feeding || build.calibration != nullptr);
    if (!fix_batch(build, *builder, *network, *config, calibrating && feeding)) {
        return 0;
    }
#if SQUINT_API == 11
    if (calibrating) {
        logger->say("TensorRT 11 calibrates no networks; int8 comes with the ONNX file, as Q and DQ nodes");
        return 0;
    }
#else
    struct Batch {
        void* memory;
        ~Batch() { free(memory); }
    } batch = {calibrating && feeding ? calloc(static_cast<size_t>(build.batch), build.values * sizeof(float)) : nullptr};
    if (calibrating && feeding && batch.memory == nullptr) {
        logger->say("no memory for a calibration batch");
        return 0;
    }
    Calibrator calibrator(build, static_cast<float*>(batch.memory));
    if (calibrating) {
        config->setInt8Calibrator(&calibrator);
    }
#endif
#if SQUINT_API != 8
    if (build.progress != nullptr) {
        config->setProgressMonitor(&progress);
    }
#endif
    bool timing = build.timing_cache != nullptr || build.timed != nullptr;
    Owned<nvinfer1::ITimingCache> timings(timing ? timing_cache(build, *config) : nullptr); // must outlive the build

    if (!progress.tell("build", 0, 1)) {
        return 0;
    }
    Owned<nvinfer1::IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
    if (progress.gave_up()) {
        logger->say("the build was given up, as told");
        return 0;
    }
#if SQUINT_API != 11
    if (calibrator.failed()) {
        return 0;
    }
#endif
    plan.object = sound(plan.object, "buildSerializedNetwork", logger);
    if (!plan || !progress.tell("build", 1, 1)) {
        return 0;
    }
    if (build.timed != nullptr && timings) {
        Owned<nvinfer1::IHostMemory> cache(sound(timings->serialize(), "the timing cache's serialize", logger));
        if (!cache || build.timed(build.who, cache->data(), cache->size()) == 0) {
            logger->say("the timing cache was not taken");
        }
    }
    return build.plan(build.who, plan->data(), plan->size()) != 0;
}

#endif
