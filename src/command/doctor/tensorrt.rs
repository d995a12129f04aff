//! The findings of the doctor about GPU and TensorRT. Pure: probe results in, lines out.
//!
//! A machine without an NVIDIA driver gets one line, and one more if there are shims. With a
//! driver, a missing part of TensorRT is a finding like any other missing part.

use std::path::PathBuf;

use super::Finding;
use crate::engine::tensorrt::software::{Found, Missing};

const NEEDED_FOR: &str = "engines with runtime = \"tensorrt\"";

/// `shims`: those that are there.
pub(super) fn findings(found: &Found, shims: &[PathBuf]) -> Vec<Finding> {
    let line = |subject: &str, there, detail, optional| Finding {
        subject: subject.into(),
        there,
        detail,
        needed_for: NEEDED_FOR.into(),
        optional,
    };
    let mut lines = Vec::new();
    if let Some(cuda) = &found.cuda
        && !found.gpus.is_empty()
    {
        let gpus = found
            .gpus
            .iter()
            .map(|gpu| format!("{} (compute capability {})", gpu.name, gpu.capability));
        lines.push(line(
            "GPU",
            true,
            format!("{}, driver for CUDA {cuda}", gpus.collect::<Vec<_>>().join(", ")),
            true,
        ));
    }
    let detail = match (&found.missing, &found.version, &found.library) {
        (Some(missing), Some(version), _) => format!("{version}, but: {missing}"),
        (Some(missing), None, _) => missing.to_string(),
        (None, version, library) => {
            let place = |path: &Option<std::path::PathBuf>| {
                path.as_ref().map_or("?".into(), |path| path.display().to_string())
            };
            let (version, headers) =
                (version.as_deref().unwrap_or("?"), found.headers.as_deref().unwrap_or("?"));
            format!(
                "{version} ({}), shim {} built for {headers}",
                place(library),
                place(&found.shim)
            )
        }
    };
    lines.push(line(
        "TensorRT",
        found.missing.is_none(),
        detail,
        matches!(found.missing, Some(Missing::Driver(_) | Missing::Gpu)),
    ));
    if !shims.is_empty() {
        let shims: Vec<String> = shims.iter().map(|path| path.display().to_string()).collect();
        lines.push(line("shims", true, shims.join(", "), true));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tensorrt::software::Gpu;

    #[test]
    fn a_machine_without_a_driver_gets_one_line_and_one_with_a_gpu_is_told_what_is_missing() {
        let nothing =
            Found { missing: Some(Missing::Driver("not there".into())), ..Found::default() };
        let [only] = findings(&nothing, &[]).try_into().ok().expect("one line");
        assert!(!only.there && only.optional);
        assert_eq!(only.detail, "no NVIDIA driver (not there)");

        let gpu = Gpu { name: "Orin".into(), capability: "8.7".into(), integrated: true };
        let missing = Missing::Shim {
            library: "libnvinfer.so.8".into(),
            reason: "libsquint-trt8.so is not there".into(),
        };
        let found = Found {
            cuda: Some("11.4".into()),
            gpus: vec![gpu],
            library: Some("libnvinfer.so.8".into()),
            version: Some("8.5.2".into()),
            missing: Some(missing),
            ..Found::default()
        };
        let [gpu, tensorrt] = findings(&found, &[]).try_into().ok().expect("two lines");
        assert_eq!(gpu.detail, "Orin (compute capability 8.7), driver for CUDA 11.4");
        assert!(gpu.there && !tensorrt.there && !tensorrt.optional);
        let want = "8.5.2, but: no TensorRT shim for libnvinfer.so.8 (libsquint-trt8.so is not there): build it with scripts/shims";
        assert_eq!(tensorrt.detail, want);

        let whole = Found {
            shim: Some("/usr/lib/squint/libsquint-trt8.so".into()),
            headers: Some("8.2.1".into()),
            missing: None,
            ..found
        };
        let shims =
            ["/usr/lib/squint/libsquint-trt8.so", "/usr/local/lib/squint/libsquint-trt10.so"]
                .map(PathBuf::from);
        let [_, tensorrt, shims] = findings(&whole, &shims).try_into().ok().expect("three lines");
        assert!(shims.there && shims.optional);
        assert_eq!(
            shims.detail,
            "/usr/lib/squint/libsquint-trt8.so, /usr/local/lib/squint/libsquint-trt10.so"
        );
        assert!(tensorrt.there);
        assert_eq!(
            tensorrt.detail,
            "8.5.2 (libnvinfer.so.8), shim /usr/lib/squint/libsquint-trt8.so built for 8.2.1"
        );
    }
}
