//! The unit: by systemd, and by `approzium serve` itself.

use std::path::Path;

use approzium_peers::{deployment::systemd_analyze, peer};

use super::{Etc, known_variables, read};

/// The unit, in a folder of its own. systemd looks whether the program is there.
fn installed(folder: &Path, change: impl FnOnce(String) -> String) -> String {
    let unit = read("deploy/systemd/approzium.service")
        .replace("/usr/local/bin/approzium", env!("CARGO_BIN_EXE_approzium"));
    let path = folder.join("approzium.service");
    std::fs::write(&path, change(unit)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn systemd_finds_it_good() {
    let folder = tempfile::tempdir().unwrap();
    let verify = async |unit: &str| {
        let arguments = ["verify", "--man=no", "--recursive-errors=no", unit];
        systemd_analyze(&arguments).await
    };
    peer!(verify(&installed(folder.path(), |unit| unit)));
    let mistaken = installed(folder.path(), |unit| {
        unit.replace("Type=exec", "Type=execute")
    });
    // It warns of what it ignores, and fails for what it cannot start.
    let gone = installed(folder.path(), |unit| {
        unit.replace("ExecStart=/", "ExecStart=/no")
    });
    assert!(verify(&gone).await.is_err(), "{mistaken}");
}

/// systemd counts what a service could do, from 0 to 10: 2.0 and below it calls fine.
#[tokio::test]
async fn a_service_can_do_little() {
    let folder = tempfile::tempdir().unwrap();
    let exposure = async |unit: &str| {
        let arguments = ["security", "--offline=true", "--threshold=20", unit];
        systemd_analyze(&arguments).await
    };
    peer!(exposure(&installed(folder.path(), |unit| unit)));
    let open = installed(folder.path(), |unit| {
        let lines = unit.lines().filter(|line| {
            !line.starts_with("SystemCallFilter=") && !line.starts_with("CapabilityBoundingSet=")
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    assert!(exposure(&open).await.is_err());
}

#[test]
fn approzium_serves_by_its_settings() {
    let unit = read("deploy/systemd/approzium.service");
    let known = known_variables();
    let etc = Etc::new("tls.crt", "tls.key", "secrets.yaml", "session.keys");
    let mut credentials = Vec::new();
    let mut variables = Vec::new();
    for line in unit.lines() {
        if let Some(credential) = line.strip_prefix("LoadCredential=") {
            credentials.push(credential.split_once(':').unwrap());
        }
        if let Some((name, value)) = line
            .strip_prefix("Environment=")
            .and_then(|variable| variable.split_once('='))
        {
            assert!(known.iter().any(|known| known == name), "{name}");
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    // systemd puts a credential's copy where %d says, under its name.
    for (_, value) in &mut variables {
        if let Some(name) = value.strip_prefix("%d/") {
            let credential = credentials.iter().find(|(known, _)| *known == name);
            *value = credential.expect(name).1.to_owned();
        }
    }
    assert_eq!(credentials.len(), 3);
    etc.serves(Some(&read("deploy/systemd/approzium.yaml")), &variables);
}

#[test]
fn its_user_is_made() {
    let unit = read("deploy/systemd/approzium.service");
    let users = read("deploy/systemd/approzium.sysusers");
    assert!(unit.lines().any(|line| line == "User=approzium"));
    assert!(users.lines().any(|line| line.starts_with("u approzium ")));
}
