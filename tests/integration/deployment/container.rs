//! The image: there is no engine here, so that each thing is looked at which its build relies on.

use std::{collections::BTreeSet, path::Path, process::Command};

use approzium_peers::{deployment::Judges, peer};
use serde_json::Value;

use super::{read, repository};

const FILE: &str = "deploy/container/Dockerfile";

/// Its instructions, each with its arguments, lines that go on put together.
fn instructions() -> Vec<(String, String)> {
    let text = read(FILE).replace("\\\n", " ");
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, arguments) = line.split_once(' ').unwrap();
            let words: Vec<&str> = arguments.split_whitespace().collect();
            (name.to_owned(), words.join(" "))
        })
        .collect()
}

fn arguments(name: &str) -> Vec<String> {
    let all = instructions().into_iter();
    let named = all.filter(|(instruction, _)| instruction == name);
    named.map(|(_, arguments)| arguments).collect()
}

/// What Cargo knows of this repository.
fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(repository(""))
        .output()
        .unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn package(metadata: &Value) -> &Value {
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .find(|package| package["name"] == "approzium")
        .unwrap()
}

#[tokio::test]
async fn hadolint_finds_it_good() {
    let judges = peer!(Judges::install());
    judges.dockerfile(&repository(FILE)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mistaken = folder.path().join("Dockerfile");
    std::fs::write(&mistaken, read(FILE).replace(":1.94.1-alpine3.23", "")).unwrap();
    assert!(judges.dockerfile(&mistaken).await.is_err());
}

#[test]
fn it_is_nothing_but_the_program_and_runs_as_nobody() {
    let bases = arguments("FROM");
    assert_eq!(bases.last().map(String::as_str), Some("scratch"));
    let metadata = metadata();
    let rust = package(&metadata)["rust_version"].as_str().unwrap();
    assert!(
        bases[0].starts_with(&format!("rust:{rust}-alpine")),
        "{bases:?}"
    );
    let all = instructions();
    let last = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
    let image = &all[last..];
    let copied: Vec<&str> = image
        .iter()
        .filter(|(name, _)| name == "COPY")
        .map(|(_, arguments)| arguments.as_str())
        .collect();
    assert_eq!(
        copied,
        [
            "--from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
            "--from=build /approzium /approzium",
        ]
    );
    let (user, group) = arguments("USER")[0]
        .split_once(':')
        .map(|(user, group)| (user.parse::<u32>(), group.parse::<u32>()))
        .unwrap();
    assert!(user.unwrap() >= 10_000 && group.unwrap() >= 10_000);
    assert_eq!(arguments("ENTRYPOINT"), ["[\"/approzium\"]"]);
}

#[test]
fn cargo_knows_what_it_is_asked_to_build_and_development_mode_is_no_part() {
    let builds: Vec<String> = arguments("RUN")
        .iter()
        .filter_map(|run| Some(run.split_once("cargo build ")?.1.to_owned()))
        .collect();
    let [build] = builds.as_slice() else {
        panic!("{builds:?}");
    };
    let words: Vec<&str> = build.split(' ').take_while(|word| *word != "&&").collect();
    let after = |flag: &str| {
        let place = words.iter().position(|word| *word == flag);
        words[place.unwrap_or_else(|| panic!("no {flag}: {words:?}")) + 1]
    };
    for flag in ["--release", "--locked", "--no-default-features"] {
        assert!(words.contains(&flag), "{flag}");
    }
    let metadata = metadata();
    let package = package(&metadata);
    let targets = package["targets"].as_array().unwrap();
    let program = after("--bin");
    let is_program = |target: &&Value| target["name"] == program && target["kind"][0] == "bin";
    assert!(targets.iter().any(|target| is_program(&target)));

    let mut features = BTreeSet::new();
    let mut asked: Vec<String> = after("--features").split(',').map(str::to_owned).collect();
    while let Some(feature) = asked.pop() {
        if let Some(more) = package["features"].get(&feature)
            && features.insert(feature)
        {
            let more = more.as_array().unwrap().iter();
            asked.extend(more.map(|feature| feature.as_str().unwrap().to_owned()));
        }
    }
    assert!(features.contains("cli"), "{features:?}");
    assert!(!features.contains("dev"), "{features:?}");
}

#[test]
fn the_build_sees_all_that_cargo_needs_and_nothing_else() {
    let ignore = read("deploy/container/Dockerfile.dockerignore");
    let mut lines = ignore.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let seen: Vec<&str> = lines.map(|line| line.strip_prefix('!').unwrap()).collect();
    for path in &seen {
        assert!(repository(path).exists(), "{path}");
    }
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let needed = packages.flat_map(|package| {
        let targets = package["targets"].as_array().unwrap().iter();
        let sources = targets.map(|target| &target["src_path"]);
        sources.chain([&package["manifest_path"]])
    });
    let root = repository("");
    for path in needed {
        let path = Path::new(path.as_str().unwrap())
            .strip_prefix(&root)
            .unwrap();
        assert!(
            seen.iter().any(|seen| path.starts_with(seen)),
            "{}: Cargo wants to see it",
            path.display()
        );
    }
    // Read at build time.
    for path in ["proto", "Cargo.lock"] {
        assert!(seen.contains(&path), "{path}");
    }
}
