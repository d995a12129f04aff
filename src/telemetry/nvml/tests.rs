//! What is made of the answers of made-up GPUs.

use super::*;
use std::sync::{Arc, Mutex};

/// GPUs that answer from a table, which the test may change.
#[derive(Clone, Default)]
struct MadeUp(Arc<Mutex<Vec<(u32, Quantity, u32)>>>, u32);

impl MadeUp {
    fn new(count: u32, answers: &[(u32, Quantity, u32)]) -> Self {
        Self(Arc::new(Mutex::new(answers.to_vec())), count)
    }
}

/// "Not supported" is for good; "lost" is not.
impl Driver for MadeUp {
    type Refusal = &'static str;

    fn count(&self) -> Result<u32, &'static str> {
        Ok(self.1)
    }

    fn name(&self, gpu: u32) -> Result<String, &'static str> {
        if gpu == 0 { Ok("Made Up 3000".into()) } else { Err("no name") }
    }

    fn read(&self, gpu: u32, quantity: Quantity) -> Result<u32, &'static str> {
        let answers = self.0.lock().unwrap();
        let answer = answers.iter().find(|(one, what, _)| (*one, *what) == (gpu, quantity));
        match answer {
            Some((_, _, u32::MAX)) => Err("lost"),
            Some((_, _, value)) => Ok(*value),
            None => Err("not supported"),
        }
    }

    fn is_final(refusal: &&'static str) -> bool {
        *refusal == "not supported"
    }
}

fn sample(nvml: &mut Nvml<MadeUp>) -> Sample {
    let mut sample = Sample::default();
    nvml.sample(Duration::from_secs(9), &mut sample);
    sample
}

#[test]
fn a_gpu_gives_all_it_has_in_units() {
    let gpu = MadeUp::new(
        1,
        &[
            (0, Quantity::Temperature, 61),
            (0, Quantity::Power, 120_500),
            (0, Quantity::Clock, 1410),
            (0, Quantity::ClockCap, 1980),
            (0, Quantity::Load, 37),
            (0, Quantity::Shutdown, 95),
            (0, Quantity::HardSlowdown, 92),
            (0, Quantity::SoftSlowdown, 87),
            (0, Quantity::Throttling, 1),
        ],
    );
    let mut nvml = Nvml::probe(gpu, 0).unwrap();
    let inventory = nvml.inventory().clone();
    assert_eq!(
        (inventory.rails[0].name.as_str(), inventory.rails[0].origin.as_str()),
        ("GPU0", "nvml, Made Up 3000")
    );
    assert_eq!(inventory.total, None, "a GPU is not the whole machine");
    assert_eq!(inventory.zones[0].throttle_at, Some(Celsius(87.0)));
    let trips: Vec<_> =
        inventory.zones[0].trips.iter().map(|trip| (trip.kind, trip.at.0)).collect();
    assert_eq!(
        trips,
        [(TripKind::Passive, 87.0), (TripKind::Passive, 92.0), (TripKind::Critical, 95.0)]
    );
    assert_eq!((inventory.missing.len(), inventory.others.len()), (0, 4));
    let got = sample(&mut nvml);
    assert_eq!(
        (got.rails[0], got.temperatures[0]),
        (Some(Milliwatts(120_500.0)), Some(Celsius(61.0)))
    );
    assert_eq!(
        (got.gpu_clock, got.gpu_clock_cap),
        (Some(Megahertz(1410.0)), Some(Megahertz(1980.0)))
    );
    assert_eq!(
        (got.gpu_load, got.throttling, got.at),
        (Some(0.37), Some(true), Duration::from_secs(9))
    );
    assert_eq!(nvml.doubts(), []);
}

#[test]
fn a_gpu_that_supports_nothing_but_its_name_is_listed_as_that() {
    let mut nvml = Nvml::probe(MadeUp::new(1, &[]), 0).unwrap();
    let missing: Vec<_> =
        nvml.inventory().missing.iter().map(|missing| missing.what.as_str()).collect();
    let expected = [
        "power of GPU0",
        "temperature of GPU0",
        "GPU load",
        "GPU clock",
        "highest GPU clock",
        "throttling",
    ];
    assert_eq!(missing, expected);
    assert_eq!(nvml.inventory().missing[2].why, "NVML says of GPU0: not supported");
    let got = sample(&mut nvml);
    assert_eq!(
        Sample { cost: Duration::ZERO, ..got },
        Sample { at: Duration::from_secs(9), ..Sample::default() }
    );
}

#[test]
fn of_several_gpus_each_has_its_rail_and_only_the_one_at_work_gives_load() {
    let gpus = MadeUp::new(
        3,
        &[
            (0, Quantity::Power, 1),
            (1, Quantity::Temperature, 50),
            (2, Quantity::Power, 3),
            (0, Quantity::Load, 100),
            (2, Quantity::Load, 50),
        ],
    );
    let mut nvml = Nvml::probe(gpus.clone(), 2).unwrap();
    let rails: Vec<_> = nvml.inventory().rails.iter().map(|rail| rail.name.clone()).collect();
    assert_eq!(
        (rails, nvml.inventory().zones[0].name.as_str()),
        (vec!["GPU0".to_owned(), "GPU2".to_owned()], "GPU1")
    );
    let got = sample(&mut nvml);
    assert_eq!((got.gpu_load, got.rails[1]), (Some(0.5), Some(Milliwatts(3.0))));
    let Err(missing) = Nvml::probe(gpus, 3) else { panic!("there is no fourth") };
    assert!(
        missing.why.contains("there are 3 GPUs") && missing.why.contains("GPU 3"),
        "{missing:?}"
    );
    assert!(Nvml::probe(MadeUp::new(0, &[]), 0).is_err());
}

#[test]
fn a_gpu_that_is_lost_becomes_unknown_is_named_and_may_come_back() {
    let gpu = MadeUp::new(
        1,
        &[(0, Quantity::Power, u32::MAX), (0, Quantity::Temperature, 40), (0, Quantity::Load, 250)],
    );
    let answers = Arc::clone(&gpu.0);
    let mut nvml = Nvml::probe(gpu, 0).unwrap();
    assert_eq!(nvml.inventory().rails.len(), 1, "lost is not unsupported");
    let got = sample(&mut nvml);
    assert_eq!(
        (got.rails[0], got.gpu_load),
        (None, None),
        "nor is there more than all of its time"
    );
    assert_eq!(
        nvml.doubts(),
        [Doubt { sensor: "GPU0".into(), why: "NVML did not give its power".into() }]
    );
    answers.lock().unwrap()[0].2 = 7;
    answers.lock().unwrap()[1].2 = u32::MAX;
    let got = sample(&mut nvml);
    assert_eq!((got.rails[0], got.temperatures[0]), (Some(Milliwatts(7.0)), None));
}
