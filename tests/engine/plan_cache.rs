//! Plans on the disk: what counts, what does not, what a killed or failing build leaves; and builds
//! in a process of their own.
//!
//! Whoever builds is a fake here, and plans are any bytes: this proves how Squint keeps them,
//! nothing of TensorRT.

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::again;
use squint::engine::tensorrt::calibration::pictures::Feed;
use squint::engine::tensorrt::plan::build::{
    BuildError, Builder, Built, Hear, Progress, Request, make, remember,
};
use squint::engine::tensorrt::plan::cache::{Best, Cache, CacheError, Entry};
use squint::engine::tensorrt::plan::child::{Build, Outcome, Program};
use squint::engine::tensorrt::plan::name::{Key, Precision, Sha256};
use squint::engine::tensorrt::plan::sidecar::{Measured, Sidecar, Target, Tensor};

const MODEL: &str = "lite0-224";

fn target() -> Target {
    Target {
        key: Key {
            source: Sha256::of(b"model"),
            tensorrt: "8.2.1".parse().unwrap(),
            capability: "6.2".parse().unwrap(),
            precision: Precision::Fp16,
            batch: 1,
            device: "gpu".parse().unwrap(),
            calibration: None,
        },
        input: [1, 3, 224, 224],
        rewriting: None,
        gpu: "NVIDIA Tegra X2".into(),
        driver: Some("L4T 32.7.4".into()),
        flags: Vec::new(),
    }
}

fn sidecar(target: Target, plan: &[u8]) -> Sidecar {
    Sidecar {
        model: MODEL.into(),
        target,
        plan_sha256: Sha256::of(plan),
        plan_bytes: plan.len() as u64,
        cuda: None,
        tensors: Vec::new(),
        built_at_s: 1_764_000_000,
        build: Duration::from_secs(90),
        measured: None,
    }
}

/// A folder with one plan in it.
fn kept() -> (tempfile::TempDir, Cache, Entry) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path());
    let entry = cache.writer().unwrap().keep(&sidecar(target(), b"the plan"), b"the plan").unwrap();
    (folder, cache, entry)
}

/// All files below `folder`, the lock left out.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false if name == "lock" => (),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

/// Builds what it is told to, and counts.
struct Fake {
    makes: fn() -> Result<Vec<u8>, BuildError>,
    builds: Cell<u32>,
}

impl Fake {
    fn new(makes: fn() -> Result<Vec<u8>, BuildError>) -> Self {
        Self { makes, builds: Cell::new(0) }
    }
}

impl Builder for Fake {
    fn build(&self, request: &Request, progress: &mut Hear<'_>) -> Result<Built, BuildError> {
        self.builds.set(self.builds.get() + 1);
        progress(Progress { phase: "tactics".into(), done: 1, steps: 2 });
        let tensors = vec![Tensor {
            name: "input".into(),
            input: true,
            dims: request.target.input.map(i64::from).to_vec(),
        }];
        (self.makes)().map(|plan| Built {
            plan,
            tensors,
            timing: Some(b"timings".to_vec()),
            cuda: Some("10.2".into()),
            measured: None,
        })
    }

    fn calibrate(
        &self,
        request: &Request,
        _: &mut Feed<'_>,
        progress: &mut Hear<'_>,
    ) -> Result<(Built, Vec<u8>), BuildError> {
        Ok((self.build(request, progress)?, Vec::new()))
    }
}

fn request(target: Target) -> Request {
    Request {
        model: MODEL.into(),
        target,
        onnx: b"model".to_vec(),
        workspace: None,
        calibration: None,
        timing: None,
    }
}

/// Builds with `fake`; the progress that was told.
fn build(
    cache: &Cache,
    fake: &Fake,
    target: Target,
    again: bool,
) -> (Result<Entry, BuildError>, usize) {
    let mut told = 0;
    let built = make(fake, &cache.writer().unwrap(), &request(target), again, &mut |_| told += 1);
    (built, told)
}

