//! The sink thread: calls the report handler with every report, then returns the job to its camera.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::mailbox::Taken;
use crate::report::{DropReason, Drops};

use super::heartbeat::{Activity, Heartbeat};
use super::pool::Pool;
use super::report_queue::ReportQueue;
use super::{Liveness, ReportHandler};

/// How often the listener is called when there is nothing to hear.
const IDLE: Duration = Duration::from_secs(1);

/// Leaves the report queue when the listener panics, so that nobody waits for jobs that lie there.
struct Leaving<'a>(&'a ReportQueue, &'a [Pool]);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        clear(self.0, self.1, DropReason::Stopped);
    }
}

/// Ends the heartbeat of the sink thread, however that ends.
struct Ending(Arc<Heartbeat>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Until the dispatcher has ended and all is told. `ready` hears once when every camera had its
/// first report.
pub(super) fn run<L: ReportHandler>(
    mut listener: L,
    report_queue: &ReportQueue,
    pools: &Arc<[Pool]>,
    started: Instant,
    ready: &Sender<Duration>,
    liveness: &Liveness,
) -> L {
    let _leaving = Leaving(report_queue, pools);
    let Ending(heartbeat) = &Ending(liveness.board.heartbeat("sink"));
    let mut told = vec![Drops::default(); pools.len()];
    let mut silent: Vec<_> = pools.iter().map(|_| true).collect();
    loop {
        heartbeat.begin(Activity::Idle, IDLE + liveness.hang_after);
        let taken = report_queue.take(IDLE);
        heartbeat.begin(Activity::Publishing, liveness.hang_after);
        let mut job = match taken {
            Taken::Item(job) => job,
            Taken::TimedOut => {
                listener.idle();
                continue;
            }
            Taken::Closed => return listener,
        };
        let pool = &pools[job.camera];
        let drops = pool.ledger.drops();
        job.report.drops = drops.since(&told[job.camera]);
        told[job.camera] = drops;
        if std::mem::replace(&mut silent[job.camera], false) && !silent.contains(&true) {
            let _ = ready.try_send(started.elapsed());
        }
        listener.on_report(&job.report);
        pool.ledger.heed(&job.report);
        pool.ledger.tell();
        pool.take_back(job);
    }
}

/// Gives up what waits for a listener that takes nothing more.
pub(super) fn clear(report_queue: &ReportQueue, pools: &[Pool], why: DropReason) {
    for job in report_queue.leave() {
        pools[job.camera].give_up(job, why);
    }
}
