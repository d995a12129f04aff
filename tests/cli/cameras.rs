//! Cameras that are not there, die, stall, come back and change, through the whole daemon; and
//! where its records go.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::common::onnx_model::Model;
use crate::common::program::*;
use crate::common::shelf::Shelf;
use crate::common::sources;
use serde_json::Value;

/// A shelf with one small engine, and the path of a policy that asks it.
fn small() -> (Shelf, String) {
    let shelf = Shelf::new();
    shelf.network("small", &Model::brightest(8, 8));
    let policy = fixed_policy(shelf.path(), "small").to_str().unwrap().to_owned();
    (shelf, policy)
}

/// A configuration with the small engine; `rest` is what the test is about.
fn config(shelf: &Shelf, policy: &str, rest: &str) -> String {
    let engines = shelf.path().display();
    let text = format!("policy = \"{policy}\"\n[engines]\nfolder = \"{engines}\"\n{rest}");
    shelf.write("squint.toml", text).to_str().unwrap().to_owned()
}

#[test]
fn a_camera_that_is_not_there_is_tried_again_and_again_until_told_to_stop() {
    let (shelf, policy) = small();
    for (source, advice) in [
        ("v4l2:/dev/video99", "is it plugged in?"),
        ("/dev/frontcam", "is it plugged in?"),
        ("rtsp://127.0.0.1:1/x", "is the camera on"),
        ("http://127.0.0.1:1/x", "is the server on"),
    ] {
        let engines = shelf.path().to_str().unwrap();
        let mut squint = Daemon::start(squint([
            "run",
            "--source",
            source,
            "--policy",
            &policy,
            "--engines",
            engines,
            "--json",
        ]));
        squint.until_logged("next try in 500 ms");
        squint.signal("TERM");
        let told = squint.ends().ends(0);
        assert!(
            told.err.contains("next try in 250 ms") && told.err.contains(advice),
            "{}",
            told.err
        );
        assert!(told.out.is_empty() && told.err.contains("0 frames in "), "{}", told.err);
    }
}

#[test]
fn a_camera_may_change_its_picture_in_mid_stream() {
    let (shelf, policy) = small();
    let picture = |w, h, n, f| {
        format!(
            "videotestsrc num-buffers={n} ! video/x-raw,format={f},width={w},height={h},framerate=30/1 ! c."
        )
    };
    let changing = format!(
        "pipeline:{} {} concat name=c ! identity sleep-time=20000",
        picture(64, 48, 20, "RGB"),
        picture(227, 31, 900, "I420")
    );
    let engines = shelf.path().to_str().unwrap();
    let told = ask([
        "run",
        "--source",
        &changing,
        "--policy",
        &policy,
        "--engines",
        engines,
        "--json",
        "--frames",
        "40",
    ])
    .ends(0);
    let records = told.records();
    assert!(
        records.len() > 20 && records.iter().all(|record| record["outcome"] == "answered"),
        "{}",
        told.err
    );
    assert!(!told.err.contains("WARN"), "{}", told.err);
}

