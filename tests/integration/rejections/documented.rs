//! `docs/security.md` says by which test each check is covered: those tests are there, and are run.

use std::path::Path;

/// What the checks are of, in the two checklists that the page follows.
const CHECKLISTS: [&str; 17] = [
    "A1",
    "A2",
    "A3",
    "A4",
    "A5",
    "A6",
    "A7",
    "A8",
    "A9",
    "B MD5",
    "B SCRAM",
    "B MySQL",
    "B caching_sha2 fast path",
    "B caching_sha2 full authentication",
    "B keys",
    "B answers",
    "B memory",
];

#[test]
fn every_test_that_the_security_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = page();
    let mut named = 0;
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let tests = line.split('`').filter_map(|text| text.split_once("::"));
        for (file, test) in tests.filter(|(file, _)| file.ends_with(".rs")) {
            let source = std::fs::read_to_string(root.join(file))
                .unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(is_run(&source, test), "{file} runs no test {test}");
            named += 1;
        }
    }
    assert!(named > 40, "only {named} tests are named");
}

#[test]
fn every_line_of_the_checklists_has_a_check() {
    let page = page();
    let of: Vec<_> = page
        .lines()
        .filter(|line| line.contains(".rs::"))
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|of| of.split(", "))
        .collect();
    for one in CHECKLISTS {
        assert!(of.contains(&one), "no check is of {one}");
    }
}

#[test]
fn a_function_without_its_attribute_and_an_ignored_test_are_none() {
    for (source, expected) in [
        ("#[test]\nfn it() {", true),
        (
            "/// Of it.\n#[tokio::test(start_paused = true)]\nasync fn it() {",
            true,
        ),
        (
            "proptest! {\n    #[test]\n    fn it(bytes in any()) {",
            true,
        ),
        ("fn it() {", false),
        ("#[test]\nfn another() {}\n\nfn it() {", false),
        ("#[test]\n#[ignore]\nfn it() {", false),
        ("#[ignore = \"slow\"]\n#[test]\nfn it() {", false),
        ("#[test]\nfn it_does() {", false),
    ] {
        assert_eq!(is_run(source, "it"), expected, "{source}");
    }
}

fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join("docs/security.md")).unwrap()
}

/// Whether there is such a function, and what stands on it makes it a test that is run.
fn is_run(source: &str, test: &str) -> bool {
    let Some(at) = source.find(&format!("fn {test}(")) else {
        return false;
    };
    let before = source[..at].trim_end_matches("async ").trim_end();
    let attributes: Vec<_> = before
        .lines()
        .rev()
        .map(str::trim)
        .take_while(|line| !line.is_empty() && !line.ends_with(['}', '{', ';']))
        .collect();
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    attributes.iter().any(is_test) && !attributes.iter().any(|line| line.starts_with("#[ignore"))
}