#[test]
fn a_built_plan_is_found_again_with_all_that_is_known_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(&folder.path().join("plans"));
    assert!(
        cache.list(MODEL).unwrap().plans.is_empty() && cache.models().unwrap().is_empty(),
        "no folder is no plan"
    );
    let (built, told) = build(&cache, &Fake::new(|| Ok(b"plan".to_vec())), target(), false);
    let mut built = built.unwrap();
    assert_eq!(told, 1);
    let listing = cache.list(MODEL).unwrap();
    let Best::Fits(entry) = listing.best(&target()) else { panic!("{listing:?}") };
    assert_eq!(*entry, built);
    assert_eq!(cache.read(entry).unwrap(), b"plan");
    assert_eq!(
        (entry.sidecar.tensors[0].dims.as_slice(), entry.sidecar.cuda.as_deref()),
        (&[1, 3, 224, 224][..], Some("10.2"))
    );
    let key = target().key;
    assert_eq!(cache.timing(key.tensorrt, key.capability).as_deref(), Some(&b"timings"[..]));
    assert_eq!(cache.timing("8.5.2".parse().unwrap(), key.capability), None, "of another TensorRT");

    let measured = Measured { p50: Duration::from_micros(900), p95: Duration::from_micros(950) };
    cache.writer().unwrap().note(&mut built, measured).unwrap();
    assert_eq!(cache.list(MODEL).unwrap().plans[0].sidecar.measured, Some(measured));
}

#[test]
fn what_was_spoilt_never_counts_and_says_why() {
    type Spoil = fn(&Path);
    let json = |plan: &Path| plan.with_extension("json");
    let cases: [(Spoil, &str); 8] = [
        (|plan| fs::write(plan, "the pla").unwrap(), "has 7 bytes, its sidecar says 8"),
        (|plan| fs::remove_file(plan).unwrap(), "No such file"),
        (
            |plan| fs::set_permissions(plan, Permissions::from_mode(0o664)).unwrap(),
            "can be written by others (mode 664)",
        ),
        (
            |plan| {
                fs::rename(plan, plan.with_extension("x")).unwrap();
                symlink(plan.with_extension("x"), plan).unwrap();
            },
            "is not a regular file",
        ),
        (|plan| fs::write(plan.with_extension("json"), "{\"v\": 1").unwrap(), "EOF while parsing"),
        (
            |plan| fs::write(plan.with_extension("json"), "{\"v\": 7}").unwrap(),
            "v = 7, only 1 is read",
        ),
        (
            |plan| fs::write(plan.with_extension("json"), vec![b' '; 70_000]).unwrap(),
            "larger than 65536 bytes",
        ),
        (
            |plan| {
                let other = plan.with_file_name(
                    plan.file_name().unwrap().to_str().unwrap().replace("fp16", "fp32"),
                );
                fs::rename(plan.with_extension("json"), other.with_extension("json")).unwrap();
                fs::rename(plan, other).unwrap();
            },
            "it was moved or renamed",
        ),
    ];
    for (spoil, words) in cases {
        let (_folder, cache, entry) = kept();
        assert!(json(&entry.path).is_file());
        spoil(&entry.path);
        let listing = cache.list(MODEL).unwrap();
        assert!(listing.plans.is_empty(), "{words}");
        let why = listing.broken[0].why.to_string();
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn other_bytes_of_the_same_length_are_refused_when_they_are_read() {
    let (_folder, cache, entry) = kept();
    fs::write(&entry.path, "The plan").unwrap();
    assert!(matches!(cache.read(&entry), Err(CacheError::Sha256 { .. })));
    let whole = cache.list_whole(MODEL).unwrap();
    assert!(whole.plans.is_empty());
    assert!(whole.broken[0].why.to_string().contains("is not the plan that was built"));
}

#[test]
fn a_folder_that_others_may_write_is_not_trusted() {
    let (folder, cache, _) = kept();
    fs::set_permissions(folder.path().join(MODEL), Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(cache.list(MODEL), Err(CacheError::Writable { .. })));
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(cache.writer(), Err(CacheError::Writable { .. })));
}

#[test]
fn what_a_killed_build_left_is_swept_away_and_only_one_process_writes() {
    let (folder, cache, entry) = kept();
    let at = |name: &str| folder.path().join(MODEL).join(name);
    fs::write(at("a.engine.new"), "half").unwrap();
    fs::write(at("b.engine"), "a plan whose sidecar was never written").unwrap();
    fs::write(folder.path().join("trt8.2.1-sm62.timing.new"), "half").unwrap();
    let writer = cache.writer().unwrap();
    let stem = entry.sidecar.target.key.stem();
    assert_eq!(files(folder.path()), [format!("{stem}.engine"), format!("{stem}.json")]);
    assert!(matches!(cache.writer(), Err(CacheError::Busy { .. })));
    drop(writer);
    cache.writer().unwrap();
}

#[test]
fn a_failed_build_is_remembered_until_something_changes_or_somebody_insists() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path());
    let failing = Fake::new(|| Err(BuildError::Failed("no kernel for node 7".into())));
    assert!(build(&cache, &failing, target(), false).0.is_err());
    let again = build(&cache, &failing, target(), false).0.unwrap_err().to_string();
    assert!(
        again.starts_with(
            "failed 1 time, and nothing has changed since: no kernel for node 7; `--again`"
        ),
        "{again}"
    );
    assert_eq!(failing.builds.get(), 1, "not tried again");
    assert!(build(&cache, &failing, target(), true).0.is_err());
    assert_eq!(
        (failing.builds.get(), cache.list(MODEL).unwrap().failure(&target()).unwrap().times),
        (2, 2)
    );

    let newer = Target { driver: Some("L4T 32.7.5".into()), ..target() };
    assert!(matches!(build(&cache, &failing, newer, false).0, Err(BuildError::Failed(_))));
    assert_eq!(failing.builds.get(), 3, "another driver, another try");

    build(&cache, &Fake::new(|| Ok(b"plan".to_vec())), target(), true).0.unwrap();
    let listing = cache.list(MODEL).unwrap();
    assert!(listing.failed.is_empty() && listing.plans.len() == 1, "success forgets");
}

