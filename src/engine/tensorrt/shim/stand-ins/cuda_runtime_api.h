// The two names that TensorRT's headers take from CUDA's, so that no CUDA toolkit is needed to compile against them. Only pointers to
// these cross the seam; nothing of CUDA is called here.
#pragma once
typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