#[test]
fn a_network_camera_dies_comes_back_stalls_and_heals_and_its_password_stays_unknown() {
    let password = "hun@ter/2";
    let login = ["operator", password];
    let Some(mut camera) = sources::Camera::start("0", &login) else { return };
    let (shelf, policy) = small();
    let url = camera.url("operator:hun@ter%2F2@");
    let rest = format!(
        "[output]\nsocket = \"{0}/s.sock\"\nfile = {{ path = \"{0}/records.jsonl\" }}\n[[camera]]\nname = \"gate\"\nsource = \"{url}\"\n\
         stall-after-ms = 1000\nopen-timeout-ms = 2000\nretry-cap-ms = 500\n",
        shelf.path().display()
    );
    let config = config(&shelf, &policy, &rest);
    let printed = ask(["check", "--config", &config, "--print"]).ends(0).out;
    assert!(
        printed.contains(&format!("source = \"rtsp://127.0.0.1:{}\"\n", camera.port)),
        "{printed}"
    );
    let mut squint =
        Daemon::start(squint(["run", "--config", &config, "--json", "--log", "trace"]));
    let more = |squint: &mut Daemon| {
        let now = squint.out().lines().count();
        squint.until_records(now + 10);
    };
    more(&mut squint);
    let losses = |squint: &Daemon| squint.err().matches("; next try in ").count();

    camera.signal("KILL");
    squint.until("the loss is noticed", |squint| losses(squint) > 0);
    let port = camera.port.clone();
    drop(camera);
    // The old port may be held for a moment by connections that are being closed.
    camera = (0..200)
        .find_map(|_| {
            std::thread::sleep(Duration::from_millis(50));
            sources::Camera::start(&port, &login)
        })
        .expect("the camera comes back");
    more(&mut squint);

    let before = losses(&squint);
    camera.signal("STOP");
    squint.until("the stall is noticed", |squint| losses(squint) > before);
    assert!(squint.err().contains("no frame for 1000 ms"), "{}", squint.err());
    camera.signal("CONT");
    more(&mut squint);

    squint.signal("TERM");
    let told = squint.ends().ends(0);
    let frames: Vec<_> =
        told.records().iter().map(|record| record["frame"].as_u64().unwrap()).collect();
    assert!(
        frames.is_sorted() && frames.windows(2).all(|pair| pair[0] < pair[1]),
        "numbers go on: {frames:?}"
    );
    let stored = std::fs::read_to_string(shelf.path().join("records.jsonl")).unwrap();
    assert_eq!(stored, told.out, "the file holds the same records");
    for text in [&told.out, &told.err, &stored, &printed] {
        for secret in ["hun@ter", "hun%40ter", "ter/2", "ter%2F2", "operator"] {
            assert!(!text.contains(secret), "{secret} is in\n{text}");
        }
    }
    assert_eq!(told.records()[0]["source"], format!("rtsp://127.0.0.1:{port}"));
}

#[test]
fn a_wrong_password_is_told_without_telling_it() {
    let Some(camera) = sources::Camera::start("0", &["operator", "right"]) else { return };
    let (shelf, policy) = small();
    let url = camera.url("operator:hunter2@");
    let engines = shelf.path().to_str().unwrap();
    let mut squint = Daemon::start(squint([
        "run",
        "--source",
        &url,
        "--policy",
        &policy,
        "--engines",
        engines,
        "--log",
        "trace",
    ]));
    squint.until_logged("refuses user name and password");
    squint.signal("INT");
    let told = squint.ends().ends(0);
    assert!(!told.err.contains("hunter2") && !told.out.contains("hunter2"), "{}", told.err);
}