#[test]
fn a_crash_is_remembered_by_whoever_saw_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path());
    let crash = Build::start(&script("kill -SEGV $$")).unwrap().outcome().unwrap();
    let Outcome::Crashed(cause) = crash else { panic!("{crash:?}") };
    for _ in 0..2 {
        remember(&cache.writer().unwrap(), MODEL, &target(), &cause).unwrap();
    }
    let building = Fake::new(|| Ok(b"plan".to_vec()));
    let error = build(&cache, &building, target(), false).0.unwrap_err().to_string();
    assert!(
        error.starts_with(
            "failed 2 times, and nothing has changed since: the build was ended by signal 11"
        ),
        "{error}"
    );
    assert_eq!(building.builds.get(), 0);
}

#[test]
fn what_passes_is_not_remembered_and_what_cannot_be_is_refused_before_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path());
    let missing = Fake::new(|| Err(BuildError::Missing("the GPU is gone".into())));
    assert!(matches!(build(&cache, &missing, target(), false).0, Err(BuildError::Missing(_))));
    let mut int8 = target();
    int8.key.precision = Precision::Int8;
    let refused = build(&cache, &missing, int8, false).0.unwrap_err().to_string();
    assert_eq!(refused, "int8 is not available on sm_62 (Jetson TX2); use fp16");
    let mut other = target();
    other.key.source = Sha256::of(b"another model");
    assert!(matches!(build(&cache, &missing, other, false).0, Err(BuildError::OtherModel { .. })));
    assert_eq!(missing.builds.get(), 1);
    assert!(files(folder.path()).is_empty(), "{:?}", files(folder.path()));
    let nothing =
        build(&cache, &Fake::new(|| Ok(Vec::new())), target(), false).0.unwrap_err().to_string();
    assert!(nothing.starts_with("a plan of 0 bytes"), "{nothing}");
}

#[test]
fn the_last_good_plan_serves_where_it_still_runs() {
    let (_folder, cache, entry) = kept();
    let listing = cache.list(MODEL).unwrap();
    let with_flags = Target { flags: vec!["workspace-64-mib".into()], ..target() };
    let Best::Serves(serving, why) = listing.best(&with_flags) else { panic!("{listing:?}") };
    assert_eq!(
        (serving, why[0].to_string().as_str()),
        (&entry, "built with no options, wanted is workspace-64-mib")
    );
    let mut updated = target();
    updated.key.tensorrt = "8.5.2".parse().unwrap();
    let Best::Nothing(Some((_, why))) = listing.best(&updated) else { panic!("{listing:?}") };
    assert_eq!(why[0].to_string(), "built by TensorRT 8.2.1, this is 8.5.2");
}

