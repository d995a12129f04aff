//! Processor time of the calling thread: what taking a sample cost. An edge module of one clock.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment of the thread's own processor time.
#[derive(Clone, Copy, Debug)]
pub struct Cost(Duration);

impl Cost {
    /// Now.
    pub fn begin() -> Self {
        Self(now())
    }

    /// Processor time of this thread since then.
    pub fn spent(self) -> Duration {
        now().saturating_sub(self.0)
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted() {
        let begun = Cost::begin();
        let mut rounds = 0_u64;
        while begun.spent() < Duration::from_millis(2) {
            rounds += 1;
        }
        assert!(rounds > 0 && begun.spent() >= Duration::from_millis(2));
    }
}
