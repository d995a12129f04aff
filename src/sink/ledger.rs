//! Counts of sent and lost records for each sink: written by the sink thread, read by status and
//! metrics.
//!
//! Numbers are stored once a record, without a lock; the reason of a fault only when it begins and
//! when it is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Published;

/// The sinks, in the order of the publisher.
#[derive(Debug, Default)]
pub struct Ledger(Vec<Page>);

#[derive(Debug)]
struct Page {
    name: &'static str,
    delivered: AtomicU64,
    lost: AtomicU64,
    trouble: Mutex<Option<String>>,
}

/// One sink at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `stdout`, `file` or `socket`.
    pub name: &'static str,
    /// What became of its records.
    pub published: Published,
    /// Why records are being lost; nothing while all is well.
    pub trouble: Option<String>,
}

impl Ledger {
    /// A blank one for sinks of these names.
    pub(super) fn new(names: impl Iterator<Item = &'static str>) -> Arc<Self> {
        let page = |name| Page {
            name,
            delivered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            trouble: Mutex::default(),
        };
        Arc::new(Self(names.map(page).collect()))
    }

    pub(super) fn note(&self, sink: usize, published: Published) {
        if let Some(page) = self.0.get(sink) {
            page.delivered.store(published.delivered, Ordering::Relaxed);
            page.lost.store(published.lost, Ordering::Relaxed);
        }
    }

    /// `None`: it works again.
    pub(super) fn trouble(&self, sink: usize, why: Option<String>) {
        if let Some(page) = self.0.get(sink) {
            *page.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
        }
    }

    /// Every sink, as it is now.
    pub fn read(&self) -> Vec<Entry> {
        let entry = |page: &Page| Entry {
            name: page.name,
            published: Published {
                delivered: page.delivered.load(Ordering::Relaxed),
                lost: page.lost.load(Ordering::Relaxed),
            },
            trouble: page.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        self.0.iter().map(entry).collect()
    }
}