/// Sources that hold the secret KEY7xyz in one way or another.
const SECRETIVE: [&str; 30] = [
    "rtsp://admin:KEY7xyz@127.0.0.1:1/s",
    "rtsp://admin:KEY@7xyz@127.0.0.1:1/s",
    "rtsp://admin:KEY/7xyz@127.0.0.1:1/s",
    "rtsp://KEY7xyz@127.0.0.1:1/s",
    "rtsps://127.0.0.1:1/KEY7xyz?enableSrtp",
    "rtsp://127.0.0.1:1/s?auth=KEY7xyz",
    "rtsp://127.0.0.1:1/s?x=KEY%377xyz",
    "rtsp://127.0.0.1:1/user=admin_password=KEY7xyz_channel=1.sdp?real_stream",
    "http://admin:KEY7xyz@127.0.0.1:1/s",
    "http://127.0.0.1:1/video.mjpg?usr=a&pwd=KEY7xyz",
    "http://127.0.0.1:1/KEY7xyz/film.m3u8",
    "pipeline:rtspsrc location=rtsp://127.0.0.1:1/s user-id=adm user-pw=KEY7xyz ! decodebin",
    "pipeline:rtspsrc location=rtsp://127.0.0.1:1/s user-id=adm user-pw=abc&KEY7xyz ! decodebin",
    "pipeline:rtspsrc location=rtsp://127.0.0.1:1/s user-id=adm user-pw=abc;KEY7xyz ! decodebin",
    "pipeline:rtspsrc location=rtsp://127.0.0.1:1/s user-id=adm user-pw=abc\\\\ KEY7xyz ! decodebin",
    "pipeline:rtspsrc location=rtsp://127.0.0.1:1/s user-id=adm user-pw=abc'KEY7xyz ! decodebin",
    "pipeline:rtspsrc location='rtsp://admin:abc KEY7xyz@127.0.0.1:1/s' ! decodebin",
    "pipeline:souphttpsrc location=http://127.0.0.1:1/s extra-headers='h,X-Api-Key=KEY7xyz' ! decodebin",
    "pipeline:souphttpsrc location=http://127.0.0.1:1/s cookies='session=KEY7xyz' ! decodebin",
    "pipeline:udpsrc uri=udp://127.0.0.1:1?passphrase=KEY7xyz ! decodebin",
    "pipeline:fakesrc secret-key=KEY7xyz ! decodebin",
    "pipeline:filesrc location=/KEY7xyz ! decodebin",
    "pipeline:rtspsrc location=rtsp://127.0.0.1:1/s user-pw = KEY7xyz ! decodebin",
    "pipeline:rtspsrc location=rtsp://127.0.0.1:1/s user-pw=(string)'abc KEY7xyz' ! decodebin",
    "pipeline:rtspsrc location='rtsp://admin:KEY7xyz@127.0.0.1:1/s ! decodebin",
    "pipeline:KEY7xyz location=rtsp://127.0.0.1:1/s ! decodebin",
    "pipeline:appsrc caps='application/x-srtp,srtp-key=(buffer)KEY7xyz' ! fakesink KEY7xyz",
    "pipeline:appsrc ! application/x-srtp,srtp-key=(string)KEY7xyz ! decodebin",
    "pipeline:fakesrc name=KEY7xyz ! fakesink KEY7xyz=1",
    "rtsp://admin:${SPOKEN}@127.0.0.1:1/s",
];

#[test]
fn no_secret_of_a_source_leaves_the_program_in_a_line_a_record_or_an_answer() {
    let (shelf, policy) = small();
    let mut text = format!(
        "[output]\nsocket = \"{0}/s.sock\"\n[control]\nsocket = \"{0}/c.sock\"\n[[camera]]\nname = \"door\"\nsource = \"test\"\n",
        shelf.path().display()
    );
    for (number, source) in SECRETIVE.iter().enumerate() {
        text += &format!(
            "[[camera]]\nname = \"c{number}\"\nretry-cap-ms = 300\nsource = \"{source}\"\n"
        );
    }
    let config = config(&shelf, &policy, &text);
    let spoken = |args: &[&str]| {
        let mut command = squint(args);
        command.env("SPOKEN", "KEY7xyz");
        command
    };
    let printed = tell(spoken(&["check", "--config", &config, "--print"])).ends(0);
    let trace = shelf.path().join("day.trace").display().to_string();
    let mut daemon = Daemon::start(spoken(&[
        "run", "--config", &config, "--json", "--log", "trace", "--record", &trace,
    ]));
    let socket = shelf.path().join("c.sock").display().to_string();
    // Each has been lost, and has said why.
    let mut seen = String::new();
    daemon.until("every camera has been lost", |_| {
        let told = ask(["status", "--json", "--socket", &socket]);
        seen += &told.out;
        let Ok(state) = serde_json::from_str::<Value>(&told.out) else { return false };
        let lost = |camera: &&Value| camera["losses"].as_u64().unwrap() > 0;
        state["cameras"].as_array().unwrap().iter().filter(lost).count() == SECRETIVE.len()
    });
    daemon.until_records(1);
    for command in ["status", "reload"] {
        let told = ask([command, "--socket", &socket]);
        seen += &format!("{}{}", told.out, told.err);
    }
    daemon.signal("TERM");
    let told = daemon.ends().ends(0);
    let trace = String::from_utf8_lossy(&std::fs::read(trace).unwrap()).into_owned();
    for text in [&printed.out, &printed.err, &told.out, &told.err, &seen, &trace] {
        for secret in ["KEY7", "7xyz", "%377"] {
            let at = text.find(secret).unwrap_or(0);
            assert!(
                !text.contains(secret),
                "{secret}: {}",
                text.get(at.saturating_sub(300)..).unwrap_or(text).lines().next().unwrap()
            );
        }
    }
    assert!(printed.out.contains("source = \"pipeline:rtspsrc ! decodebin\""), "{}", printed.out);
}

