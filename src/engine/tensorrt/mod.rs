//! NVIDIA's TensorRT as a backend: engines built on the board itself, kept between starts, calibrated for int8.
//!
//! [`plan`] is what was built and how building goes; [`calibration`] is what int8 needs beforehand. Neither touches a vendor
//! library.

pub mod calibration;
pub mod plan;
