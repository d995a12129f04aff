//! A catalogue folder for tests: temporary, with small models and correct manifests, each of which a test may then spoil.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use squint::engine::onnx::OnnxRuntime;

use crate::onnx_model::{Finish, Model};

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
        fs::write(folder.path().join("labels/three.txt"), "k1\tred\nk2\tgreen\nk3\tblue\n").unwrap();
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

    /// Adds a network whose manifest is right for `model` and whose file holds `bytes`; the hash is that of `bytes`.
    pub(crate) fn network_from_bytes(&self, id: &str, model: &Model, bytes: &[u8]) {
        self.write(&format!("{id}/model.onnx"), bytes);
        self.write(&format!("{id}/engine.toml"), manifest(id, model, bytes));
    }

    /// Adds an ensemble.
    pub(crate) fn ensemble(&self, id: &str, members: &[&str]) {
        let text = format!("format = 1\nid = \"{id}\"\nruntime = \"ensemble\"\n[ensemble]\nmembers = {members:?}\n");
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
    let sha256: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let list = |value: &str| vec![value; channels as usize].join(", ");
    let (layout, colours) = (if model.nhwc { "nhwc" } else { "nchw" }, if channels == 1 { "gray" } else { "rgb" });
    let kind = if model.finish == Finish::Softmax { "probabilities" } else { "logits" };
    let labels = if model.classes == 2 { "two" } else { "three" };
    format!(
        "format = 1\nid = \"{id}\"\nruntime = \"onnxruntime\"\ndescription = \"made for a test\"\n\
         [model]\nfile = \"model.onnx\"\nsha256 = \"{sha256}\"\nprecision = \"float32\"\nlicence = \"MIT\"\norigin = \"a test\"\n\
         [input]\nwidth = {width}\nheight = {height}\nlayout = \"{layout}\"\nchannels = \"{colours}\"\n\
         mean = [{}]\nstd = [{}]\n\
         [output]\nkind = \"{kind}\"\nlabels = \"../labels/{labels}.txt\"\n\
         [[measured.latency]]\nmachine = \"desk\"\nthreads = 1\np50_ms = 4.5\np95_ms = 5.0\n",
        list("100"),
        list("50")
    )
}

/// The backend, with the library that `make deps` fetches. Fails, rather than skips, where that is missing.
pub(crate) fn runtime() -> OnnxRuntime {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/onnxruntime/libonnxruntime.so");
    assert!(library.is_file(), "ONNX Runtime is not there; run `make deps` first, it puts the library into .deps/onnxruntime/");
    OnnxRuntime::new(Some(&library), 1)
}
