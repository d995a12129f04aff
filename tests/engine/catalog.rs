//! What the catalogue takes in, and every reason for which it refuses an engine: by name, with
//! words that help.
//!
//! No model is run here; the files only have to be there.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::common::onnx_model::Model;
use crate::common::shelf::{Shelf, manifest};
use proptest::prelude::*;
use squint::engine::catalog::{Catalog, Level};
use squint::engine::manifest::{
    Area, Channels, Filter, Kind, Precision, Scores, TensorLayout, parse,
};

fn shelf_with_one() -> Shelf {
    let shelf = Shelf::new();
    shelf.network("one", &Model::brightest(4, 4));
    shelf
}

/// All problems, one a line.
fn problems(shelf: &Shelf) -> String {
    let lines: Vec<String> =
        Catalog::open(shelf.path()).1.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn assert_refused(shelf: &Shelf, id: &str, wants: &[&str]) {
    let (catalog, found) = Catalog::open(shelf.path());
    assert!(catalog.get(id).is_none(), "{id} got in");
    let about: Vec<_> = found
        .iter()
        .filter(|problem| problem.engine.as_deref() == Some(id) && problem.level == Level::Error)
        .collect();
    assert!(!about.is_empty(), "nothing about {id} in {found:?}");
    for want in wants {
        assert!(
            about.iter().any(|problem| problem.to_string().contains(want)),
            "wanted {want:?} in {about:?}"
        );
    }
}

#[test]
fn a_full_manifest_is_read_to_the_last_key() {
    let text = r#"
        format = 1
        id = "lite0"
        runtime = "onnxruntime"
        description = "small"
        [model]
        file = "../weights/a.onnx"
        sha256 = "ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
        precision = "int8"
        licence = "Apache-2.0"
        origin = "somewhere"
        [input]
        name = "input"
        width = 224
        height = 192
        layout = "nhwc"
        channels = "bgr"
        mean = [127, 127.5, 128.0]
        std = [1, 2, 3]
        filter = "bicubic"
        [view]
        area = "centre"
        share = 0.875
        mirror = true
        [output]
        name = "logits"
        kind = "probabilities"
        labels = "../labels/l.txt"
        [[measured.accuracy]]
        data = "photos"
        n = 800
        top1 = 0.8
        top1_ci95 = [0.77, 0.83]
        top5 = 0.95
        tool = "script"
        [[measured.latency]]
        machine = "desk"
        threads = 1
        p50_ms = 4.5
        p95_ms = 5
    "#;
    let manifest = parse(text, Path::new("/shelf/lite0/engine.toml")).unwrap();
    let Kind::Network(network) = &manifest.kind else { panic!() };
    assert_eq!(network.file, Path::new("/shelf/lite0/../weights/a.onnx"));
    assert_eq!((network.precision, network.scores), (Precision::Int8, Scores::Probabilities));
    assert_eq!((network.input.layout, network.input.channels), (TensorLayout::Nhwc, Channels::Bgr));
    assert_eq!(
        (network.input.filter, network.input.mean),
        (Filter::Bicubic, [127.0, 127.5, 128.0])
    );
    assert_eq!(network.input.shape(), [1, 192, 224, 3]);
    assert_eq!(
        (network.view.area, network.view.share, network.view.mirror),
        (Area::Centre, 0.875, true)
    );
    assert_eq!(manifest.accuracy[0].top1_ci95, Some((0.77, 0.83)));
    assert_eq!(manifest.latency[0].p95, Duration::from_millis(5));
}

#[test]
fn a_wrong_manifest_is_refused_with_all_its_problems_at_once() {
    let good = manifest("one", &Model::brightest(4, 4), b"model");
    let cases = [
        ("format = 1", "format = 2", "`format` is 2; it must be a whole number, 1..=1"),
        ("id = \"one\"", "id = \"One!\"", "`id` is \"One!\"; allowed are 1 to 64 of a-z, 0-9"),
        (
            "\"onnxruntime\"",
            "\"tensorflow\"",
            "`runtime` is \"tensorflow\"; it must be one of \"onnxruntime\", \"tensorrt\", \"ensemble\"",
        ),
        (
            "width = 4",
            "widht = 4",
            "`input.widht` is not a key that is known here; did you mean `width`?",
        ),
        ("width = 4", "width = 0", "`input.width` is 0; it must be a whole number, 1..=4096"),
        ("width = 4", "width = \"4\"", "`input.width` is \"4\"; it must be a whole number"),
        ("nchw", "hwc", "`input.layout` is \"hwc\"; it must be one of \"nchw\", \"nhwc\""),
        (
            "mean = [100, 100, 100]",
            "mean = [1.0]",
            "`input.mean` is [1.0]; it must hold 3 number(s)",
        ),
        ("mean = [100, 100, 100]\n", "", "`input.mean` is missing"),
        (
            "std = [50, 50, 50]",
            "std = [1, 0, 1]",
            "`input.std` is [1.0, 0.0, 1.0]; it must hold 3 number(s), one a channel, each 0.0001..=10000",
        ),
        (
            "std = [50, 50, 50]",
            "std = [1, nan, 1]",
            "`input.std` is [1, nan, 1]; it must be a list of numbers",
        ),
        ("sha256 = \"", "sha256 = \"x", "`model.sha256` must be 64 hex digits"),
        (
            "file = \"model.onnx\"",
            "file = \"/etc/passwd\"",
            "`model.file` is \"/etc/passwd\"; it must be a path relative to the engine's folder",
        ),
        ("file = \"model.onnx\"", "file = \"../../x.onnx\"", "stays in the catalogue"),
        (
            "[output]",
            "[view]\nshare = 0.05\n[output]",
            "`view.share` is 0.05; it must be a number, 0.1..=1",
        ),
        (
            "[output]",
            "[veiw]\n[output]",
            "`veiw` is not a key that is known here; did you mean `view`?",
        ),
        ("[output]", "[ensemble]\nmembers = []\n[output]", "`ensemble` has no place beside"),
        ("p95_ms = 5.0", "p95_ms = 4.0", "`measured.latency[0].p95_ms` is below `p50_ms`"),
        ("[input]", "[input", "TOML parse error"),
    ];
    for (from, to, want) in cases {
        assert!(good.contains(from), "{from}");
        let error =
            parse(&good.replace(from, to), Path::new("one/engine.toml")).unwrap_err().to_string();
        assert!(
            error.starts_with("one/engine.toml: ") && error.contains(want),
            "wanted {want:?} in {error:?}"
        );
    }
    let error = parse(
        "id = \"x\"\nruntime = \"onnxruntime\"\nfoo = 1\n[model]\n",
        Path::new("engine.toml"),
    )
    .unwrap_err();
    for want in [
        "`format` is missing",
        "`model.file` is missing",
        "section `[input]`",
        "section `[output]`",
        "`foo` is not a key",
    ] {
        assert!(
            error.problems.iter().any(|problem| problem.contains(want)),
            "wanted {want:?} in {:?}",
            error.problems
        );
    }
}

#[test]
fn a_wrong_ensemble_is_refused() {
    let text = |rest: &str| format!("format = 1\nid = \"e\"\nruntime = \"ensemble\"\n{rest}");
    let cases = [
        ("", "`ensemble` is missing"),
        ("[ensemble]\nmembers = [\"a\"]", "must name 2..=8 different engines"),
        ("[ensemble]\nmembers = [\"a\", \"a\"]", "must name 2..=8 different engines"),
        (
            "[ensemble]\nmembers = [\"a\", \"b\"]\nweights = [1]",
            "`ensemble.weights` must hold one number a member",
        ),
        ("[ensemble]\nmembers = [\"a\", \"b\"]\nweights = [1, -1]", "each 0.001..=1000"),
        (
            "[ensemble]\nmembers = [\"a\", \"b\"]\n[input]\nwidth = 3",
            "`input` has no place in an ensemble",
        ),
    ];
    for (rest, want) in cases {
        let error = parse(&text(rest), Path::new("e/engine.toml")).unwrap_err().to_string();
        assert!(error.contains(want), "wanted {want:?} in {error:?}");
    }
}

#[test]
fn an_engine_dropped_into_the_folder_is_there() {
    let shelf = shelf_with_one();
    shelf.network("my-own", &Model::bright_or_dark(3, 3));
    let (catalog, found) = Catalog::open(shelf.path());
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(catalog.ids().collect::<Vec<_>>(), ["my-own", "one"]);
    let labels = catalog.labels("one").unwrap();
    assert_eq!((labels.classes[1].key.as_str(), labels.classes[1].name.as_str()), ("k2", "green"));
    assert_eq!(catalog.labels("my-own").unwrap().classes[1].key, "");
    let Kind::Network(network) = &catalog.get("my-own").unwrap().kind else { panic!() };
    assert_eq!(network.classes, 2);
    assert!(network.file.is_absolute() && network.labels.is_absolute());
    assert_eq!(catalog.verify_files(catalog.ids()), []);
}

#[test]
fn a_folder_that_is_no_engine_is_a_warning_and_shared_folders_are_none() {
    let shelf = shelf_with_one();
    fs::create_dir(shelf.path().join("notes")).unwrap();
    fs::create_dir(shelf.path().join(".git")).unwrap();
    shelf.write("README.md", "hello");
    let (catalog, found) = Catalog::open(shelf.path());
    assert_eq!(catalog.ids().count(), 1);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].level, found[0].engine.as_deref()), (Level::Warning, Some("notes")));
}

