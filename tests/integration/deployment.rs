//! What is in `deploy/`: each file as its platform judges it, and each with settings by which
//! `approzium serve` would really serve.

mod container;
mod draining;
mod ecs;
mod envoy;
mod helm;
mod systemd;

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
};

use approzium_peers::Authority;

use crate::authenticator::process::{command, failing, record, write_private};

/// A path in this repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    let path = repository(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `/etc/approzium` of a host, with these files for certificate, key, records and session keys.
struct Etc(tempfile::TempDir);

impl Etc {
    fn new(certificate: &str, key: &str, records: &str, session_keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Authority::default().server(&["approzium.internal"]);
        let keys = "bm90IGEgc2VjcmV0IGF0IGFsbCwgYnV0IGxvbmcgZW5vdWdo\n";
        for (name, text) in [
            (certificate, server.certificate_pem.as_str()),
            (key, &server.key_pem),
            (records, &record("app", "")),
            (session_keys, keys),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_private(&path, text);
            // As a group reads it that a platform gave it to.
            let mode = std::fs::Permissions::from_mode(0o440);
            std::fs::set_permissions(path, mode).unwrap();
        }
        Etc(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// What is said of the host's folder, said of this one.
    fn here(&self, text: &str) -> String {
        text.replace("/etc/approzium", self.path().to_str().unwrap())
    }

    /// `approzium serve --check` by a configuration file, if there is one, and variables.
    fn check(&self, file: Option<&str>, variables: &[(String, String)]) -> Output {
        let mut command = command(&["--check", "--without-sts"]);
        if let Some(text) = file {
            let path = self.path().join("approzium.yaml");
            std::fs::write(&path, self.here(text)).unwrap();
            command.arg("--config").arg(path);
        }
        for (name, value) in variables {
            command.env(name, self.here(value));
        }
        failing(command)
    }

    /// It would serve as it is, and not without any of the four files.
    fn serves(&self, file: Option<&str>, variables: &[(String, String)]) {
        let output = self.check(file, variables);
        let said = String::from_utf8(output.stdout).unwrap();
        let wrong = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}{wrong}");
        for good in [
            "certificate",
            "addresses",
            "names",
            "session keys",
            "records",
        ] {
            assert!(said.contains(&format!("ok       {good}")), "{good}: {said}");
        }
        let mut files = Vec::new();
        collect(self.path(), &mut files);
        for path in files {
            if path.ends_with("approzium.yaml") {
                continue;
            }
            let aside = path.with_extension("aside");
            std::fs::rename(&path, &aside).unwrap();
            let output = self.check(file, variables);
            std::fs::rename(&aside, &path).unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(1), "{}: {said}", path.display());
            assert!(said.contains(path.to_str().unwrap()), "{said}");
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

/// The variables that `approzium serve` knows, by its own words.
fn known_variables() -> Vec<String> {
    let output = failing(command(&["--help"]));
    let help = String::from_utf8(output.stdout).unwrap();
    let variables: Vec<String> = help
        .split("[env: ")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(']')?.0.to_owned()))
        .collect();
    assert!(variables.contains(&"APPROZIUM_HOST".to_owned()), "{help}");
    variables
}
