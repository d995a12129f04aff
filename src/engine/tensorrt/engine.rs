//! One plan on the GPU: loaded, held against its manifest, run; and loaded anew when the GPU's
//! context was lost.
//!
//! The decision whether to load anew is [`Lives`], pure; the rest is an edge.

use std::sync::Arc;
use std::time::Duration;

use super::super::fit::{self, Element as Numbers, Holds};
use super::super::manifest::Network;
use super::super::{Engine, EngineError};
use super::error::CudaError;
use super::raw::session::{Failure, Session, Slot};
use super::raw::shim::{Element, Tensor};
use super::software::Software;
use super::{Here, Plans, model_error};

/// Runs before a plan counts as loaded.
const WARM_UP: usize = 3;

/// How often an engine that lost the context may be loaded anew: once, and once more after so many
/// runs that went well. One that loses it again and again would take it from the others each time.
/// Who lost it to another is loaded anew for nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lives {
    /// It lost the context itself, or could not be loaded anew.
    guilty: bool,
    spent: bool,
    good: u32,
}

/// Good runs after which a lost context may be made anew once more.
const EARNED: u32 = 1000;

impl Lives {
    fn ran(&mut self) {
        self.good = self.good.saturating_add(1);
        if self.good >= EARNED {
            self.spent = false;
        }
    }

    /// True if it may be loaded anew.
    fn are_left(&self) -> bool {
        !(self.guilty && self.spent)
    }

    /// It is loaded anew now.
    fn take(&mut self) {
        self.spent |= self.guilty;
        self.good = 0;
    }
}

/// One loaded plan with its memory.
pub(super) struct TensorRtEngine {
    id: String,
    network: Network,
    software: &'static Software,
    plans: Arc<dyn Plans>,
    /// `None` after the context was lost, until it is loaded anew.
    session: Option<Session>,
    /// Input memory of the host, for as long as there is no session.
    spare: Vec<f32>,
    lives: Lives,
    /// Why the context was lost, the last time.
    lost: Option<CudaError>,
}

impl TensorRtEngine {
    /// Slow: reads the plan, loads it, checks it, warms it up.
    pub(super) fn load(
        software: &'static Software,
        plans: Arc<dyn Plans>,
        id: &str,
        network: &Network,
    ) -> Result<Self, EngineError> {
        let session = session(software, plans.as_ref(), id, network)?;
        Ok(Self {
            id: id.to_owned(),
            network: network.clone(),
            software,
            plans,
            session: Some(session),
            spare: vec![0.0; network.input.values()],
            lives: Lives::default(),
            lost: None,
        })
    }

    fn failed(&self, reason: String) -> EngineError {
        EngineError::Run { id: self.id.clone(), reason }
    }

    /// A session in a context that works. The input moves along.
    fn revived(&mut self) -> Result<&mut Session, EngineError> {
        let is_well = self
            .session
            .as_mut()
            .is_some_and(|session| session.lost().is_none() && session.is_ready());
        if !is_well {
            if let Some(mut old) = self.session.take() {
                self.lost = old.lost().or(self.lost);
                // What was prepared for the old one; nothing if its memory is gone.
                let input = old.input();
                if input.len() == self.spare.len() {
                    self.spare.copy_from_slice(input);
                }
            }
            let cause = self
                .lost
                .map_or_else(|| "another engine lost it".to_owned(), |error| error.to_string());
            if !self.lives.are_left() {
                return Err(
                    self.failed(format!("the GPU's context was lost again ({cause}); a reload or a restart tries once more"))
                );
            }
            // While others are at work in the lost context nothing can be done, and trying costs
            // nothing.
            if let Err(error) = self.software.device.enter() {
                return Err(self.failed(format!(
                    "the GPU's context is lost ({cause}) and cannot be made anew yet: {error}"
                )));
            }
            self.lives.take();
            let loaded = session(self.software, self.plans.as_ref(), &self.id, &self.network);
            self.lives.guilty = loaded.is_err();
            let mut session = loaded?;
            let input = session.input();
            if input.len() == self.spare.len() {
                input.copy_from_slice(&self.spare);
            }
            self.session = Some(session);
        }
        match &mut self.session {
            Some(session) => Ok(session),
            None => Err(EngineError::Run {
                id: self.id.clone(),
                reason: "it has no session, which is a bug in Squint".into(),
            }),
        }
    }

    /// In words; a session that is of no use any more goes.
    fn told(&mut self, failure: Failure) -> EngineError {
        let lost = self.session.as_ref().and_then(Session::lost);
        let words = self.software.words(failure);
        if let Some(error) = lost {
            (self.session, self.lost, self.lives.guilty) =
                (None, Some(error), !matches!(failure, Failure::Lost(_)));
            return self.failed(format!(
                "{error}; the GPU's context is lost, and is made anew before the next look"
            ));
        }
        self.failed(words)
    }
}

