//! The events that the log tells of: a closed list, each with a name, a message id for the journal,
//! what it means and what to do.
//!
//! Pure data. A log line names its event as `event = events::CAMERA_LOST`; the journal writes it as
//! MESSAGE_ID and SQUINT_EVENT, and docs/reference/journal.md is held against this list by a test.
//! A message id never changes its meaning: an event that means something else gets a new one
//! (`systemd-id128 new`).

use std::fmt;

use log::Level;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The word used in the journal, kebab-case.
    pub name: &'static str,
    /// MESSAGE_ID of the journal: 32 hexadecimal digits.
    pub id: &'static str,
    /// The level of its lines.
    pub level: Level,
    /// What has happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

impl Event {
    /// The event of this name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|event| event.name == name).copied()
    }

    /// True if a burst of it is cut short.
    pub fn is_limited(self) -> bool {
        LIMITED.contains(&self)
    }

    /// The fault that is over when this event comes.
    pub fn ends(self) -> Option<Self> {
        ENDS.iter().find(|(end, _)| *end == self).map(|(_, fault)| *fault)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl log::kv::ToValue for Event {
    fn to_value(&self) -> log::kv::Value<'_> {
        self.name.into()
    }
}

macro_rules! events {
    ($($constant:ident $level:ident $name:literal $id:literal $meaning:literal $advice:literal)*) => {
        $(
            #[doc = $meaning]
            pub const $constant: Event =
                Event { name: $name, id: $id, level: Level::$level, meaning: $meaning, advice: $advice };
        )*
        /// All events.
        pub const ALL: &[Event] = &[$($constant),*];
        /// The names of their constants, in the same order; for the test that looks for their uses.
        pub const CONSTANTS: &[&str] = &[$(stringify!($constant)),*];
    };
}

/// Faults that may repeat for days: of these the log shows a burst a minute and a count of the
/// rest, see [`crate::service::limit`]. Everything else is written each time: changes of state must
/// not be missed, and what ends Squint comes once.
pub const LIMITED: &[Event] = &[
    CAMERA_LOST,
    CAMERA_OTHER_WAY,
    FRAME_UNREADABLE,
    STREAM_FAULT,
    SOURCE_STUCK,
    ENGINE_UNUSABLE,
    ENGINE_FAILED,
    ENGINE_STUCK,
    ENGINE_RETURNED,
    SINK_FAILED,
    READERS_WAIT,
    READER_REFUSED,
    CAMERA_STARVED,
    RELOAD_REFUSED,
    BUG,
];

/// Which fault is over when an event comes: its line says how many of the fault's lines were left
/// out.
pub const ENDS: &[(Event, Event)] = &[
    (CAMERA_DELIVERING, CAMERA_LOST),
    (CAMERA_ANSWERED, CAMERA_STARVED),
    (ENGINE_RECOVERED, ENGINE_FAILED),
    (SINK_RECOVERED, SINK_FAILED),
    (RELOADED, RELOAD_REFUSED),
];

