//! What a reload cannot change, by name: cameras and their sources, outputs, where Squint listens,
//! the runtime library, the file of what was learned. Who logs in at a network source may change.
//!
//! Pure. Everything else may differ between two configurations of a running daemon.

use super::{Camera, Config};

impl Config {
    /// Keys that differ between this configuration, which is in force, and `next`, and need a
    /// restart; empty if `next` can be taken up.
    pub fn fixed_changes(&self, next: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        if self
            .cameras
            .iter()
            .map(|camera| &camera.name)
            .ne(next.cameras.iter().map(|camera| &camera.name))
        {
            changes.push("camera (their number, names or order)".to_owned());
        } else {
            for (camera, next) in self.cameras.iter().zip(&next.cameras) {
                let changed = camera_changes(camera, next);
                changes.extend(
                    changed.into_iter().map(|key| format!("camera[{}].{key}", camera.name)),
                );
            }
        }
        let output = &self.output;
        for (key, differs) in [
            ("engines.onnxruntime", self.engines.onnxruntime != next.engines.onnxruntime),
            ("engines.tensorrt", self.engines.tensorrt != next.engines.tensorrt),
            ("engines.tensorrt-shim", self.engines.tensorrt_shim != next.engines.tensorrt_shim),
            ("control.socket", self.control.socket != next.control.socket),
            ("control.group", self.control.group != next.control.group),
            ("control.http-port", self.control.http_port != next.control.http_port),
            ("budget.state-file", self.budget.state_file != next.budget.state_file),
            ("telemetry", self.telemetry != next.telemetry),
            ("output.stdout", output.stdout != next.output.stdout),
            ("output.features", output.features != next.output.features),
            ("output.summary", output.summary != next.output.summary),
            ("output.file", output.file != next.output.file),
            ("output.socket", output.socket != next.output.socket),
            ("output.queue", output.queue != next.output.queue),
        ] {
            if differs {
                changes.push(key.to_owned());
            }
        }
        changes
    }
}

fn camera_changes(camera: &Camera, next: &Camera) -> Vec<&'static str> {
    let size = |camera: &Camera, which: fn(&(u32, u32)) -> u32| camera.size.as_ref().map(which);
    let keys = [
        ("source", camera.source.place() != next.source.place()),
        ("transport", camera.transport != next.transport),
        ("roi", camera.framing.roi != next.framing.roi),
        ("fit", camera.framing.fit != next.framing.fit),
        ("rotation", camera.framing.rotation != next.framing.rotation),
        ("pace", camera.pace != next.pace),
        ("rate-hz", camera.rate_hz != next.rate_hz),
        ("width", size(camera, |size| size.0) != size(next, |size| size.0)),
        ("height", size(camera, |size| size.1) != size(next, |size| size.1)),
        ("open-timeout-ms", camera.open_timeout != next.open_timeout),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Folders, Overrides, resolve};

    const FILE: &str = "policy = \"default\"\n[engines]\nthreads = 1\n[output]\nqueue = 16\n\
                        [[camera]]\nname = \"door\"\nsource = \"csi:0\"\ndeadline-ms = 100\n[[camera]]\nname = \"yard\"\nsource = \"csi:1\"\n\
                        [[camera]]\nname = \"gate\"\nsource = \"rtsp://me:old@gate/1\"\n";

    fn config(text: &str) -> Config {
        let folders = Folders { engines: "e".into(), calibration: "c".into() };
        resolve(Some(("squint.toml", text)), [], &Overrides::default(), &folders).expect(text)
    }

    #[test]
    fn what_a_running_daemon_cannot_change_is_named_and_the_rest_is_free() {
        let free = [
            ("\"default\"", "\"accurate\""),
            (
                "threads = 1",
                "threads = 2\nruntime = \"cpu\"\ndeadline-ms = 500\nfolder = \"elsewhere\"",
            ),
            (
                "deadline-ms = 100",
                "deadline-ms = 50\nstale-after-ms = 70\nstall-after-ms = 900\nretry-cap-ms = 800",
            ),
            (
                "[output]",
                "[budget]\npower-mw = 7500\ntemperature-c = 70\nmode = \"saver\"\n[output]",
            ),
            ("deadline-ms = 100", "reuse = { max-change = 0.1, max-age-ms = 100 }"),
            ("policy", "log-level = \"debug\"\ncalibration = \"x\"\npolicy"),
            ("me:old@", "you:new@"),
            ("me:old@", ""),
            ("rtsp://me:old@gate/1\"", "rtsp://gate/1\"\nuser = \"me\"\ncredential = \"gate\""),
            ("rtsp://me:old@gate/1\"", "rtsp://me@gate/1\"\npassword-file = \"/p\""),
        ];
        let now = config(FILE);
        for (from, to) in free {
            let next = config(&FILE.replacen(from, to, 1));
            assert_ne!(next, now, "{to}");
            assert_eq!(now.fixed_changes(&next), Vec::<String>::new(), "{to}");
        }
        let fixed = [
            ("\"csi:1\"", "\"csi:2\"", "camera[yard].source"),
            ("@gate/1", "@gate/2", "camera[gate].source"),
            ("@gate/1\"", "@gate/1\"\ntransport = \"udp\"", "camera[gate].transport"),
            ("deadline-ms = 100", "roi = [0.0, 0.0, 0.5, 0.5]", "camera[door].roi"),
            ("deadline-ms = 100", "fit = \"centre-crop\"", "camera[door].fit"),
            ("deadline-ms = 100", "rotation = 90", "camera[door].rotation"),
            ("deadline-ms = 100", "rate-hz = 10", "camera[door].rate-hz"),
            ("deadline-ms = 100", "open-timeout-ms = 30000", "camera[door].open-timeout-ms"),
            ("\"yard\"", "\"garden\"", "camera (their number, names or order)"),
            ("threads = 1", "onnxruntime = \"/x.so\"", "engines.onnxruntime"),
            ("threads = 1", "tensorrt = \"libx.so\"", "engines.tensorrt"),
            ("[output]", "[control]\nsocket = \"/c\"\n[output]", "control.socket"),
            ("[output]", "[control]\ngroup = \"wheel\"\n[output]", "control.group"),
            ("[output]", "[control]\nhttp-port = 9000\n[output]", "control.http-port"),
            ("[output]", "[budget]\nstate-file = \"s\"\n[output]", "budget.state-file"),
            ("[output]", "[telemetry]\nnvml = false\n[output]", "telemetry"),
            ("queue = 16", "queue = 17", "output.queue"),
            ("queue = 16", "queue = 16\nsocket = \"/s\"", "output.socket"),
            ("queue = 16", "queue = 16\nfeatures = true", "output.features"),
            ("queue = 16", "queue = 16\nsummary = false", "output.summary"),
            ("queue = 16", "queue = 16\nstdout = \"none\"", "output.stdout"),
            ("queue = 16", "queue = 16\nfile = { path = \"/f\" }", "output.file"),
        ];
        for (from, to, key) in fixed {
            assert_eq!(now.fixed_changes(&config(&FILE.replacen(from, to, 1))), [key], "{to}");
        }
        let wide = config(&FILE.replacen("deadline-ms = 100", "width = 640\nheight = 480", 1));
        assert_eq!(now.fixed_changes(&wide), ["camera[door].width", "camera[door].height"]);
    }
}
