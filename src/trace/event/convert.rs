//! The scheduler's values to the lines of a trace, and back, bit for bit. Pure, and without
//! allocating.

use std::time::Duration;

use super::*;

impl Decision {
    fn new(act: Act, engine: Option<EngineIdx>, why: Reason, withheld: Option<EngineIdx>) -> Self {
        Self { act, engine, code: why.code, value: why.value, limit: why.limit, withheld }
    }

    /// Why.
    pub fn why(&self) -> Reason {
        Reason { code: self.code, value: self.value, limit: self.limit }
    }
}

impl From<Bound<Choice>> for Decision {
    fn from(bound: Bound<Choice>) -> Self {
        match bound.decision {
            Choice::Ask(engine, why) => Self::new(Act::Ask, Some(engine), why, bound.withheld),
            Choice::Reuse(why) => Self::new(Act::Reuse, None, why, bound.withheld),
            Choice::Abstain(why) => Self::new(Act::Abstain, None, why, bound.withheld),
        }
    }
}

impl From<Bound<Verdict>> for Decision {
    fn from(bound: Bound<Verdict>) -> Self {
        match bound.decision {
            Verdict::Escalate(engine, why) => {
                Self::new(Act::Ask, Some(engine), why, bound.withheld)
            }
            Verdict::Accept(why) => Self::new(Act::Accept, None, why, bound.withheld),
            Verdict::Abstain(why) => Self::new(Act::Abstain, None, why, bound.withheld),
        }
    }
}

impl From<&Allowance> for Allowed {
    fn from(allowance: &Allowance) -> Self {
        let Grant { engines: grant, escalation, rests, because } = allowance.grant;
        let known = allowance.engines.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let terms = |terms: &Option<Terms>| {
            terms.map(|terms| [terms.wait, terms.p50, terms.p95].map(nanos))
        };
        Self {
            left: allowance.remaining.map(nanos),
            engines: allowance.engines[..known].iter().map(terms).collect(),
            reuse: allowance.reuse.map(|reuse| (reuse.max_change, nanos(reuse.max_age))),
            grant,
            escalation,
            rests,
            because,
        }
    }
}

impl Allowed {
    /// What it grants.
    pub fn granted(&self) -> Grant {
        Grant {
            engines: self.grant,
            escalation: self.escalation,
            rests: self.rests,
            because: self.because,
        }
    }
}

impl From<&Allowed> for Allowance {
    fn from(allowed: &Allowed) -> Self {
        let mut engines = [None; MAX_ENGINES];
        for (slot, terms) in engines.iter_mut().zip(&allowed.engines) {
            *slot = terms.map(|terms| {
                let [wait, p50, p95] = terms.map(Duration::from_nanos);
                Terms { wait, p50, p95 }
            });
        }
        Self {
            remaining: allowed.left.map(Duration::from_nanos),
            engines,
            reuse: allowed
                .reuse
                .map(|(max_change, age)| Reuse { max_change, max_age: Duration::from_nanos(age) }),
            grant: allowed.granted(),
        }
    }
}

impl From<Top> for Likely {
    fn from(top: Top) -> Self {
        Self(top.class, top.probability)
    }
}

impl From<Likely> for Top {
    fn from(likely: Likely) -> Self {
        Self { class: likely.0, probability: likely.1 }
    }
}

impl From<&LastAnswer> for Remembered {
    fn from(last: &LastAnswer) -> Self {
        let LastAnswer { top, margin, entropy, engine, sure, glimpse, sequence, captured } = *last;
        Self {
            top: top.into(),
            margin,
            entropy,
            engine,
            sure,
            glimpse,
            sequence,
            captured: nanos(captured),
        }
    }
}

impl First {
    /// What the camera remembers.
    pub fn past(&self) -> Past {
        let last = self.past.map(|last| {
            let Remembered { top, margin, entropy, engine, sure, glimpse, sequence, captured } =
                last;
            LastAnswer {
                top: top.into(),
                margin,
                entropy,
                engine,
                sure,
                glimpse,
                sequence,
                captured: Duration::from_nanos(captured),
            }
        });
        Past { last }
    }

    /// What was measured.
    pub fn measured(&self) -> Features {
        let mut features = Features { values: [0.0; COUNT] };
        features.values.iter_mut().zip(&self.features).for_each(|(slot, value)| *slot = *value);
        features
    }
}

impl From<&Answer> for Told {
    fn from(answer: &Answer) -> Self {
        let ranked = answer.ranked.min(KEPT);
        Self {
            top: answer.top[..ranked].iter().copied().map(Likely::from).collect(),
            margin: answer.margin,
            entropy: answer.entropy,
        }
    }
}

impl From<&Told> for Answer {
    fn from(told: &Told) -> Self {
        let mut answer = Self {
            ranked: told.top.len(),
            margin: told.margin,
            entropy: told.entropy,
            ..Self::default()
        };
        answer.top.iter_mut().zip(&told.top).for_each(|(slot, likely)| *slot = (*likely).into());
        answer
    }
}

impl From<&Look1> for Asked {
    fn from(step: &Look1) -> Self {
        let LookTimes { preprocess, run, rank, .. } = step.times;
        Self {
            engine: step.engine,
            answered: step.answered,
            took: nanos(preprocess + run + rank),
            top: step.top.into(),
            margin: step.margin,
            entropy: step.entropy,
        }
    }
}

impl From<&Asked> for Look1 {
    fn from(asked: &Asked) -> Self {
        Self {
            engine: asked.engine,
            why: Reason::bare(Code::Entry), // no decision asks why one before fell
            answered: asked.answered,
            queued: Duration::ZERO,
            times: LookTimes { run: Duration::from_nanos(asked.took), ..LookTimes::default() },
            top: asked.top.into(),
            margin: asked.margin,
            entropy: asked.entropy,
        }
    }
}

impl After {
    /// Whom the frame was shown to.
    pub fn attempts(&self) -> Attempts {
        Attempts {
            steps: self.steps.iter().map(Look1::from).collect(),
            answer: (&self.answer).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_fits_into_its_slot() {
        assert!(size_of::<Event>() <= 3072, "{} bytes", size_of::<Event>());
    }

    #[test]
    fn what_is_no_number_and_what_is_minus_zero_are_read_as_they_were_written() {
        let told = Told {
            top: [Likely(7, f32::NAN), Likely(8, -0.0)].into_iter().collect(),
            margin: f32::INFINITY,
            entropy: 1e-45,
        };
        let text = serde_json::to_string(&told).unwrap();
        let again: Told = serde_json::from_str(&text).unwrap();
        assert!(
            again.top[0].1.is_nan() && again.top[1].1.is_sign_negative() && again.margin.is_nan(),
            "{text}"
        );
        assert_eq!(again.entropy.to_bits(), told.entropy.to_bits());
    }

    #[test]
    fn decisions_differ_by_the_last_bit_of_a_figure() {
        let decision = Decision::new(Act::Accept, None, Reason::with(Code::Sure, 0.9, 0.5), None);
        let next = Decision { value: Some(f32::from_bits(0.9f32.to_bits() + 1)), ..decision };
        assert!(decision == { decision } && decision != next);
    }
}
