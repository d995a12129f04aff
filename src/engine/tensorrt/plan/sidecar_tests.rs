//! Sidecars: what is written is read, what cannot be is refused by name, and each mismatch has its
//! sentence.

use proptest::prelude::*;

use super::super::name::tests::keys;
use super::*;
use crate::versioned::VersionedError;

/// A plan for a TX2.
pub(crate) fn sidecar() -> Sidecar {
    Sidecar {
        model: "lite0-224".into(),
        target: target(),
        plan_sha256: Sha256::of(b"plan"),
        plan_bytes: 4,
        cuda: Some("10.2".into()),
        tensors: vec![Tensor { name: "input".into(), input: true, dims: vec![1, 3, 224, 224] }],
        built_at_s: 1_764_000_000,
        build: Duration::from_millis(83_500),
        measured: Some(Measured {
            p50: Duration::from_micros(9_120),
            p95: Duration::from_micros(9_900),
        }),
    }
}

/// What it is for.
pub(crate) fn target() -> Target {
    Target {
        key: Key {
            source: Sha256::of(b"model"),
            tensorrt: Version { major: 8, minor: 2, patch: 1 },
            capability: Capability { major: 6, minor: 2 },
            precision: Precision::Fp16,
            batch: 1,
            device: Device::Gpu,
            calibration: None,
        },
        input: [1, 3, 224, 224],
        rewriting: None,
        gpu: "NVIDIA Tegra X2".into(),
        driver: Some("L4T 32.7.4".into()),
        flags: vec!["workspace-256-mib".into()],
    }
}

#[test]
fn what_is_written_is_read_again() {
    let mut sidecar = sidecar();
    assert_eq!(Sidecar::from_json(&sidecar.to_json(), "x.json").unwrap(), sidecar);
    (sidecar.measured, sidecar.cuda, sidecar.target.driver, sidecar.target.rewriting) =
        (None, None, None, Some(3));
    assert_eq!(Sidecar::from_json(&sidecar.to_json(), "x.json").unwrap(), sidecar);
}

#[test]
fn a_sidecar_from_before_the_rewriting_was_noted_is_read_as_one_of_a_model_that_was_not_rewritten()
{
    let text = sidecar().to_json();
    let before = text.replace("    \"rewriting\": null,\n", "");
    assert_ne!(before, text);
    assert_eq!(Sidecar::from_json(&before, "x.json").unwrap(), sidecar());
}

#[test]
fn each_value_that_cannot_be_is_refused_by_file_key_value_and_what_is_allowed() {
    let good = sidecar().to_json();
    let cases = [
        ("\"lite0-224\"", "\"../etc\"", "model is \"../etc\", allowed is 1 to 64 of"),
        (
            "\"8.2.1\"",
            "\"8.2\"",
            "target.tensorrt is \"8.2\", allowed is three numbers, like 8.2.1",
        ),
        ("\"6.2\"", "\"sm62\"", "target.capability is \"sm62\""),
        ("\"fp16\"", "\"bf16\"", "target.precision is \"bf16\", allowed is fp32, fp16 or int8"),
        ("\"batch\": 1", "\"batch\": 0", "target.batch is \"0\", allowed is 1 to 1024"),
        (
            "\"device\": \"gpu\"",
            "\"device\": \"tpu\"",
            "target.device is \"tpu\", allowed is gpu, dla0 ... dla15",
        ),
        ("\"rewriting\": null", "\"rewriting\": 0", "target.rewriting is \"0\", allowed is 1 to"),
        (
            "\"plan-bytes\": 4",
            "\"plan-bytes\": 0",
            "plan-bytes is \"0\", allowed is 1 to 4294967296",
        ),
        ("\"p95-us\": 9900", "\"p95-us\": 9119", "measured.p95-us is \"9119\", allowed is 9120 to"),
        ("NVIDIA Tegra X2", "a\\nb", "target.gpu is \"a\\\\nb\", allowed is one line"),
        ("\"v\": 1", "\"v\": 2", "v = 2, only 1 is read; it will be made anew"),
        ("\"v\": 1,", "\"v\": 1, \"w\": 1,", "unknown field `w`"),
        ("\"v\": 1,", "\"v\": 1, \"cuda\": null,", "duplicate field `cuda`"),
        ("\"cuda\"", "\"cuda2\"", "unknown field `cuda2`"),
        (
            "\"dims\": [\n        1",
            "\"dims\": [\n        -2",
            "tensors.dims is \"-2\", allowed is -1 to",
        ),
        (
            "\"input\": [\n      1",
            "\"input\": [\n      0",
            "target.input is \"0\", allowed is 1 to 65536",
        ),
    ];
    for (was, is, words) in cases {
        let spoilt = good.replacen(was, is, 1);
        assert_ne!(spoilt, good, "{was}");
        let error = Sidecar::from_json(&spoilt, "x.json").unwrap_err().to_string();
        assert!(error.starts_with("x.json: ") && error.contains(words), "{error}");
    }
    let long = good.clone() + &" ".repeat(MAX_TEXT);
    assert!(matches!(
        Sidecar::from_json(&long, "x.json"),
        Err(TextError::Text(VersionedError::TooLong { .. }))
    ));
}