#[test]
fn a_catalogue_that_is_not_there_is_one_clear_problem() {
    let (catalog, found) = Catalog::open(Path::new("/nowhere/engines"));
    assert_eq!(catalog.ids().count(), 0);
    assert!(
        found[0].to_string().contains("/nowhere/engines")
            && found[0].text.contains("engines.folder"),
        "{found:?}"
    );
}

#[test]
fn one_bad_engine_does_not_hide_the_others_and_all_are_named() {
    let shelf = shelf_with_one();
    for id in ["two", "three", "four"] {
        shelf.network(id, &Model::brightest(4, 4));
    }
    shelf.edit("two", "id = \"two\"", "id = \"deux\"");
    shelf.edit("three", "id = \"three\"", "id = \"one\"");
    fs::remove_file(shelf.path().join("four/model.onnx")).unwrap();
    let (catalog, found) = Catalog::open(shelf.path());
    assert_eq!(catalog.ids().collect::<Vec<_>>(), ["one"]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_refused(&shelf, "two", &["`id` is \"deux\" but the folder is two/"]);
    assert_refused(&shelf, "three", &["`id` is \"one\", which is the engine in one/"]);
    assert_refused(&shelf, "four", &["`model.file`", "model.onnx: No such file"]);
}

#[test]
fn files_must_be_there_whole_and_inside_the_catalogue() {
    let shelf = shelf_with_one();
    shelf.edit("one", "three.txt", "missing.txt");
    assert_refused(&shelf, "one", &["`output.labels`", "missing.txt: No such file"]);
    shelf.edit("one", "missing.txt", "two.txt");
    shelf.write("labels/two.txt", "");
    assert_refused(&shelf, "one", &["`output.labels`", "no class in it"]);
    shelf.edit("one", "two.txt", "three.txt");
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::remove_file(shelf.path().join("one/model.onnx")).unwrap();
    std::os::unix::fs::symlink(outside.path(), shelf.path().join("one/model.onnx")).unwrap();
    assert_refused(&shelf, "one", &["`model.file`", "outside the catalogue"]);
    fs::remove_file(shelf.path().join("one/model.onnx")).unwrap();
    fs::create_dir(shelf.path().join("one/model.onnx")).unwrap();
    assert_refused(&shelf, "one", &["is not a regular file"]);
}

#[test]
fn what_is_too_large_is_refused_unread() {
    let shelf = shelf_with_one();
    let grow = |place: &str, bytes: u64| {
        fs::OpenOptions::new()
            .write(true)
            .open(shelf.path().join(place))
            .unwrap()
            .set_len(bytes)
            .unwrap();
    };
    grow("one/model.onnx", (2 << 30) + 1);
    assert_refused(&shelf, "one", &["2147483649 bytes, allowed are 2147483648"]);
    grow("one/model.onnx", 10);
    grow("labels/three.txt", (16 << 20) + 1);
    assert_refused(&shelf, "one", &["16777217 bytes, allowed are 16777216"]);
    grow("one/engine.toml", (256 << 10) + 1);
    assert_refused(&shelf, "one", &["one/engine.toml: larger than 262144 bytes"]);
}

#[test]
fn a_catalogue_may_hold_more_engines_than_a_policy_and_those_beyond_its_own_limit_are_named() {
    let shelf = Shelf::new();
    let model = Model::brightest(2, 2);
    for number in 0..40 {
        shelf.network(&format!("engine{number:02}"), &model);
    }
    let (catalog, found) = Catalog::open(shelf.path());
    assert_eq!((catalog.ids().count(), found.len()), (40, 0));
    for number in 40..1026 {
        shelf.ensemble(&format!("engine{number:04}"), &["engine00", "engine01"]);
    }
    let (catalog, found) = Catalog::open(shelf.path());
    assert_eq!((catalog.ids().count(), found.len()), (1024, 2));
    let told = problems(&shelf);
    assert_eq!(told.matches("more than 1024 engines; move some out of").count(), 2, "{told}");
}

#[test]
fn a_labels_file_of_another_form_is_refused_with_the_form_that_is_wanted() {
    let shelf = shelf_with_one();
    for (text, why) in [
        ("[\"red\", \"green\", \"blue\"]\n", "JSON"),
        ("0,red\n1,green\n2,blue\n", "numbers its lines"),
        ("red\n\ngreen\nblue\n", "line 2 is empty"),
        ("k\tred\nk\tgreen\nm\tblue\n", "line 2 has the key `k` of line 1"),
    ] {
        shelf.write("labels/three.txt", text);
        assert_refused(&shelf, "one", &["`output.labels`: ", "three.txt: ", why]);
    }
    shelf.write("labels/three.txt", "red\nred\nblue\n");
    let (catalog, found) = Catalog::open(shelf.path());
    assert!(catalog.get("one").is_some() && found.len() == 1, "a warning: {found:?}");
    assert!(found[0].text.contains("lines 1 and 2 are both `red`"), "{found:?}");
}

#[test]
fn a_changed_model_is_found_when_files_are_verified() {
    let shelf = shelf_with_one();
    shelf.network("two", &Model::brightest(4, 4));
    shelf.ensemble("pair", &["one", "two"]);
    shelf.write("two/model.onnx", "changed");
    let (catalog, found) = Catalog::open(shelf.path());
    assert!(found.is_empty(), "the quick look does not read models: {found:?}");
    assert_eq!(catalog.verify_files(["one"]), []);
    let bad = catalog.verify_files(["pair", "two"]);
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert_eq!(bad[0].engine.as_deref(), Some("two"));
    assert!(
        bad[0].text.contains("two/model.onnx has sha256")
            && bad[0].text.contains("the manifest says"),
        "{bad:?}"
    );
    assert!(catalog.verify_files(["tow"])[0].text.contains("did you mean `two`?"));
}

#[test]
fn ensembles_that_cannot_be_averaged_are_refused() {
    let shelf = shelf_with_one();
    shelf.network("two", &Model::brightest(4, 4));
    shelf.network("gray", &Model::bright_or_dark(3, 3));
    shelf.ensemble("good", &["one", "two"]);
    shelf.ensemble("nested", &["good", "one"]);
    shelf.ensemble("dangling", &["one", "tow"]);
    shelf.ensemble("unlike", &["one", "gray"]);
    shelf.ensemble("self", &["one", "self"]);
    shelf.ensemble("ring-a", &["one", "ring-b"]);
    shelf.ensemble("ring-b", &["ring-a", "two"]);
    shelf.ensemble("above", &["dangling", "two"]);
    let (catalog, found) = Catalog::open(shelf.path());
    assert_eq!(catalog.ids().collect::<Vec<_>>(), ["good", "gray", "nested", "one", "two"]);
    assert_eq!(found.len(), 6, "{found:?}");
    assert_refused(&shelf, "dangling", &["names `tow`, which is not there"]);
    assert_refused(&shelf, "unlike", &["`one` and `gray` have different labels files"]);
    assert_refused(&shelf, "self", &["lead back to it: self -> self"]);
    assert_refused(&shelf, "ring-a", &["lead back to it: ring-a -> ring-b -> ring-a"]);
    assert_refused(&shelf, "above", &["names `dangling`, which was refused itself"]);
    assert_eq!(catalog.members("nested"), [("good".to_owned(), 0.5), ("one".to_owned(), 0.5)]);
    let networks: Vec<_> = catalog
        .networks("nested")
        .iter()
        .map(|(manifest, weight)| (manifest.id.as_str(), *weight))
        .collect();
    assert_eq!(networks, [("one", 0.25), ("two", 0.25), ("one", 0.5)]);
}

#[test]
fn nesting_cannot_multiply_the_networks_without_end() {
    let shelf = shelf_with_one();
    shelf.network("two", &Model::brightest(4, 4));
    let mut below = ["one".to_owned(), "two".to_owned()];
    for level in 0..6 {
        let next = ["a", "b"].map(|side| format!("level{level}{side}"));
        next.iter().for_each(|id| shelf.ensemble(id, &below.each_ref().map(String::as_str)));
        below = next;
    }
    let (catalog, _) = Catalog::open(shelf.path());
    assert_eq!(catalog.networks("level3a").len(), 16);
    assert_refused(&shelf, "level4a", &["come to 32 networks, allowed are 16"]);
}

#[test]
fn the_prior_is_the_first_record_or_the_sum_of_the_members() {
    let shelf = shelf_with_one();
    shelf.network("two", &Model::brightest(4, 4));
    shelf.ensemble("pair", &["one", "two"]);
    let (catalog, _) = Catalog::open(shelf.path());
    let ms = Duration::from_micros;
    assert_eq!(catalog.prior("one"), Some((ms(4_500), ms(5_000))));
    assert_eq!(catalog.prior("pair"), Some((ms(9_000), ms(10_000))));
    assert_eq!(catalog.prior("nobody"), None);
    let text = fs::read_to_string(shelf.path().join("two/engine.toml")).unwrap();
    shelf.write("two/engine.toml", &text[..text.find("[[measured").unwrap()]);
    let (catalog, _) = Catalog::open(shelf.path());
    assert_eq!(catalog.prior("pair"), None, "half a sum is no prior");
}

#[test]
fn a_manifest_that_is_no_text_and_a_folder_with_an_odd_name_are_refused() {
    let shelf = shelf_with_one();
    shelf.write("one/engine.toml", [0xff, 0xfe]);
    assert_refused(&shelf, "one", &["one/engine.toml: not UTF-8"]);
    shelf.write("Grand Engine/engine.toml", "");
    assert!(
        problems(&shelf).contains("the folder is called \"Grand Engine\""),
        "{}",
        problems(&shelf)
    );
}

proptest! {
    #[test]
    fn any_text_is_a_manifest_or_a_list_of_problems(text in "[a-z0-9=\\[\\]\"., \n_-]{0,200}") {
        if let Err(error) = parse(&text, Path::new("x/engine.toml")) {
            prop_assert!(!error.problems.is_empty());
        }
    }
}
