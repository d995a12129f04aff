//! The real NVML behind [`Driver`]: one call each, no decisions. Edge.

use nvml_wrapper::Nvml as Loaded;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor, TemperatureThreshold};
use nvml_wrapper::error::NvmlError;

use super::driver::{Driver, Quantity};

/// By this name the driver's packages install it; the one without a number belongs to development
/// packages.
const NAME: &str = "libnvidia-ml.so.1";

/// NVML, loaded and initialised for as long as the process lives.
pub struct Library(&'static Loaded);

impl Library {
    /// Loads it. The words of an error are for people.
    pub fn load() -> Result<Self, String> {
        let loaded = Loaded::builder().lib_path(NAME.as_ref()).init();
        loaded.map(|loaded| Self(Box::leak(Box::new(loaded)))).map_err(|error| match error {
            NvmlError::LibloadingError(_) => format!("{NAME} is not installed"),
            error => format!("{NAME} is there, but: {error}"),
        })
    }
}

impl Driver for Library {
    type Refusal = NvmlError;

    fn count(&self) -> Result<u32, NvmlError> {
        self.0.device_count()
    }

    fn name(&self, gpu: u32) -> Result<String, NvmlError> {
        self.0.device_by_index(gpu)?.name()
    }

    fn read(&self, gpu: u32, quantity: Quantity) -> Result<u32, NvmlError> {
        let gpu = self.0.device_by_index(gpu)?;
        match quantity {
            Quantity::Temperature => gpu.temperature(TemperatureSensor::Gpu),
            Quantity::Power => gpu.power_usage(),
            Quantity::Clock => gpu.clock_info(Clock::SM),
            Quantity::ClockCap => gpu.max_clock_info(Clock::SM),
            Quantity::Load => gpu.utilization_rates().map(|share| share.gpu),
            Quantity::SoftSlowdown => gpu.temperature_threshold(TemperatureThreshold::GpuMax),
            Quantity::HardSlowdown => gpu.temperature_threshold(TemperatureThreshold::Slowdown),
            Quantity::Shutdown => gpu.temperature_threshold(TemperatureThreshold::Shutdown),
            Quantity::Throttling => {
                let slowdown = ThrottleReasons::HW_SLOWDOWN
                    | ThrottleReasons::SW_THERMAL_SLOWDOWN
                    | ThrottleReasons::HW_THERMAL_SLOWDOWN
                    | ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN;
                gpu.current_throttle_reasons()
                    .map(|reasons| u32::from(reasons.intersects(slowdown)))
            }
        }
    }

    fn is_final(refusal: &NvmlError) -> bool {
        use NvmlError::{
            FailedToLoadSymbol, FunctionNotFound, InvalidArg, NoPermission, NotSupported,
        };
        matches!(
            refusal,
            NotSupported | NoPermission | InvalidArg | FunctionNotFound | FailedToLoadSymbol(_)
        )
    }
}
