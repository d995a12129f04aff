//! `squint classify` on real files: right answers, and what it makes of pictures that are broken,
//! tiny, huge or not there.

use crate::common::program::*;
use image::{Rgb, RgbImage};
use serde_json::Value;

/// What the photos show, as far as nobody can disagree.
const SHOWN: [(&str, &[&str]); 3] = [
    ("chelsea", &["tabby", "tiger cat", "Egyptian cat"]),
    ("coffee", &["espresso", "cup"]),
    ("camera", &["tripod"]),
];

fn top(record: &Value) -> &str {
    record["top"][0]["name"].as_str().unwrap()
}

fn is_right(seen: &str, photo: &str) -> bool {
    SHOWN.iter().any(|(shown, names)| {
        photo.contains(shown) && names.iter().any(|name| seen.starts_with(name))
    })
}

#[test]
fn photos_are_answered_in_order_by_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let policy = confidence_policy(folder.path(), 0.6);
    let photos: Vec<String> = SHOWN.iter().map(|(name, _)| photo(name)).collect();
    let args = |form: &[&str]| {
        let all = ["classify", "--policy", policy.to_str().unwrap()]
            .into_iter()
            .chain(form.iter().copied());
        all.chain(photos.iter().map(String::as_str)).map(str::to_owned).collect::<Vec<_>>()
    };
    let told = ask(args(&["--json"])).ends(0);
    assert_eq!(told.err, "", "a question that was answered needs no log");
    let records = told.records();
    assert_eq!(records.len(), photos.len());
    for ((number, record), photo) in records.iter().enumerate().zip(&photos) {
        assert_eq!(
            (record["file"].as_str().unwrap(), record["frame"].as_u64().unwrap()),
            (&**photo, number as u64)
        );
        assert!(is_right(top(record), photo), "{photo}: {record}");
        let asked: Vec<_> = record["engines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|engine| engine["id"].as_str().unwrap())
            .collect();
        assert!(asked == ENGINES[..asked.len()] && !asked.is_empty(), "{asked:?}");
        assert_eq!(
            asked.len() == 1,
            record["engines"][0]["p"].as_f64().unwrap() >= 0.6,
            "{record}"
        );
    }
    let told = ask(args(&[])).ends(0);
    let lines: Vec<_> = told.out.lines().collect();
    assert_eq!(lines.len(), photos.len(), "{}", told.out);
    for (line, photo) in lines.iter().zip(&photos) {
        let name = photo.rsplit('/').next().unwrap();
        assert!(
            line.contains(name) && line.contains(" ms  (") && line.contains(ENGINES[0]),
            "{line}"
        );
    }
    assert!(!told.out.contains('\u{1b}') && told.err.is_empty(), "{}{}", told.out, told.err);
}

#[test]
fn one_engine_can_be_asked_alone_and_an_unknown_one_gets_a_suggestion() {
    let records = ask(["classify", "--engine", "lite0-224-int8", "--json", &photo("chelsea")])
        .ends(0)
        .records();
    assert!(is_right(top(&records[0]), "chelsea"), "{}", records[0]);
    assert_eq!(records[0]["engines"][0]["id"], "lite0-224-int8");
    for (typed, meant) in [
        ("lite0-224", "`lite0-224-int8`"),
        ("lite0-244-int8", "`lite0-224-int8`"),
        ("lite1", "`lite1-240-int8`"),
    ] {
        let told = ask(["classify", "--engine", typed, &photo("chelsea")]).ends(64);
        assert!(told.err.contains(&format!("did you mean {meant}?")), "{}", told.err);
    }
    let told = ask(["classify", "--engine", "resnet", &photo("chelsea")]).ends(64);
    assert!(told.err.contains("there are ") && told.err.contains("lite0-128-int8"), "{}", told.err);
}

