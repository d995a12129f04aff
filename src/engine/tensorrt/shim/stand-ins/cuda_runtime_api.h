// Stands in for CUDA's header of this name, of which TensorRT's headers want two pointer types: so the shim is built without CUDA's toolkit.
#ifndef SQUINT_CUDA_RUNTIME_API_H
#define SQUINT_CUDA_RUNTIME_API_H
typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
#endif
