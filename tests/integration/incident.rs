//! What README.md and docs/incident.md show is of one run: who follows an id from a picture to a log
//! finds it.

use std::{collections::BTreeSet, fs, path::Path};

use sha2::{Digest, Sha256};

fn documentation(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page() -> String {
    String::from_utf8(documentation("incident.md")).unwrap()
}

#[test]
fn each_incident_is_of_one_request() {
    let page = page();
    let (slow, denied) = page.split_once("## When somebody was denied").unwrap();
    let slow = requests(
        slow,
        &["\"approzium.request_id\":\"", "$ grep ", " request_id="],
    );
    let denied = requests(denied, &[" request_id="]);
    assert_eq!((slow.len(), denied.len()), (1, 1), "{slow:?} {denied:?}");
    assert_ne!(slow, denied);
    let readme = include_str!("../../README.md");
    for (pod, requests) in [("reporting", slow), ("intruder", denied)] {
        let rows = readme.lines().filter(|line| line.starts_with(pod));
        let shown: BTreeSet<_> = rows
            .map(|row| request(row.rsplit(' ').next().unwrap()))
            .collect();
        assert_eq!(shown, requests, "{pod}");
    }
}

/// What follows each of these words, each of which is there.
fn requests(text: &str, words: &[&str]) -> BTreeSet<String> {
    let following = words.iter().flat_map(|word| {
        let following = text.split(word).skip(1).map(request);
        let following: Vec<_> = following.collect();
        assert!(!following.is_empty(), "{word}");
        following
    });
    following.collect()
}

fn request(text: &str) -> String {
    let request: String = text.chars().take(36).collect();
    uuid::Uuid::parse_str(&request).unwrap_or_else(|error| panic!("{request}: {error}"));
    request
}

/// An id within a picture cannot be read here: the page says by which pictures it was written.
#[test]
fn the_pictures_are_of_the_run_that_the_lines_are_of() {
    let page = page();
    let digests = page.split("<!-- pictures -->").nth(1).unwrap();
    let digests: BTreeSet<_> = digests
        .lines()
        .filter_map(|line| line.split_once("  images/"))
        .map(|(digest, picture)| (picture.to_owned(), digest.to_owned()))
        .collect();
    let shown = page.split("](images/").skip(1);
    let shown = shown.map(|rest| rest.split(')').next().unwrap());
    let pictures: BTreeSet<_> = shown
        .map(|picture| {
            let digest = Sha256::digest(documentation(&format!("images/{picture}")));
            let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            (picture.to_owned(), digest)
        })
        .collect();
    assert_eq!(pictures.len(), 3);
    assert_eq!(digests, pictures, "take them anew with scripts/screenshots");
}
