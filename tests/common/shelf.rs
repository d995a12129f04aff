//! A catalogue folder for tests: temporary, with small models and correct manifests, each of which
//! a test may then spoil.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use squint::engine::onnx::OnnxRuntime;

use super::onnx_model::{Finish, Model, STEP, ZERO};

/// Temporary catalogue.
pub(crate) struct Shelf {
    folder: tempfile::TempDir,
}

impl Shelf {
    /// With `labels/three.txt` and `labels/two.txt`, and no engine.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for shared in ["labels", "weights", "build"] {
            fs::create_dir(folder.path().join(shared)).unwrap();
        }
        fs::write(folder.path().join("labels/three.txt"), "k1\tred\nk2\tgreen\nk3\tblue\n")
            .unwrap();
        fs::write(folder.path().join("labels/two.txt"), "dark\nbright\n").unwrap();
        Self { folder }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes `text` to a file of the shelf, folders included.
    pub(crate) fn write(&self, place: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Adds a network.
    pub(crate) fn network(&self, id: &str, model: &Model) {
        self.network_from_bytes(id, model, &model.bytes());
    }

    /// Adds a network whose manifest is right for `model` and whose file holds `bytes`; the hash is
    /// that of `bytes`.
    pub(crate) fn network_from_bytes(&self, id: &str, model: &Model, bytes: &[u8]) {
        self.write(&format!("{id}/model.onnx"), bytes);
        if let Some(location) = model.external.filter(|location| !location.starts_with(['/', '.']))
        {
            self.write(&format!("{id}/{location}"), model.data());
        }
        self.write(&format!("{id}/engine.toml"), manifest(id, model, bytes));
    }

    /// Adds an ensemble.
    pub(crate) fn ensemble(&self, id: &str, members: &[&str]) {
        let text = format!(
            "format = 1\nid = \"{id}\"\nruntime = \"ensemble\"\n[ensemble]\nmembers = {members:?}\n"
        );
        self.write(&format!("{id}/engine.toml"), text);
    }

    /// Replaces text in an engine's manifest; the text must be there.
    pub(crate) fn edit(&self, id: &str, from: &str, to: &str) {
        let path = self.path().join(id).join("engine.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

/// A manifest that fits `model`: raw samples 0..=255 minus 100, divided by 50.
pub(crate) fn manifest(id: &str, model: &Model, bytes: &[u8]) -> String {
    let [channels, height, width] = model.size;
    let hash = |bytes: &[u8]| {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let sha256 = hash(bytes);
    let list = |value: &str| vec![value; channels as usize].join(", ");
    let (layout, colours) =
        (if model.nhwc { "nhwc" } else { "nchw" }, if channels == 1 { "gray" } else { "rgb" });
    let kind = if model.finish == Finish::Softmax { "probabilities" } else { "logits" };
    let data = model.external.map_or(String::new(), |location| {
        format!("[[model.data]]\nfile = \"{location}\"\nsha256 = \"{}\"\n", hash(&model.data()))
    });
    let name = if model.second_output { "name = \"scores\"\n" } else { "" };
    let steps = match model.ends[1] {
        2 => format!("scale = {STEP}\nzero_point = {ZERO}\n"),
        3 => format!("scale = {STEP}\n"),
        _ => String::new(),
    };
    // Whole numbers hold the samples themselves; the network then sees 0 to 255, or that less 128.
    let (mean, std) = match model.ends[0] {
        2 => ("0", "1"),
        3 => ("128", "1"),
        _ => ("100", "50"),
    };
    let labels = if model.classes == 2 { "two" } else { "three" };
    format!(
        "format = 1\nid = \"{id}\"\nruntime = \"onnxruntime\"\ndescription = \"made for a test\"\n\
         [model]\nfile = \"model.onnx\"\nsha256 = \"{sha256}\"\nprecision = \"float32\"\nlicence = \"MIT\"\norigin = \"a test\"\n{data}\
         [input]\nwidth = {width}\nheight = {height}\nlayout = \"{layout}\"\nchannels = \"{colours}\"\n\
         mean = [{}]\nstd = [{}]\n\
         [output]\n{name}kind = \"{kind}\"\n{steps}labels = \"../labels/{labels}.txt\"\n\
         [[measured.latency]]\nmachine = \"desk\"\nthreads = 1\np50_ms = 4.5\np95_ms = 5.0\n",
        list(mean),
        list(std)
    )
}

/// The backend, with the library that `make deps` fetches. Fails, rather than skips, where that is
/// missing.
pub(crate) fn runtime() -> OnnxRuntime {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/onnxruntime/libonnxruntime.so");
    assert!(
        library.is_file(),
        "ONNX Runtime is not there; run `make deps` first, it puts the library into .deps/onnxruntime/"
    );
    OnnxRuntime::new(Some(&library), 1)
}
