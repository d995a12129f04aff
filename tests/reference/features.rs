//! docs/reference/features.md names every feature with the range that the code promises, and no
//! other.

use squint::features::{NAMES, RANGES, schema};

/// `edge_length1` to `edge_length7` stands for seven rows.
fn documented() -> Vec<(String, (f32, f32))> {
    let page = include_str!("../../docs/reference/features.md");
    let mut rows = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line
            .trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().trim_matches('|').trim())
            .collect();
        let (names, range) = (cells[0], cells[cells.len() - 1]);
        let (low, high) = range.split_once(" to ").unwrap_or_else(|| panic!("no range in {line}"));
        let range = (low.parse().expect("a number"), high.parse().expect("a number"));
        match names.split_once(" to ") {
            None => rows.push((names.trim_matches('`').to_owned(), range)),
            Some((first, _)) => {
                let stem = first.trim_matches('`').trim_end_matches('1');
                rows.extend((1..=7).map(|number| (format!("{stem}{number}"), range)));
            }
        }
    }
    rows
}

#[test]
fn every_feature_is_documented_with_its_range_in_the_order_of_the_schema() {
    let wanted: Vec<_> = NAMES.iter().map(|name| (*name).to_owned()).zip(RANGES).collect();
    assert_eq!(documented(), wanted);
    assert!(
        include_str!("../../docs/reference/features.md").contains(schema()),
        "the page names the running schema"
    );
}
