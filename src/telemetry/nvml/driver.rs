//! What is asked of NVML, so that a made-up GPU can answer in the tests. Pure.

use std::fmt::Display;

/// A number that a GPU may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// °C.
    Temperature,
    /// mW.
    Power,
    /// MHz, of the streaming multiprocessors.
    Clock,
    /// MHz, the highest that the GPU is built for; clocks locked below that by the user are not
    /// told.
    ClockCap,
    /// Per cent of the last sample period in which something ran.
    Load,
    /// °C from which on software slows it down.
    SoftSlowdown,
    /// °C from which on the hardware slows it down.
    HardSlowdown,
    /// °C at which it switches itself off.
    Shutdown,
    /// 1 while heat or a power brake slows it down, 0 otherwise. Its everyday power limit does not
    /// count.
    Throttling,
}

/// What is asked of NVML.
pub trait Driver: Send {
    /// Why there is no answer.
    type Refusal: Display;

    /// How many GPUs there are, numbered from 0.
    fn count(&self) -> Result<u32, Self::Refusal>;
    /// Name of the product.
    fn name(&self, gpu: u32) -> Result<String, Self::Refusal>;
    /// The number now. Must not allocate.
    fn read(&self, gpu: u32, quantity: Quantity) -> Result<u32, Self::Refusal>;
    /// True if asking again would be in vain.
    fn is_final(refusal: &Self::Refusal) -> bool;
}