#[test]
fn a_plan_that_fits_has_no_mismatch_even_under_another_driver() {
    let other_driver = Target { driver: Some("L4T 32.7.6".into()), ..target() };
    assert_eq!(sidecar().mismatches(&other_driver), []);
}

const NOT_NOTED: &str = "built from the model as it is, or rewritten by a version that was not noted, now it is rewritten by version 2";

#[test]
fn a_plan_of_a_model_rewritten_otherwise_does_not_serve_and_the_others_are_not_affected() {
    let judge =
        |tensorrt: &str, built: (Precision, Option<u32>), here: (Precision, Option<u32>)| {
            let [mut sidecar, mut wanted] = [sidecar(), sidecar()];
            for (target, (precision, rewriting)) in
                [(&mut sidecar.target, built), (&mut wanted.target, here)]
            {
                (target.key.tensorrt, target.key.precision, target.rewriting) =
                    (tensorrt.parse().unwrap(), precision, rewriting);
            }
            let told = sidecar.mismatches(&wanted.target);
            let words = told
                .iter()
                .filter(|one| !one.still_serves())
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ");
            words
                .replace("built from the model ", "")
                .replace(", now it is ", " -> ")
                .replace("rewritten by version ", "")
        };
    use Precision::{Fp16, Fp32, Int8};
    assert_eq!(judge("8.2.1", (Int8, Some(1)), (Int8, Some(1))), "");
    assert_eq!(judge("8.2.1", (Int8, Some(1)), (Int8, Some(2))), "1 -> 2");
    assert_eq!(
        judge("8.2.1", (Fp16, None), (Fp16, None)),
        "",
        "handed on as it is, whatever the version"
    );
    assert_eq!(
        judge("8.2.1", (Fp16, Some(1)), (Int8, Some(2))),
        "1 -> 2",
        "of another precision, too"
    );
    assert!(
        judge("8.2.1", (Fp16, None), (Int8, Some(1))).ends_with("not noted -> 1"),
        "an int8 model is rewritten for each"
    );
    assert_eq!(judge("8.2.1", (Fp16, Some(1)), (Fp16, None)), "1 -> handed on as it is");
    assert!(judge("11.4.0", (Fp16, None), (Fp16, Some(1))).ends_with("not noted -> 1"));
    assert_eq!(
        judge("11.4.0", (Fp32, None), (Fp16, Some(1))),
        "",
        "a float32 model is rewritten for half precision alone"
    );
}

#[test]
fn each_mismatch_is_a_sentence_and_only_harmless_ones_still_serve() {
    type Change = fn(&mut Target);
    let cases: [(Change, &str, bool); 11] = [
        (|t| t.input[2] = 192, "built for an input of 1x3x224x224, wanted is 1x3x192x224", false),
        (
            |t| t.key.tensorrt = "8.5.2".parse().unwrap(),
            "built by TensorRT 8.2.1, this is 8.5.2",
            false,
        ),
        (
            |t| t.key.capability = "8.7".parse().unwrap(),
            "built for compute capability 6.2, this GPU has 8.7",
            false,
        ),
        (|t| t.gpu = "GP10B".into(), "built for NVIDIA Tegra X2, this GPU is GP10B", false),
        (|t| t.key.device = Device::Dla(0), "built for gpu, wanted is dla0", false),
        (
            |t| t.key.source = Sha256::of(b"new"),
            "built from model 9372c470eeadd5ec, the model now is ",
            false,
        ),
        (|t| t.rewriting = Some(2), NOT_NOTED, false),
        (|t| t.key.batch = 4, "built for batches of 1, wanted is 4", false),
        (|t| t.key.precision = Precision::Fp32, "built for fp16, wanted is fp32", true),
        (|t| t.key.calibration = Some(Sha256::of(b"c")), "built with another calibration", true),
        (|t| t.flags.clear(), "built with workspace-256-mib, wanted is no options", true),
    ];
    for (change, words, serves) in cases {
        let mut wanted = target();
        change(&mut wanted);
        let [mismatch] = sidecar().mismatches(&wanted).try_into().unwrap();
        let words = words.replace("9372c470eeadd5ec", Sha256::of(b"model").short());
        assert!(mismatch.to_string().starts_with(&words), "{mismatch}");
        assert_eq!(mismatch.still_serves(), serves, "{mismatch}");
    }
}

proptest! {
    #[test]
    fn every_sidecar_is_read_again(key in keys(), gpu in "[ -~é]{0,80}", bytes in 1..=MAX_PLAN, built_at_s in 0..1_u64 << 40) {
        let mut sidecar = Sidecar { plan_bytes: bytes, built_at_s, ..sidecar() };
        (sidecar.target.key, sidecar.target.gpu) = (key, gpu);
        prop_assert_eq!(Sidecar::from_json(&sidecar.to_json(), "x.json").unwrap(), sidecar);
    }
}