#[test]
fn a_mistyped_source_is_refused_without_its_secret() {
    for source in [
        "rtsp://admin:KEY7xyz@",
        "rtsp://admin:KEY7xyz",
        "rtsp:/admin:KEY7xyz@127.0.0.1/s",
        "rtsp//admin:KEY7xyz@127.0.0.1/s",
        "rtsp;//admin:KEY7xyz@127.0.0.1/s",
        "admin:KEY7xyz@127.0.0.1/s",
        "v4l2:rtsp:/admin:KEY7xyz@127.0.0.1/s",
        "ftp://admin:KEY7xyz@127.0.0.1/KEY7xyz",
        "rtsp://admin:KEY7xyz@127.0.0.1/KEY7xyz one",
        "rtsp://admin:1/KEY7xyz@door/s@KEY7xyz",
        "rtsp://admin:KEY7xyz@127.0.0.1/${KEY7 xyz}",
        "pipeline:!",
    ] {
        let told = ask(["run", "--source", source, "--quiet"]).ends(78);
        assert!(!told.err.contains("KEY7") && !told.err.contains("xyz"), "{}", told.err);
    }
}

#[test]
fn a_source_may_come_from_a_file_or_from_standard_input_and_be_in_no_list_of_processes() {
    let (shelf, policy) = small();
    let engines = shelf.path().to_str().unwrap();
    let file = shelf.write("source", "  test\n").display().to_string();
    let rest = ["--policy", &policy, "--engines", engines, "--json", "--frames", "3"];
    let at = format!("@{file}");
    assert_eq!(ask(["run", "--source", &at].iter().chain(&rest)).ends(0).records().len(), 3);
    let mut typed = squint(["run", "--source", "@-"].iter().chain(&rest));
    let mut child = typed
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"test\n").unwrap();
    let told = child.wait_with_output().unwrap();
    assert!(told.status.success() && records(&String::from_utf8(told.stdout).unwrap()).len() == 3);
    let told = ask(["run", "--source", "@/no/such/file"].iter().chain(&rest)).ends(78);
    assert!(told.err.contains("/no/such/file: cannot be read"), "{}", told.err);
}

#[test]
fn a_password_may_lie_in_a_file_a_credential_or_the_environment_and_check_says_what_is_wrong() {
    let (shelf, policy) = small();
    let file = shelf.write("door.password", "KEY7xyz\n").display().to_string();
    std::process::Command::new("chmod").args(["600", &file]).status().unwrap();
    let check = |rest: &str, environment: &[(&str, &str)]| {
        let config = config(&shelf, &policy, &format!("[[camera]]\nname = \"door\"\n{rest}\n"));
        let mut command = squint(["check", "--config", &config]);
        command
            .env_remove("CAM_PASSWORD")
            .env_remove("CREDENTIALS_DIRECTORY")
            .envs(environment.iter().copied());
        let told = tell(command);
        assert!(
            !told.out.contains("KEY7") && !told.err.contains("KEY7"),
            "{}{}",
            told.out,
            told.err
        );
        (told.code, format!("{}{}", told.out, told.err))
    };
    let address = "source = \"rtsp://127.0.0.1:1/cam\"\nuser = \"operator\"";
    let folder = shelf.path().display().to_string();
    for (rest, environment) in [
        (format!("{address}\npassword-file = \"{file}\""), vec![]),
        (
            "source = \"http://operator:${CAM_PASSWORD}@127.0.0.1:1/cam\"".to_owned(),
            vec![("CAM_PASSWORD", "KEY7xyz")],
        ),
        (
            "source = \"pipeline:rtspsrc user-pw=${CAM_PASSWORD} ! decodebin\"".to_owned(),
            vec![("CAM_PASSWORD", "KEY7xyz")],
        ),
        (
            format!("{address}\ncredential = \"door.password\""),
            vec![("CREDENTIALS_DIRECTORY", folder.as_str())],
        ),
        // Outside the service nobody can look at it.
        (format!("{address}\ncredential = \"door\""), vec![]),
    ] {
        let (code, told) = check(&rest, &environment);
        assert!(code == Some(0) && told.contains("all well"), "{rest}: {told}");
    }
    for (rest, environment, says) in [
        (
            "source = \"rtsp://operator:${CAM_PASSWORD}@127.0.0.1:1/cam\"".to_owned(),
            vec![],
            "variable CAM_PASSWORD, which is not set",
        ),
        (
            format!("{address}\npassword-file = \"{folder}/none\""),
            vec![],
            "camera[door]: the password cannot be read from",
        ),
        (
            format!("{address}\ncredential = \"none\""),
            vec![("CREDENTIALS_DIRECTORY", folder.as_str())],
            "cannot be read from",
        ),
    ] {
        let (code, told) = check(&rest, &environment);
        assert!(code == Some(78) && told.contains(says), "{rest}: {code:?} {told}");
    }
    std::process::Command::new("chmod").args(["644", &file]).status().unwrap();
    let (code, told) = check(&format!("{address}\npassword-file = \"{file}\""), &[]);
    assert!(
        code == Some(0) && told.contains("warning: camera[door]") && told.contains("everybody"),
        "{told}"
    );
}