#[test]
fn a_configuration_serves_classify_whatever_its_cameras_and_outputs_are() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, file) =
        (confidence_policy(folder.path(), 0.6), folder.path().join("records.jsonl"));
    let text = format!(
        "policy = \"{}\"\n[output]\nstdout = \"none\"\nfile = {{ path = \"{}\" }}\n[[camera]]\nname = \"a\"\nsource = \"csi:0\"\n\
         [[camera]]\nname = \"b\"\nsource = \"csi:1\"\n",
        policy.display(),
        file.display()
    );
    let config = write(folder.path().join("squint.toml"), text);
    let records =
        ask(["classify", "--config", config.to_str().unwrap(), "--json", &photo("chelsea")])
            .ends(0)
            .records();
    assert!(is_right(top(&records[0]), "chelsea") && !file.exists());
    for command in [&["engines", "list"][..], &["doctor"], &["check"]] {
        ask(command.iter().chain(&["--config", config.to_str().unwrap()])).ends(0);
    }
}

#[test]
fn pictures_that_cannot_be_read_are_named_and_the_others_answered() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let whole = std::fs::read(root().join(photo("chelsea"))).unwrap();
    let broken = [
        write(place("zero.png"), ""),
        write(place("garbage.jpg"), "this is no picture"),
        write(place("cut.png"), &whole[..whole.len() / 3]),
        place("missing.png"),
        folder.path().to_owned(),
    ];
    let good = photo("coffee");
    let mut args = vec!["classify", "--engine", "lite0-128-int8", "--json", good.as_str()];
    args.extend(broken.iter().map(|path| path.to_str().unwrap()));
    args.push(&good);
    let told = ask(&args).ends(69);
    for path in &broken {
        let lines: Vec<_> = told
            .err
            .lines()
            .filter(|line| line.contains(&format!("{} ", path.display())))
            .collect();
        assert_eq!(lines.len(), 1, "{} in {}", path.display(), told.err);
    }
    assert!(told.err.ends_with("5 pictures got no answer, see above\n"), "{}", told.err);
    let records = told.records();
    assert_eq!(
        records.iter().map(|record| record["frame"].as_u64().unwrap()).collect::<Vec<_>>(),
        [0, 6]
    );
    let drops = |record: &Value| record["drops"]["unreadable"].as_u64().unwrap_or(0);
    assert!(records.iter().map(drops).sum::<u64>() <= 5, "each is told once at most");
}

#[test]
fn pictures_of_any_shape_and_format_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let chelsea = image::open(root().join(photo("chelsea"))).unwrap();
    let mut paths = Vec::new();
    let dot = |width, height| RgbImage::from_pixel(width, height, Rgb([200, 60, 30]));
    for (name, picture) in
        [("dot.png", dot(1, 1)), ("wide.png", dot(16_384, 2)), ("tall.bmp", dot(3, 5000))]
    {
        let path = folder.path().join(name);
        picture.save(&path).unwrap();
        paths.push(path);
    }
    for (name, picture) in [
        ("grey alpha.png", image::DynamicImage::ImageLumaA8(chelsea.to_luma_alpha8())),
        ("sixteen.png", image::DynamicImage::ImageRgb16(chelsea.to_rgb16())),
        ("lossless.webp", chelsea.clone()),
        ("wrong name.png.jpg", chelsea.clone()),
    ] {
        let path = folder.path().join(name);
        if name.ends_with(".png.jpg") {
            picture.save_with_format(&path, image::ImageFormat::Png).unwrap();
        } else {
            picture.save(&path).unwrap();
        }
        paths.push(path);
    }
    let mut args = vec!["classify", "--engine", "lite0-128-int8", "--json"];
    args.extend(paths.iter().map(|path| path.to_str().unwrap()));
    let records = ask(&args).ends(0).records();
    assert_eq!(records.len(), paths.len());
    for record in &records {
        assert_eq!(record["outcome"], "answered", "{record}");
        let cat = ["sixteen", "lossless", "wrong name"]
            .iter()
            .any(|name| record["file"].as_str().unwrap().contains(name));
        assert!(!cat || is_right(top(record), "chelsea"), "{record}");
    }
    let broad = folder.path().join("too wide.png");
    dot(16_385, 1).save(&broad).unwrap();
    let told = ask(["classify", "--engine", "lite0-128-int8", broad.to_str().unwrap()]).ends(69);
    assert!(told.err.contains("too wide.png") && told.err.contains("16384"), "{}", told.err);
}

