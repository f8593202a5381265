//! The unit: by systemd, and by `approzium serve` itself.

use std::path::{Path, PathBuf};

use approzium_peers::{
    deployment::{systemd_security, systemd_verify},
    peer,
};

use super::{Etc, read};

const UNIT: &str = "deploy/systemd/approzium.service";

/// The unit, in a folder of its own. systemd looks whether the program is there.
fn installed(folder: &Path, change: impl FnOnce(String) -> String) -> PathBuf {
    let unit = read(UNIT).replace("/usr/local/bin/approzium", env!("CARGO_BIN_EXE_approzium"));
    let path = folder.join("approzium.service");
    std::fs::write(&path, change(unit)).unwrap();
    path
}

#[tokio::test]
async fn systemd_finds_it_good() {
    let folder = tempfile::tempdir().unwrap();
    peer!(systemd_verify(&installed(folder.path(), |unit| unit)));
    for (right, wrong) in [
        ("ExecStart=/", "ExecStart=/no"),
        ("LogsDirectory=", "LogsDirectory=/"),
        ("Type=exec", "Type=execute"),
        ("NoNewPrivileges=yes", "NoNewPrivilegs=yes"),
        ("ProtectSystem=strict", "ProtectSystem=strictly"),
        ("[Install]", "[Instal]"),
    ] {
        let mistaken = installed(folder.path(), |unit| {
            assert!(unit.contains(right), "{right}");
            unit.replace(right, wrong)
        });
        let said = systemd_verify(&mistaken).await;
        assert!(said.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_service_can_do_little() {
    let folder = tempfile::tempdir().unwrap();
    peer!(systemd_security(&installed(folder.path(), |unit| unit)));
    let open = installed(folder.path(), |unit| {
        let lines = unit.lines().filter(|line| {
            !line.starts_with("SystemCallFilter=") && !line.starts_with("CapabilityBoundingSet=")
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    assert!(systemd_security(&open).await.is_err());
}

/// `serve` says by its exit code which failures another start does not mend, and those alone are final.
#[test]
fn it_is_started_again_until_it_serves() {
    let unit = read(UNIT);
    let says = |line| unit.lines().any(|one| one == line);
    assert!(says("Restart=on-failure"));
    assert!(says("RestartPreventExitStatus=2"));
    assert!(says("StartLimitIntervalSec=0"));
}

#[test]
fn its_audit_log_has_a_folder_and_is_opened_anew() {
    let unit = read(UNIT);
    let says = |line| unit.lines().any(|one| one == line);
    assert!(says("ProtectSystem=strict") && says("LogsDirectory=approzium"));
    // What SIGHUP does: `a_hangup_ends_nothing`.
    assert!(says("ExecReload=/bin/kill -HUP $MAINPID"));
}

/// Where they are: a copy, as systemd makes of a credential, would never be another one.
#[test]
fn approzium_serves_by_its_settings() {
    let unit = read(UNIT);
    assert!(unit.contains("--config /etc/approzium/approzium.yaml\n"));
    assert!(!unit.contains("Environment") && !unit.contains("\nLoadCredential"));
    let etc = Etc::new("tls.crt", "tls.key", "secrets.yaml", "session.keys");
    etc.serves(Some(&read("deploy/systemd/approzium.yaml")), &[]);
}

#[test]
fn its_user_is_made() {
    let unit = read(UNIT);
    let users = read("deploy/systemd/approzium.sysusers");
    assert!(unit.lines().any(|line| line == "User=approzium"));
    assert!(users.lines().any(|line| line.starts_with("u approzium ")));
}
