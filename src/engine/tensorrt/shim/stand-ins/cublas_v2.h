// Stands in for a header that TensorRT's plugin headers name and the shim does not need.
