//! What the papers name is there.

use std::fs;

use coco_tests::coco::root;

/// The text between two back-ticks, for each such pair in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_table_of_faults_names_exists() {
    let text = fs::read_to_string(root().join("tests/FAULTS.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let names: Vec<_> = rows
        .flat_map(quoted)
        .filter_map(|name| name.split_once("::"))
        .filter(|(module, _)| root().join(format!("tests/it/{module}.rs")).is_file())
        .collect();
    assert!(names.len() > 60, "{} names only", names.len());
    for (module, name) in names {
        let source = fs::read_to_string(root().join(format!("tests/it/{module}.rs"))).unwrap();
        assert!(source.contains(&format!("fn {name}()")), "{module} has no test {name}");
    }
    assert!(!text.contains("to be filled in"), "a row waits for its result");
}

#[test]
fn the_pages_keep_to_their_length() {
    for (page, most) in [("ARCHITECTURE.md", 150), ("CONTRIBUTING.md", 100)] {
        let lines = fs::read_to_string(root().join(page)).unwrap().lines().count();
        assert!(lines <= most, "{page} has {lines} lines, {most} are agreed");
    }
}
