//! The cost of this process, from /proc. A value that cannot be read is missing.

use std::fs;

use crate::observe::metrics::Process;

/// Clock ticks in a second as /proc counts them (USER_HZ, 100 on every Linux that Squint runs on).
fn ticks() -> f64 {
    rustix::param::clock_ticks_per_second().max(1) as f64
}

/// As it is now.
pub(super) fn read() -> Process {
    let statm = fs::read_to_string("/proc/self/statm").ok();
    let pages =
        statm.as_deref().and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    // one of the descriptors is that of the folder itself
    let open_fds = fs::read_dir("/proc/self/fd")
        .ok()
        .map(|entries| (entries.count() as u64).saturating_sub(1));
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let (threads, cpu_s) = stat.as_deref().map_or((None, None), of_stat);
    Process {
        resident_bytes: pages.map(|pages| pages * rustix::param::page_size() as u64),
        open_fds,
        threads,
        cpu_s,
    }
}

/// Threads and CPU seconds from /proc/PID/stat; the name in it may hold anything, so fields count
/// from its closing bracket.
fn of_stat(text: &str) -> (Option<u64>, Option<f64>) {
    let Some((_, rest)) = text.rsplit_once(')') else { return (None, None) };
    let fields: Vec<_> = rest.split_ascii_whitespace().collect();
    // proc(5): the first field here is number 3; utime 14, stime 15, num_threads 20
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let cpu = number(14).zip(number(15)).map(|(user, system)| (user + system) as f64 / ticks());
    (number(20), cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) R 1 (b)) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 12 0 77";
        assert_eq!(of_stat(stat), (Some(12), Some(300.0 / ticks())));
        assert_eq!(of_stat("nonsense"), (None, None));
    }

    #[test]
    fn this_process_has_memory_descriptors_and_threads() {
        let process = read();
        assert!(
            process.resident_bytes > Some(1 << 20)
                && process.open_fds >= Some(3)
                && process.threads >= Some(1),
            "{process:?}"
        );
    }
}
