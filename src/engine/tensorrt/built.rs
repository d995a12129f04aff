//! Which plan of those that were built here runs a network, and what a network still lacks.
//!
//! An edge module: reads the folder of plans. The newest plan that runs here counts, whatever its
//! precision, scales and options: who built one by hand wants that one. What runs here is told by
//! [`super::plan::sidecar`].

use super::plan::build::{BuildError, Host, Options};
use super::plan::build_queue::{PlanState, Want};
use super::plan::cache::{Cache, CacheError, Entry, Listing};
use super::plan::name::Device;
use super::plan::sidecar::{Mismatch, Target};
use super::{Here, NAME, PlanFiles, Plans, builder, model_error};
use crate::engine::EngineError;
use crate::engine::manifest::Network;

/// What the daemon builds an engine with.
const USUAL: Options =
    Options { precision: None, batch: 1, device: Device::Gpu, workspace_mib: None };

/// What the daemon wants a plan of `network` to be built for on `host`. Refused as [`Host::target`]
/// does.
pub fn target(host: &Host, network: &Network) -> Result<Target, BuildError> {
    host.target(network, &USUAL, None)
}

/// The newest plan that runs `target`'s model on its machine.
pub fn serving<'a>(listing: &'a Listing, target: &Target) -> Option<&'a Entry> {
    listing
        .plans
        .iter()
        .find(|entry| entry.sidecar.mismatches(target).iter().all(Mismatch::still_serves))
}

/// True if a plan of `network` runs on `host`, as far as that can be told without reading it.
pub fn is_there(cache: &Cache, host: &Host, id: &str, network: &Network) -> bool {
    target(host, network).is_ok_and(|target| {
        cache.list(id).is_ok_and(|listing| serving(&listing, &target).is_some())
    })
}

/// What `network` has and lacks; `None` if this GPU has no way to run it, which no build would
/// change.
pub fn want(
    cache: &Cache,
    host: &Host,
    id: &str,
    network: &Network,
) -> Result<Option<Want>, CacheError> {
    let target = match target(host, network) {
        Ok(target) => target,
        Err(why) => {
            log::debug!("engine {id}: {why}");
            return Ok(None);
        }
    };
    let listing = cache.list(id)?;
    let standing = match (serving(&listing, &target), listing.failure(&target)) {
        (Some(_), _) => PlanState::Fits,
        (None, Some(failure)) => PlanState::Failed { serves: false, cause: failure.cause.clone() },
        (None, None) => PlanState::Nothing(lacks(&listing, &target)),
    };
    let usual = listing.plans.first().map(|entry| entry.sidecar.build);
    Ok(Some(Want { engine: id.to_owned(), standing, usual }))
}

/// Why the newest plan is none for here; `None` if there is no plan at all.
fn lacks(listing: &Listing, target: &Target) -> Option<String> {
    let why: Vec<String> =
        listing.plans.first()?.sidecar.mismatches(target).iter().map(ToString::to_string).collect();
    Some(why.join("; "))
}

/// Plans that were built on this machine; a manifest that names a plan has that one.
#[derive(Clone, Debug)]
pub struct Built {
    cache: Cache,
}

impl Built {
    /// In this folder.
    pub fn new(cache: Cache) -> Self {
        Self { cache }
    }
}

impl Plans for Built {
    /// Checked as [`Cache::read`] does.
    fn plan_for(&self, id: &str, network: &Network, here: &Here) -> Result<Vec<u8>, EngineError> {
        if network.runtime == NAME {
            return PlanFiles.plan_for(id, network, here);
        }
        let refuse = |reason: String| model_error(id, &self.cache.folder().join(id), reason);
        let host = builder::host_of(here)
            .ok_or_else(|| refuse("this GPU does not tell its compute capability".into()))?;
        let target = target(&host, network).map_err(|error| refuse(error.to_string()))?;
        let listing = self.cache.list(id).map_err(|error| refuse(error.to_string()))?;
        let Some(entry) = serving(&listing, &target) else {
            let why =
                lacks(&listing, &target).unwrap_or_else(|| "no plan was built here yet".into());
            return Err(refuse(format!("{why}; `squint engines build {id}` builds one")));
        };
        self.cache.read(entry).map_err(|error| refuse(error.to_string()))
    }
}
