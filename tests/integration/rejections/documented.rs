//! `docs/security.md` says by which test each check is covered: those tests are there.

use std::path::Path;

#[test]
fn every_test_that_the_security_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut named = 0;
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let tests = line.split('`').filter_map(|text| text.split_once("::"));
        for (file, test) in tests.filter(|(file, _)| file.ends_with(".rs")) {
            let source = std::fs::read_to_string(root.join(file))
                .unwrap_or_else(|error| panic!("{file}: {error}"));
            let is_there = source.contains(&format!("fn {test}("));
            assert!(is_there, "{file} has no test {test}");
            named += 1;
        }
    }
    assert!(named > 40, "only {named} tests are named");
}
