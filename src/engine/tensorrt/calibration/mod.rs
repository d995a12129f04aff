//! What int8 needs before a plan is built: how large each tensor's numbers get, learned from
//! pictures.
//!
//! [`cache`] is TensorRT's own file of those scales, read and written (pure); [`pictures`] turns
//! photos into the tensors that TensorRT is fed, exactly as the daemon does; [`agreement`] judges
//! an int8 engine against the float32 one on photos that were held out (pure), which [`trial`]
//! shows them. Models that bring their scales along (Q/DQ, as the shipped int8 ones do) need none
//! of this.

pub mod agreement;
pub mod cache;
pub mod pictures;
pub mod trial;
