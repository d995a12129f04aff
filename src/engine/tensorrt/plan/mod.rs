//! TensorRT plans: what was built from which model for which GPU, where it lies, and how the next
//! one comes to be.
//!
//! TensorRT calls a built network a plan, its file `.engine`. [`name`] is what a plan is built for,
//! [`sidecar`] all that is known of one, [`failure`] the memory of a build that failed,
//! [`hardware`] what a GPU can compute in: all pure. [`cache`] is the folder they lie in, [`build`]
//! makes one and keeps it, [`child`] does so in a process of its own, [`build_queue`] says whose
//! turn it is. Not here: whoever calls TensorRT. It is handed in as a [`build::Builder`] and gets
//! bytes that were checked.

pub mod build;
pub mod build_queue;
pub mod cache;
pub mod child;
pub mod failure;
pub mod hardware;
pub mod name;
pub mod sidecar;
mod text;
