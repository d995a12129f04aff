//! The sink thread: tells the listener of every report, then gives the job back to its camera.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::mailbox::Taken;
use crate::report::{DropReason, Drops};

use super::outbox::Outbox;
use super::pool::Pool;
use super::pulse::{Doing, Pulse};
use super::{Listener, Vitals};

/// How often the listener is called when there is nothing to hear.
const IDLE: Duration = Duration::from_secs(1);

/// Leaves the outbox when the listener panics, so that nobody waits for jobs that lie there.
struct Leaving<'a>(&'a Outbox, &'a [Pool]);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        clear(self.0, self.1, DropReason::Stopped);
    }
}

/// Ends the pulse of the sink thread, however that ends.
struct Ending(Arc<Pulse>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Until the dispatcher has ended and all is told. `ready` hears once when every camera had its first report.
pub(super) fn tell<L: Listener>(
    mut listener: L,
    outbox: &Outbox,
    pools: &Arc<[Pool]>,
    started: Instant,
    ready: &Sender<Duration>,
    vitals: &Vitals,
) -> L {
    let _leaving = Leaving(outbox, pools);
    let Ending(pulse) = &Ending(vitals.board.pulse("sink"));
    let mut told = vec![Drops::default(); pools.len()];
    let mut silent: Vec<_> = pools.iter().map(|_| true).collect();
    loop {
        pulse.begin(Doing::Idle, IDLE + vitals.hang_after);
        let taken = outbox.take(IDLE);
        pulse.begin(Doing::Publishing, vitals.hang_after);
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
        listener.hear(&job.report);
        pool.ledger.heed(&job.report);
        pool.ledger.tell();
        pool.take_back(job);
    }
}

/// Gives up what waits for a listener that takes nothing more.
pub(super) fn clear(outbox: &Outbox, pools: &[Pool], why: DropReason) {
    for job in outbox.leave() {
        pools[job.camera].give_up(job, why);
    }
}
