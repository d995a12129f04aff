//! Each variant of the grammar and each trap, in short lines made for the purpose.
//! tests/telemetry/tegrastats_samples.rs holds the scanner against lines of real boards.

use super::*;
use proptest::prelude::*;

fn tokens(line: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    scan(line.as_bytes(), |token| tokens.push(token));
    tokens
}

fn rail(name: &str, milliwatts: f32) -> Token<'_> {
    Token::Rail { name, power: Milliwatts(milliwatts) }
}

fn zone(name: &str, degrees: f32) -> Token<'_> {
    Token::Zone { name, temperature: Some(Celsius(degrees)) }
}

fn skipped(text: &str, why: Skip) -> Token<'_> {
    Token::Skipped { text: text.as_bytes(), why }
}

fn gpu(load: Option<f32>, clock: Option<f32>) -> Token<'static> {
    Token::Gpu { load, clock: clock.map(Megahertz) }
}

#[test]
fn rails_of_every_release_give_their_present_value() {
    for word in ["812/640", "812mW/640mW", "812mW/640", "812/640mW", "812mW/640mW/901mW"] {
        assert_eq!(tokens(&format!("VDD_X {word}")), [rail("VDD_X", 812.0)], "{word}");
    }
}

#[test]
fn temperatures_may_have_a_fraction_a_sign_a_peak_and_any_name() {
    let line = "Tdiode@36.25C BCPU@-45C soc0@49.406C/49.5C wlan-5g_1@30C 5g@31C";
    let expected = [
        zone("Tdiode", 36.25),
        zone("BCPU", -45.0),
        zone("soc0", 49.406),
        zone("wlan-5g_1", 30.0),
        zone("5g", 31.0),
    ];
    assert_eq!(tokens(line), expected);
}

#[test]
fn a_sensor_that_is_off_is_known_and_has_no_temperature() {
    for line in ["CV0@-256C", "CV0@-256.0C/-256C", "CV0@-300C"] {
        assert_eq!(tokens(line), [Token::Zone { name: "CV0", temperature: None }]);
    }
}

#[test]
fn rails_zones_cores_and_engines_of_one_name_are_told_apart_by_their_values() {
    let line = "CPU [10%@1000,off] GPU@31C CPU@32C GPU 7/8 CPU 216/210 CV 0/0 CV off";
    let expected = [
        Token::Cpu { load: Some(0.1), clock: Some(Megahertz(1000.0)) },
        zone("GPU", 31.0),
        zone("CPU", 32.0),
        rail("GPU", 7.0),
        rail("CPU", 216.0),
        rail("CV", 0.0),
        skipped("CV off", Skip::NotNeeded),
    ];
    assert_eq!(tokens(line), expected);
}

#[test]
fn channels_with_nothing_behind_them_are_skipped_however_many_there_are() {
    let expected = [
        skipped("NC 0mW/0mW", Skip::Unconnected),
        rail("A", 1.0),
        skipped("NC 5/0", Skip::Unconnected),
    ];
    assert_eq!(tokens("NC 0mW/0mW A 1/1 NC 5/0"), expected);
}

#[test]
fn the_gpu_is_read_in_every_spelling() {
    for (words, load, clock) in [
        ("GR3D_FREQ 15%@114", Some(0.15), Some(114.0)),
        ("GR3D 3%@76", Some(0.03), Some(76.0)),
        ("GR3D_FREQ 7%", Some(0.07), None),
        ("GR3D_FREQ 50%@[611]", Some(0.5), Some(611.0)),
        ("GR3D_FREQ 50%@[611,305]", Some(0.5), Some(611.0)),
        ("GR3D_FREQ @[314,315,316]", None, Some(316.0)),
        ("GR3D_FREQ 0%@0", Some(0.0), None),
        ("GR3D_FREQ @[0,0,0]", None, None),
    ] {
        assert_eq!(tokens(words), [gpu(load, clock)], "{words}");
    }
    for words in [
        "GR3D_FREQ 15%@",
        "GR3D_FREQ 101%@5",
        "GR3D_FREQ 1%@[5",
        "GR3D_FREQ 1%@[]",
        "GR3D_FREQ @1,b",
    ] {
        assert_eq!(tokens(words), [skipped(words, Skip::Unknown)]);
    }
}

#[test]
fn processors_that_are_off_count_neither_for_load_nor_for_clock() {
    for (list, load, clock) in [
        ("[50%@1833,off,0%@1971]", Some(0.25), Some(1971.0)),
        ("[20%,40%]@408", Some(0.3), Some(408.0)),
        ("[20%,40%]", Some(0.3), None),
        ("[off,off]", None, None),
        ("[30%@7,?,900%@8]", Some(0.3), Some(7.0)),
    ] {
        let words = format!("CPU {list}");
        let [Token::Cpu { load: got, clock: mhz }] = tokens(&words)[..] else { panic!("{words}") };
        assert_eq!(
            (got.map(|load| (load * 1000.0).round() / 1000.0), mhz),
            (load, clock.map(Megahertz)),
            "{words}"
        );
    }
    assert_eq!(tokens("CPU [1%@5,"), [skipped("CPU [1%@5,", Skip::Unknown)], "torn");
    assert_eq!(
        tokens("[1%@5]"),
        [skipped("[1%@5]", Skip::Unknown)],
        "without a name it could be anything"
    );
}