#[test]
fn pictures_left_out_and_of_other_kinds_are_counted_and_named_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(root().join(photo("chelsea")), at("a.png")).unwrap();
    let jpeg = {
        let mut jpeg = std::io::Cursor::new(Vec::new());
        RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8 * 4, y as u8 * 4, 9]))
            .write_to(&mut jpeg, image::ImageFormat::Jpeg)
            .unwrap();
        jpeg.into_inner()
    };
    write(at("b-cut.jpg"), &jpeg[..jpeg.len() * 2 / 3]);
    write(at("c-page.jpg"), b"<html>not found</html>");
    std::fs::create_dir(at("d-folder.jpg")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("e-link.jpg")).unwrap();
    for name in ["1.heic", "2.HEIC", "3.gif", "readme.txt"] {
        write(at(name), b"x");
    }
    let summary = at("summary.json");
    let source = folder.path().to_str().unwrap();
    let args = [
        "run",
        "--deadline-ms",
        "60000",
        "--source",
        source,
        "--policy",
        "lite0-128-int8",
        "--summary",
    ];
    let policy = write(
        at("one.policy.toml"),
        b"format = 1\nname = \"one\"\nkind = \"fixed\"\n[fixed]\nengine = \"lite0-128-int8\"\n",
    );
    let args = args.map(|arg| if arg == "lite0-128-int8" { policy.to_str().unwrap() } else { arg });
    let told = ask(args.into_iter().chain([summary.to_str().unwrap()])).ends(75); // most were not to be read
    assert_eq!(told.records().len(), 1, "{}", told.out);
    for (name, says) in [
        ("b-cut.jpg", "cut short"),
        ("c-page.jpg", "a web page, perhaps of an error"),
        ("d-folder.jpg", "a folder, not a picture"),
        ("e-link.jpg", "a link to a file that is not there"),
    ] {
        assert!(
            told.err.lines().any(|line| line.contains(name) && line.contains(says)),
            "{name}: {}",
            told.err
        );
    }
    let end = "4 pictures were left out: b-cut.jpg, c-page.jpg, d-folder.jpg, e-link.jpg; \
               1 .gif, 2 .heic files are not read; convert them to JPEG or PNG";
    assert!(told.err.contains(end) && told.err.contains("4 unreadable"), "{}", told.err);
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(summary).unwrap()).unwrap();
    assert_eq!(
        (&summary["frames"], &summary["answered"], &summary["dropped"]["unreadable"]),
        (&5.into(), &1.into(), &4.into())
    );
    // The same in the photos that are profiled.
    let out = at("out.parquet");
    std::fs::create_dir(at("photos")).unwrap();
    std::fs::create_dir(at("photos/285")).unwrap();
    for name in ["a.png", "b-cut.jpg", "c-page.jpg", "1.heic"] {
        std::fs::rename(at(name), at("photos/285").join(name)).unwrap();
    }
    std::os::unix::fs::symlink("nowhere", at("photos/285/e-link.jpg")).unwrap();
    let args = ["profile", "--pool", "lite0-128-int8", "--repeats", "3", "--images"];
    let told = ask(args.into_iter().chain([
        at("photos").to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]))
    .ends(0);
    assert!(
        told.err.contains("1 .heic file is not read; convert it to JPEG or PNG"),
        "{}",
        told.err
    );
    assert!(told.out.contains("1 photos, 1 engines, 3 photos unreadable"), "{}", told.out);
}
