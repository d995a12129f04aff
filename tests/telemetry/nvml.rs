//! NVML of this machine: absent on most, which is fine; where there is a GPU, what it says is held
//! against what is possible.

use std::time::Duration;

use squint::telemetry::{Sample, Telemetry, nvml};

#[test]
fn a_machine_without_nvml_says_so_and_one_with_it_is_read() {
    match nvml::open(0) {
        Err(missing) => assert!(missing.why.contains("libnvidia-ml.so.1"), "{missing:?}"),
        Ok(nvml) => {
            assert!(!nvml.inventory().rails.is_empty() || !nvml.inventory().missing.is_empty())
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_gpu_tells_possible_temperatures_power_and_clocks() {
    let mut nvml = nvml::open(0).unwrap();
    println!("{:#?}", nvml.inventory());
    let mut sample = Sample::default();
    let mut cost = Duration::ZERO;
    for second in 0..100 {
        nvml.sample(Duration::from_secs(second), &mut sample);
        cost += sample.cost;
    }
    println!("{sample:#?}\n100 samples cost {cost:?} of processor time");
    let zone = &nvml.inventory().zones[0];
    assert!(zone.trips.windows(2).all(|pair| pair[0].at.0 <= pair[1].at.0), "{zone:?}");
    let degrees = sample.temperatures[0].unwrap().0;
    assert!((5.0..110.0).contains(&degrees), "{degrees} °C");
    let watts = sample.rails[0].unwrap().0 / 1000.0;
    assert!((1.0..1500.0).contains(&watts), "{watts} W");
    let (clock, cap) = (sample.gpu_clock.unwrap().0, sample.gpu_clock_cap.unwrap().0);
    assert!(clock <= cap && cap < 5000.0, "{clock} of {cap} MHz");
    assert!(sample.gpu_load.is_some() && sample.throttling.is_some(), "{sample:?}");
    assert_eq!(nvml.doubts(), []);
}
