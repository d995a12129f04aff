// How far a build is: TensorRT's monitor where it has one (from 10 on), our own phases besides. For squint_trt_build.cpp alone.
#ifndef SQUINT_TRT_PROGRESS_HPP
#define SQUINT_TRT_PROGRESS_HPP

#include "squint_trt_own.hpp"

// Progress as the caller gets it: once told to give up, it stays so. Phases may overlap and come from several threads.
struct Progress final : FromMalloc
#if SQUINT_API != 8
    ,
                        nvinfer1::IProgressMonitor
#endif
{
    explicit Progress(const SquintTrtBuild& build) noexcept : build_(build) {}

    bool tell(const char* phase, int32_t done, int32_t steps) noexcept
    {
        if (!gave_up() && build_.progress != nullptr && build_.progress(build_.who, phase, done, steps) == 0) {
            __atomic_store_n(&gave_up_, true, __ATOMIC_RELEASE);
        }
        return !gave_up();
    }

    bool gave_up() const noexcept { return __atomic_load_n(&gave_up_, __ATOMIC_ACQUIRE); }

#if SQUINT_API != 8
    void phaseStart(const char* phase, const char*, int32_t steps) noexcept override
    {
        Hold hold(*this);
        for (Phase& seat : phases_) {
            if (seat.name[0] == '\0') {
                snprintf(seat.name, sizeof seat.name, "%s", phase);
                seat.steps = steps;
                break;
            }
        }
        tell(phase, 0, steps);
    }

    bool stepComplete(const char* phase, int32_t step) noexcept override
    {
        Hold hold(*this);
        Phase* seat = find(phase);
        return tell(phase, step + 1, seat != nullptr ? seat->steps : 0);
    }

    void phaseFinish(const char* phase) noexcept override
    {
        Hold hold(*this);
        Phase* seat = find(phase);
        if (seat != nullptr) {
            tell(phase, seat->steps, seat->steps);
            seat->name[0] = '\0';
        }
    }

private:
    struct Phase {
        char name[64]; // empty: free
        int32_t steps;
    };

    // The table and the caller's function, by one thread at a time; held for microseconds.
    struct Hold {
        Progress& of;
        explicit Hold(Progress& progress) noexcept : of(progress)
        {
            while (__atomic_test_and_set(&of.held_, __ATOMIC_ACQUIRE)) {
            }
        }
        ~Hold() { __atomic_clear(&of.held_, __ATOMIC_RELEASE); }
    };

    Phase* find(const char* phase) noexcept
    {
        for (Phase& seat : phases_) {
            if (seat.name[0] != '\0' && strncmp(seat.name, phase, sizeof seat.name - 1) == 0) {
                return &seat;
            }
        }
        return nullptr;
    }

    Phase phases_[16] = {};
    bool held_ = false;
#else
private:
#endif
    const SquintTrtBuild& build_;
    bool gave_up_ = false;
};

#endif