#[test]
fn memory_is_total_less_used_and_swap_is_not_memory() {
    assert_eq!(tokens("RAM 1000/4000MB"), [Token::Memory { available_mib: 3000.0 }]);
    assert_eq!(tokens("RAM 512/2048kB"), [Token::Memory { available_mib: 1.5 }]);
    let asides = ["SWAP 1/9MB", "(cached", "2MB)", "IRAM 0/252kB", "(lfb", "252kB)"];
    let expected = asides.map(|text| skipped(text, Skip::NotNeeded));
    assert_eq!(tokens("SWAP 1/9MB (cached 2MB) IRAM 0/252kB(lfb 252kB)"), expected);
    assert_eq!(tokens("RAM 9/8MB"), [skipped("RAM 9/8MB", Skip::NotNeeded)], "more than there is");
    assert_eq!(tokens("RAM 9/8"), [skipped("RAM 9/8", Skip::Unknown)], "no rail is called that");
}

#[test]
fn dates_engines_and_other_clocks_are_known_and_not_needed() {
    let line = "01-31-2026 23:59:59 EMC_FREQ 3%@1600 EMC_FREQ @2133 NVENC 79%@166 NVDEC  off   NVJPG 729 APE 150 MTS fg 0% bg 1% OFA_FREQ @1556";
    for token in tokens(line) {
        assert!(matches!(token, Token::Skipped { why: Skip::NotNeeded, .. }), "{token:?}");
    }
}

#[test]
fn strange_words_are_named_and_cost_no_neighbour() {
    let line = "VDD_A 1/2 ?? \u{b0} VDD_B 3x/4 Zürich@30C VDD_C 5/6/7/8 POWER VDD_D 9/9 @30C x@C GPU@1C/ VDD_E 1234567890/1 F 1./2";
    let got = tokens(line);
    let rails: Vec<_> =
        got.iter().filter(|token| !matches!(token, Token::Skipped { .. })).collect();
    assert_eq!(rails, [&rail("VDD_A", 1.0), &rail("VDD_D", 9.0)]);
    assert!(
        got.contains(&skipped("POWER", Skip::Unknown))
            && got.contains(&skipped("VDD_B 3x/4", Skip::Unknown)),
        "{got:?}"
    );
    let long = format!("{} 1/2", "N".repeat(NAME_LIMIT + 1));
    assert!(
        tokens(&long)
            .iter()
            .all(|token| matches!(token, Token::Skipped { why: Skip::Unknown, .. }))
    );
}

#[test]
fn a_line_beyond_the_limit_is_cut_between_words_and_the_rest_named() {
    let line = format!("A 1/1 {} B 22/33 C 1/1", "x".repeat(LINE_LIMIT - 12));
    let got = tokens(&line);
    assert_eq!(got[0], rail("A", 1.0));
    let [.., Token::Skipped { text, why: Skip::TooLong }] = got[..] else { panic!("{got:?}") };
    assert_eq!(text, b" 22/33 C 1/1", "and not `B 2`");
    let word = "y".repeat(LINE_LIMIT + 1);
    assert_eq!(tokens(&word), [skipped(&word, Skip::TooLong)]);
}

proptest! {
    #[test]
    fn whatever_the_bytes_numbers_are_finite_and_names_not_empty(line in prop::collection::vec(
        prop::sample::select(b"ANCPUGR3D_FREQ0159%@[],/().:- \t\x00\xffmWCoff".to_vec()), 0..200))
    {
        let mut skipped = 0;
        scan(&line, |token| match token {
            Token::Rail { name, power } => assert!(power.0.is_finite() && !name.is_empty()),
            Token::Zone { name, temperature } => assert!(temperature.is_none_or(|t| t.0.is_finite()) && !name.is_empty()),
            Token::Gpu { load, .. } | Token::Cpu { load, .. } => assert!(load.is_none_or(|load| (0.0..=1.0).contains(&load))),
            Token::Memory { available_mib } => assert!(available_mib.is_finite()),
            Token::Skipped { text, .. } => { skipped += text.len(); }
        });
        prop_assert!(skipped <= line.len(), "nothing is skipped twice");
    }

    #[test]
    fn noise_does_not_break_it(line in prop::collection::vec(any::<u8>(), 0..6000)) {
        scan(&line, |_| ());
    }
}