#[test]
fn records_go_to_a_rotated_file_and_none_is_lost() {
    let (shelf, policy) = small();
    let photos = shelf.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    let first = photos.join("0.png");
    image::RgbImage::from_pixel(16, 12, image::Rgb([20, 20, 250])).save(&first).unwrap();
    let name = |number: usize| format!("{number:04}-{}.png", "with-a-long-name-".repeat(13));
    let count = 2000;
    (0..count).for_each(|number| std::fs::hard_link(&first, photos.join(name(number))).unwrap());
    std::fs::remove_file(&first).unwrap();
    let (file, photos) = (shelf.path().join("records.jsonl"), photos.display());
    let rest = format!(
        "[output]\nstdout = \"none\"\nfile = {{ path = \"{}\", max-mb = 1, keep = 3 }}\n",
        file.display()
    );
    let config = config(&shelf, &policy, &format!("{rest}[[camera]]\nsource = \"{photos}\"\n"));
    assert!(ask(["run", "--config", &config]).ends(0).out.is_empty());
    let rotated = |number: usize| file.with_extension(format!("jsonl.{number}"));
    assert!(rotated(1).exists(), "more than a megabyte was written");
    let texts: Vec<_> = [rotated(3), rotated(2), rotated(1), file]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .collect();
    assert!(texts.iter().all(|text| text.len() <= 1_000_000 && text.ends_with('\n')));
    let numbers: Vec<_> = texts
        .iter()
        .flat_map(|text| records(text))
        .map(|record| record["frame"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..count as u64).collect::<Vec<_>>());
}

#[test]
fn any_number_of_programs_may_read_the_socket() {
    let (shelf, policy) = small();
    let (engines, socket) = (shelf.path().to_str().unwrap(), shelf.path().join("reports.sock"));
    let path = socket.to_str().unwrap();
    let started = || {
        squint([
            "run",
            "--source",
            "test",
            "--policy",
            &policy,
            "--engines",
            engines,
            "--quiet",
            "--socket",
            path,
        ])
    };
    let mut daemon = Daemon::start(started());
    daemon.until("the socket", |_| Path::new(path).exists());
    let reader = || BufReader::new(UnixStream::connect(path).unwrap()).lines().take(5);
    let (one, two) = (reader(), reader());
    for lines in [one, two] {
        let frames: Vec<Value> =
            lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert!(frames.len() == 5 && frames.iter().all(|record| record["camera"] == "camera"));
    }
    let second = tell(started()).ends(74);
    assert!(second.err.contains("another program listens there already"), "{}", second.err);
    daemon.signal("TERM");
    assert!(daemon.ends().ends(0).out.is_empty());
    assert!(!socket.exists(), "a socket that nobody serves is removed");
}