impl Engine for TensorRtEngine {
    /// Pinned, so that the device fetches it by itself.
    fn input(&mut self) -> &mut [f32] {
        if self.session.as_mut().is_some_and(Session::is_ready)
            && let Some(session) = &mut self.session
        {
            return session.input();
        }
        &mut self.spare
    }

    fn run(&mut self, output: &mut [f32]) -> Result<Option<Duration>, EngineError> {
        if output.len() != self.network.classes {
            return Err(EngineError::Shape {
                id: self.id.clone(),
                want: self.network.classes,
                got: output.len(),
            });
        }
        match self.revived()?.run(output) {
            Err(failure) => Err(self.told(failure)),
            Ok(took) => {
                self.lives.ran();
                match output.iter().position(|score| !score.is_finite()) {
                    Some(class) => Err(EngineError::NotFinite { id: self.id.clone(), class }),
                    None => Ok(took),
                }
            }
        }
    }
}

/// A plan, taken by TensorRT, fitting its manifest and warm.
fn session(
    software: &Software,
    plans: &dyn Plans,
    id: &str,
    network: &Network,
) -> Result<Session, EngineError> {
    let refuse = |reason: String| model_error(id, &network.file, reason);
    let here = Here { version: software.version, gpu: software.gpu.clone() };
    let bytes = plans.plan_for(id, network, &here)?;
    let turn = software
        .device
        .enter()
        .map_err(|error| refuse(format!("the GPU cannot be used: {error}")))?;
    software
        .session(&turn, bytes, |tensors| slots(tensors, network), WARM_UP)
        .map(|(session, _)| session)
        .map_err(&refuse)
}

/// Where input and output are, once they are what the manifest says.
fn slots(tensors: &[Tensor], network: &Network) -> Result<[Slot; 2], String> {
    let side = |is_input: bool| {
        let these =
            tensors.iter().enumerate().filter(move |(_, tensor)| tensor.is_input == is_input);
        these.map(|(index, tensor)| (index, shown(tensor))).unzip::<_, _, Vec<usize>, Vec<_>>()
    };
    let ((inputs, told_inputs), (outputs, told_outputs)) = (side(true), side(false));
    let element = fit::input(&told_inputs, network)?;
    let fit::Output { name, shape, element: scores } = fit::output(&told_outputs, network)?;
    for (what, element) in [("input", element), ("output", scores)] {
        if element != Numbers::Float32 {
            return Err(format!(
                "the {what} holds {} values; plans are run with float32 alone",
                element.name()
            ));
        }
    }
    let index = told_outputs.iter().position(|tensor| tensor.name == name);
    let (Some(input), Some(output), [_]) =
        (inputs.first(), index.and_then(|index| outputs.get(index)), outputs.as_slice())
    else {
        return Err(format!(
            "the plan has {} outputs; only plans with a single one are supported",
            outputs.len()
        ));
    };
    if let Some(open) = tensors.iter().find(|tensor| tensor.dims.iter().any(|side| *side < 0)) {
        let (name, dims) = (&open.name, fit::shown(&open.dims));
        return Err(format!(
            "`{name}` is {dims}: the plan leaves sides open; build it for one picture of the manifest's size"
        ));
    }
    let values = [network.input.values(), shape.iter().product()];
    Ok([Slot { index: *input, values: values[0] }, Slot { index: *output, values: values[1] }])
}

fn shown(tensor: &Tensor) -> fit::Tensor<'_> {
    let holds = match tensor.element {
        Element::Float32 => Holds::Numbers(Numbers::Float32),
        Element::Float16 => Holds::Numbers(Numbers::Float16),
        Element::Int8 => Holds::Numbers(Numbers::Int8),
        Element::Int32 => Holds::Other("int32".into()),
        Element::Other => Holds::Other("other".into()),
    };
    fit::Tensor { name: &tensor.name, holds, dims: &tensor.dims }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_loses_the_context_is_loaded_anew_once_and_earns_another_time_by_good_runs() {
        let mut lives = Lives::default();
        let mut loses = |runs: u32| {
            (0..runs).for_each(|_| lives.ran());
            lives.guilty = true;
            let left = lives.are_left();
            if left {
                lives.take();
                lives.guilty = false;
            }
            left
        };
        assert!(loses(0));
        assert!(!loses(EARNED - 1), "not earned");
        assert!(loses(EARNED));
    }

    #[test]
    fn who_loses_the_context_to_another_is_loaded_anew_each_time() {
        let mut lives = Lives::default();
        for _ in 0..3 {
            assert!(lives.are_left());
            lives.take();
        }
        lives.guilty = true;
        assert!(lives.are_left(), "and that was not counted");
    }
}