/// Not a test: the process that the next test kills.
#[test]
#[ignore = "ends only when it is killed"]
fn writes_plans_until_it_is_killed() {
    let Some(folder) = std::env::var_os("SQUINT_TEST_PLANS") else { return };
    let writer = Cache::new(Path::new(&folder)).writer().unwrap();
    for round in 0_u32.. {
        // Of one length, and never the same twice, in no process: only the sum tells two plans
        // apart.
        let plan = format!("{:>20} {round:>19}", std::process::id()).repeat(1000).into_bytes();
        let mut target = target();
        target.key.batch = 1 + (round % 3) as u16;
        println!("begins");
        writer.keep(&sidecar(target, &plan), &plan).unwrap();
    }
}

#[test]
fn a_kill_at_any_moment_leaves_only_plans_that_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path());
    let mut seen = 0;
    for round in 0..50_u64 {
        let mut child = again(module_path!(), "writes_plans_until_it_is_killed")
            .arg("--ignored")
            .env("SQUINT_TEST_PLANS", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // In the middle of the first to the fifth plan.
        let plan = 1 + round as usize % 5;
        assert_eq!(
            lines.filter(|line| line.ends_with("begins")).take(plan).count(),
            plan,
            "it ended by itself"
        );
        // Any moment is a good one; these are spread over what one plan takes.
        std::thread::sleep(Duration::from_micros(round * 97));
        child.kill().unwrap();
        child.wait().unwrap();
        let listing = cache.list(MODEL).unwrap();
        for entry in &listing.plans {
            cache.read(entry).unwrap();
        }
        assert!(listing.broken.is_empty(), "{:?}", listing.broken);
        seen = seen.max(listing.plans.len());
    }
    assert!(seen >= 2, "it got to write: {seen}");
    drop(cache.writer().unwrap());
    assert!(files(folder.path()).iter().all(|name| !name.ends_with(".new")));
}

fn script(text: &str) -> Program {
    Program { path: PathBuf::from("/bin/sh"), args: vec!["-c".into(), text.into()] }
}

const PROGRESS: &str = r#"echo '{"progress":{"phase":"tactics","done":1,"steps":2}}';"#;

#[test]
fn a_child_tells_its_progress_and_its_plan_and_other_words_are_passed_over() {
    let text = format!(
        r#"echo 'hello from a vendor'; {PROGRESS} echo '{{"other":1}}'; echo '{{"built":{{"plan":"abc"}}}}'"#
    );
    let mut build = Build::start(&script(&text)).unwrap();
    assert_eq!(build.hear(), Some(Progress { phase: "tactics".into(), done: 1, steps: 2 }));
    assert_eq!(build.hear(), None);
    assert_eq!(build.outcome().unwrap(), Outcome::Built("abc".into()));
}

#[test]
fn each_way_a_child_may_end_is_told_apart() {
    let built = r#"echo '{"built":{"plan":"abc"}}';"#;
    for (text, outcome) in [
        (
            r#"echo '{"failed":{"cause":"no kernel"}}'; exit 78"#.to_owned(),
            Outcome::Failed("no kernel".into()),
        ),
        (PROGRESS.to_owned(), Outcome::Crashed("the build ended without a plan".into())),
        (
            "echo 'Cuda error 700' >&2; kill -SEGV $$".to_owned(),
            Outcome::Crashed("the build was ended by signal 11: Cuda error 700".into()),
        ),
        (
            format!("{built} kill -KILL $$"),
            Outcome::Crashed("the build was ended by signal 9".into()),
        ),
        (format!("{built} exit 70"), Outcome::Crashed("the build ended with code 70".into())),
        (
            "yes x | head -c 200000 | tr -d '\\n'; exit 3".to_owned(),
            Outcome::Crashed("the build ended with code 3".into()),
        ),
    ] {
        assert_eq!(Build::start(&script(&text)).unwrap().outcome().unwrap(), outcome, "{text}");
    }
}

#[test]
fn a_child_runs_at_the_lowest_priority_and_is_killed_with_its_owner() {
    let text = r#"echo "{\"progress\":{\"phase\":\"nice $(nice)\",\"done\":0,\"steps\":0}}"; exec sleep 600"#;
    let mut build = Build::start(&script(text)).unwrap();
    assert_eq!(build.hear().unwrap().phase, "nice 19");
    let process = PathBuf::from(format!("/proc/{}", build.id()));
    assert!(process.exists());
    let begun = Instant::now();
    drop(build);
    assert!(
        !process.exists() && begun.elapsed() < Duration::from_secs(300),
        "killed, and not waited for"
    );
}