events! {
    STARTED Info "started" "2ce6aa70d753c7c95fe1c61226079e25"
        "Squint is ready: engines are warm and every camera delivers or is being tried."
        "Nothing."
    BUDGET_CHANGED Info "budget-changed" "7ba4f9909920493ba4ed6f04e15a6973"
        "Power, heat or another limit changes which engines may look, or how often."
        "Nothing if the limits are meant; `squint status` shows the readings, docs/reference/budget.md the limits."
    BUDGET_MODE Info "budget-mode" "5e82fd598e4e4461b432dd80ed19493c"
        "Another mode of the budget holds: by command, power mode or time of day."
        "Nothing."
    LIMIT_UNREACHABLE Warn "limit-unreachable" "6ee4e2d3aaac4604aae582cda92de261"
        "A limit cannot be kept even by the cheapest engine at the least frame rate."
        "Raise the limit, lower budget.min-fps, or cool the board."
    SENSOR_DOUBTED Warn "sensor-doubted" "8a140b5a3b5f4a9b90d96034bb52473c"
        "A sensor is silent, stands still or reads what cannot be; it is left out."
        "See `squint doctor`; limits that need it hold what was allowed last."
    SENSOR_TRUSTED Info "sensor-trusted" "f5e52c703281454aa06df2cf656a6a0c"
        "A sensor that was left out is believed again."
        "Nothing."
    STATE_FILE Info "state-file" "4d71ac61a0714c42a4fac4f70b5829ec"
        "What was learned before does not belong to this board and these engines."
        "Nothing: it is learned anew."
    STATE_NOT_KEPT Warn "state-not-kept" "a8cd8936e2f24db0a2dda6869e7b58db"
        "What was learned of the board could not be read or written."
        "See budget.state-file and the text; without it Squint learns anew after each start."
    RECORDED Info "recorded" "244595c38e2e427eafd6a5f8939bab31"
        "A recording of what decided has been written to its end."
        "Nothing; `squint replay` makes the decisions again, docs/guide/replay.md."
    RECORDING_ENDED Warn "recording-ended" "c7b54632b19f48e4a14296d1606d76ac"
        "A recording cannot go on: its disk is full, fails or does not keep up. The run goes on without it."
        "Make room, or record to another disk; what was written up to there can be replayed."
    STOPPING Info "stopping" "d98bb6f10742eb881185c91ae8d3ec84"
        "Squint was told to stop and finishes the frames on their way."
        "Nothing; a second signal ends it at once."
    STOPPED Info "stopped" "09b7a3b087b228286cd9e00436354585"
        "Squint has ended in good order."
        "Nothing."
    CAMERA_DELIVERING Info "camera-delivering" "08a347781f2a0b95fbe62c8e8141cf73"
        "A camera delivers frames, for the first time or again."
        "Nothing."
    CAMERA_LOST Warn "camera-lost" "499e9f5b59f5b618d8af53f98489b868"
        "A camera failed, ended or fell silent, or its first picture did not come; it is opened again after a pause that grows up to retry-cap-ms."
        "See the reason in the text: cable, power, network, `squint doctor`."
    CAMERA_REFUSED Warn "camera-refused" "c1d0a7e2f5b84a6c9b3e7d4f60825a19"
        "A camera refuses user name and password; it is asked again after 2 minutes, later ones after up to an hour, so that no account is locked."
        "Mend the login, then `squint reload`: it tries at once."
    PASSWORD_EXPOSED Warn "password-exposed" "e07b4d19c6a25f83b1d94e6a7c3f5028"
        "The file of a camera's password can be read by everybody on this machine."
        "chmod o= FILE, and give it to Squint's user."
    CAMERA_OTHER_WAY Info "camera-other-way" "5b9e2c74d1a3486fa0c87e6b3d95f210"
        "A camera sends nothing in one way (TCP, a format) and is opened in another one at once."
        "Nothing; `transport` of the camera names a way that is always taken."
    CAMERA_FAILED Error "camera-failed" "e3ca7ee7c4db4e98ba2269b570c522ca"
        "A source that is not live (photos, a clip) failed; it is not opened again."
        "See the reason in the text."
    DRIVERS_STUCK Warn "drivers-stuck" "d7a4fc4c53b34cf5b176bc4697417b8a"
        "So many pipelines hang in the drivers of their cameras that no camera is opened any more; others go on delivering."
        "Restart the driver (on a Jetson nvargus-daemon), then Squint."
    SOURCE_STUCK Warn "source-stuck" "867200b978614e6092f7af1e3c98d894"
        "The driver of a camera, or a network camera in the middle of an answer, does not let go in time; what was opened is left to itself, and the camera is opened anew."
        "If the camera stays away, restart it or its driver (on a Jetson nvargus-daemon), then Squint."
    FRAME_UNREADABLE Warn "frame-unreadable" "bda949cf7e2e4c8c5895636ccfdb1526"
        "A picture cannot be read; it is left out and counted."
        "Replace the file, if it is one."
    STREAM_FAULT Warn "stream-fault" "c802383dc82144c4ac491fe4487aeadc"
        "What a camera or a film sends is not as it should be: data lost on the way, no key frame, pictures that its decoder calls corrupt or cannot keep up with, a film that is cut off or lies on its side. Pictures left out are counted."
        "See the text. Data lost on the way: the network; RTSP over TCP loses none."
    PICTURES_LEFT_OUT Warn "pictures-left-out" "a1c9ee7a5ce4438caedfbd9a24d044cd"
        "All pictures of a folder have been shown; some could not be read, or are of a kind that is not read. The text counts and names them."
        "Replace what is damaged, convert the others to JPEG or PNG."
    LABELS_DOUBTED Warn "labels-doubted" "1381edd8fbad4f0f86d60a64d75e0521"
        "The labels of a run do not fit its photos: some belong to no photo, photos have none, or nearly every answer differs from them."
        "See the text; docs/reference/profile.md says how labels are written. The run itself goes on, its accuracy may mean nothing."
    ENGINE_WARM Debug "engine-warm" "ff59dbae3d7099144c8a13b4fcd0d523"
        "An engine is loaded and warmed up."
        "Nothing."
    ENGINE_UNUSABLE Error "engine-unusable" "61dc97c14e558581a72f20406870eb92"
        "An engine cannot be loaded; Squint goes on with the others."
        "See the reason in the text; `squint engines verify`; then reload."
    CATALOG_PROBLEM Warn "catalog-problem" "b17d126ffda7178745aaa67204321f9e"
        "Something in the folder of engines is not as it should be; unless the text only warns, the engine that it concerns cannot be used."
        "See the reason in the text; `squint check` tells all of them."
    ENGINE_FAILED Warn "engine-failed" "6f2cb266ef2b0b920a411db3091c0cfd"
        "An engine failed; it is set aside for a pause that grows up to a minute, and frames go to the others."
        "See the reason in the text; if it goes on, `squint engines verify`."
    ENGINE_RECOVERED Info "engine-recovered" "1cec43cd96ca0089256dd701eed26a9d"
        "An engine that had failed or was stuck answers again."
        "Nothing."
    ENGINE_STUCK Warn "engine-stuck" "d2b818cece2008462f08378d8316cee2"
        "A run of an engine exceeded engines.deadline-ms; its frame goes to the next engine, and it is not asked before it returns."
        "If it does not return, the watchdog restarts Squint. If it is only slow, raise engines.deadline-ms."
    ENGINE_RETURNED Warn "engine-returned" "5f0e8a3d1b7c4962a4d85e3c90f1b627"
        "An engine that was stuck has come back; it is set aside for a pause and asked again after it."
        "If it goes on: the engine is too slow for engines.deadline-ms, or its driver hangs now and then."
    ENGINE_ON_CPU Warn "engine-on-cpu" "755a89dd4d854b8897bb8ebafeb468b3"
        "An engine that TensorRT was to run runs on the CPU: its plan cannot be loaded, or it failed again and again."
        "See the reason in the text; `squint engines verify`; `squint reload` tries TensorRT once more."
    PLAN_BEGUN Info "plan-begun" "f5968c9070aa4ec387ee28d09ae0e40c"
        "TensorRT begins to build an engine for this GPU, in the background; the CPU answers meanwhile."
        "Nothing; `squint status` says how long it may take."
    PLAN_BUILT Info "plan-built" "bafb59b5e2aa405095e26515cba46c05"
        "An engine has been built for this GPU."
        "Nothing; it comes into use by itself."
    PLAN_FAILED Warn "plan-failed" "8a7cd4a92c524e6ca32947d357f61973"
        "An engine could not be built for this GPU, and is not tried again until model, TensorRT, GPU or driver change; the CPU answers."
        "See the reason in the text; `squint engines build ID --again` tries once more."
    THREAD_HUNG Error "thread-hung" "bdfb62e398abb8dfed62cd1e030718dc"
        "A thread has made no progress for longer than it may: the watchdog is fed no more, and systemd restarts Squint."
        "Report it with the name of the thread and the lines above."
    NO_PROGRESS Error "no-progress" "37e59c8e28fce784eb808eebd65c74ad"
        "No frame came to its end though cameras deliver, or no camera delivers and none can be opened because too many hang in their drivers or descriptors or threads are gone: the watchdog is fed no more."
        "Restart the driver, if that is it (on a Jetson nvargus-daemon); otherwise report it with the lines above."
    PROGRESS_AGAIN Info "progress-again" "9b90347b70a74d0a3b54b7ffb952aad6"
        "What hung goes on; the watchdog is fed again."
        "Nothing."
    LEFT_BEHIND Error "left-behind" "f54ab72f9a65e18a62e0a46d8682ef13"
        "A thread did not end in time when Squint stopped, and was left behind."
        "If a driver hangs, restart its daemon (on a Jetson nvargus-daemon)."
    RELOADED Info "reloaded" "ad1caf243b67b676cfb12c7708853965"
        "Configuration, engines and policy were read again and are in force."
        "Nothing."
    RELOAD_REFUSED Error "reload-refused" "6981402cb1983ed2c75cc891b9b09141"
        "A reload failed; what was in force before stays in force."
        "See the reason in the text, mend it, reload again."
    SETTING_CHANGED Warn "setting-changed" "c55b37181de54665fb14b9dfb6732366"
        "Log level, policy or mode was changed at run time."
        "Nothing; it lasts until the next reload or restart."
    PANICKED Error "panicked" "63cdd3292bed99dad6bde693c535515f"
        "A thread of Squint panicked: a bug. Squint ends in good order, with an error."
        "Report it with the lines above."
    BUG Error "bug" "61c210ea793a61e56681eb894efc02ea"
        "Something that cannot happen has happened."
        "Report it with the lines above."
    SINK_FAILED Warn "sink-failed" "4a3ffa99cbeb5b9403015cf517c22086"
        "A sink takes no records: they are lost and counted until it works again."
        "See the reason in the text: disk space, folder, permissions."
    SINK_RECOVERED Info "sink-recovered" "c5929c3183f6baf4c45970b0400d1b75"
        "A sink works again; the text says how many records were lost."
        "Nothing."
    READERS_WAIT Warn "readers-wait" "9ffbc538ce8347c88a05e8fde0879bcb"
        "Squint has too few descriptors left for those who come to a socket, of itself or for its cameras; they wait at its door until there are more."
        "See who holds so many: `ls -l /proc/PID/fd`. LimitNOFILE= of the unit is the limit."
    READER_REFUSED Warn "reader-refused" "e4fb40cec9d64c77a8d98a5a05000eb0"
        "As many readers are connected to the socket of the records as there may be; one more was turned away."
        "See who they are: `ss -xp src /run/squint/reports.sock`. One reader may hand records on to many."
    LIMITS_SHORT Warn "limits-short" "8d5de01babd3415393077bc5d1bb3619"
        "The cameras need more threads or descriptors than this process may have; those that find none left are not opened."
        "Raise TasksMax= or LimitNOFILE= of the unit, as the text says, or take fewer cameras."
    CAMERA_STARVED Warn "camera-starved" "27f3e375cf3a4b668439a50ce643c7a9"
        "A camera delivers, but no engine has looked at any of its frames for some seconds."
        "The engines have too much to do: a cheaper policy, fewer cameras, fewer frames (rate-hz), or a longer deadline-ms."
    CAMERA_ANSWERED Info "camera-answered" "c60e8a0141ce4dfdbe43a92eaa81c6b0"
        "Engines look at the frames of a camera again that had none for some seconds."
        "Nothing."
    RELOAD_HUNG Error "reload-hung" "7da90059602045a79cf433d9eb7aa923"
        "A reload has not come to its end in time and was given up; what was in force stays in force."
        "See which file it reads: a network drive that is gone, a model that does not end. The next reload is tried on another thread."
    ANSWERS_MISSING Warn "answers-missing" "574287049c6d46379dd5261f79953da4"
        "A run has ended in which most frames got no answer in time."
        "See the reasons in the text; a longer deadline-ms gives the engines more time, a cheaper policy needs less."
    VARIABLES_IGNORED Warn "variables-ignored" "98ba910fc3c347aaa6047ee711f7cde6"
        "Environment variables begin with SQUINT_ and set nothing."
        "Nothing, if they are somebody else's; docs/reference/config.md has those that set a key."
    RUNTIME_LOADED Info "runtime-loaded" "cd4b7f707cd56c049c67007c61727443"
        "Which ONNX Runtime library was loaded."
        "Nothing."
    LIBRARY_DOUBTED Warn "library-doubted" "c46d46edaeac4a0aaef5809687642797"
        "A library or a folder of engines can be written by somebody who cannot write the program: one that is found is left alone, one that is named is used all the same."
        "See the text for who and where; chown and chmod it, or name another with engines.onnxruntime, engines.tensorrt, engines.tensorrt-shim, engines.folder or calibration."
    POLICY Info "policy" "09fa01469f1e08925fa24c032bfb1261"
        "Which policy is in force, and over which engines."
        "Nothing."
    LOG_LOST Warn "log-lost" "8bc7af94776f42a2941667c620a7d1ca"
        "Lines of the log were left out, because the journal (or the terminal) took them too slowly; SQUINT_COUNT says how many."
        "If it goes on, see what holds up journald: `systemctl status systemd-journald`, the disk."
}
