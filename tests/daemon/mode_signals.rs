//! SIGUSR1 and SIGUSR2 against the built program: the next thriftier mode, the next more generous
//! one; and what a reload makes of it.

use std::path::Path;
use std::time::Duration;

use crate::common::onnx_model::Model;
use crate::common::program::{Daemon, write};
use crate::common::shelf::Shelf;
use crate::common::systemd::{Systemd, ask, status};

fn mode(socket: &Path) -> String {
    status(socket)["mode"].as_str().unwrap().to_owned()
}

/// Sends a signal and waits for the mode that it brings.
fn signalled(service: &mut Daemon, socket: &Path, signal: &str, expected: &str) {
    service.signal(signal);
    service.until(&format!("mode {expected} after {signal}"), |_| mode(socket) == expected);
}

#[test]
fn two_signals_go_from_mode_to_mode_and_a_reload_goes_back_to_the_configuration() {
    let (mut systemd, shelf) = (Systemd::new(), Shelf::new());
    shelf.network("quick", &Model::bright_or_dark(32, 32));
    let policy = "format = 1\nname = \"quick\"\nkind = \"fixed\"\n[engines]\nquick = \"any\"\n[fixed]\nengine = \"quick\"\n";
    let policy = write(systemd.folder.path().join("quick.policy.toml"), policy);
    let socket = systemd.control();
    let text = format!(
        "policy = \"{}\"\n[engines]\nfolder = \"{}\"\n[control]\nsocket = \"{}\"\n[budget]\nmode = \"performance\"\n[[camera]]\nsource = \"test\"\n",
        policy.display(),
        shelf.path().display(),
        socket.display()
    );
    let mut service = systemd.service(&text, Duration::from_secs(20));
    systemd.until(&mut service, "READY=1", 0);
    assert_eq!(mode(&socket), "auto");

    // From what is configured, step by step, and no further than the thriftiest.
    signalled(&mut service, &socket, "USR1", "balanced");
    signalled(&mut service, &socket, "USR1", "saver");
    service.signal("USR1");
    service.until_logged("there is none beyond saver");
    assert_eq!(mode(&socket), "saver");
    service.until_logged("mode saver, until the next reload or restart");
    // The budget follows, and says whose word it is.
    service.until("the budget's mode", |_| {
        let budget = &status(&socket)["budget"];
        budget["mode"] == "saver" && budget["chosen_by"] == "command"
    });

    for expected in ["balanced", "performance", "unlimited"] {
        signalled(&mut service, &socket, "USR2", expected);
    }
    service.signal("USR2");
    service.until_logged("there is none beyond unlimited");

    assert!(ask(&socket, "POST /reload").starts_with("HTTP/1.1 200"));
    service.until("back to the configuration", |_| {
        let state = status(&socket);
        state["mode"] == "auto"
            && state["budget"]["mode"] == "performance"
            && state["budget"]["chosen_by"] == "config"
    });

    // Engines that rest are woken, thriftily.
    let mut paused = std::process::Command::new(env!("CARGO_BIN_EXE_squint"));
    assert!(
        paused
            .args(["set", "mode", "paused", "--socket"])
            .arg(&socket)
            .output()
            .unwrap()
            .status
            .success()
    );
    signalled(&mut service, &socket, "USR2", "saver");
    service.signal("TERM");
    service.ends().ends(0);
}
