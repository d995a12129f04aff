// Empty: TensorRT's older headers include it, the shim uses nothing of it.
