use std::{os::unix::fs::PermissionsExt, time::SystemTime};

use super::*;

fn checkout() -> VerifiedIdentity {
    let arn = "arn:aws:sts::123456789012:assumed-role/checkout/pod";
    VerifiedIdentity::new(arn, "AROAEXAMPLE:pod").unwrap()
}

fn record(user: &str) -> String {
    format!(
        "- {{dbhost: db, dbport: 5432, dbuser: {user}, password: hunter2, iam_arn: \
         'arn:aws:iam::123456789012:role/checkout'}}\n"
    )
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn logins_that_come_together_after_a_change_read_it_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.yaml");
    write(&path, &record("app"), 0o600);
    let secrets = LocalSecrets::open(&path).unwrap();
    // The file has not settled, so that everybody wants it read.
    let all = (0..50).map(|_| secrets.file.now(Freshness::Usual));
    let all = futures_util::future::join_all(all).await;
    let mut read: Vec<_> = all
        .into_iter()
        .map(|loaded| Arc::as_ptr(&loaded.unwrap()))
        .collect();
    read.dedup();
    // By the first, and once more for those who came while that was under way.
    assert!(read.len() <= 2, "{} times", read.len());
}

#[tokio::test]
async fn an_edit_takes_effect_and_a_broken_file_lets_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.yaml");
    write(&path, &record("app"), 0o600);
    let secrets = LocalSecrets::open(&path).unwrap();
    let key = RecordKey::new("db", 5432, "other");
    let identity = checkout();
    let look = || secrets.records(&identity, &key, Freshness::Usual);
    assert!(look().await.unwrap().is_empty());

    write(&path, &(record("app") + &record("other")), 0o600);
    assert_eq!(look().await.unwrap().len(), 1);

    write(&path, "- hunter2", 0o600);
    let error = look().await.unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");

    write(&path, &record("other"), 0o600);
    assert_eq!(look().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_without_records_is_not_ready_but_for_development() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.yaml");
    for (text, is_ready) in [("", false), ("[]\n", false), (&record("app"), true)] {
        write(&path, text, 0o600);
        let ready = LocalSecrets::open(&path).unwrap().ready().await;
        assert_eq!(ready.is_ok(), is_ready, "{text}");
        let says = ready.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(is_ready || says.ends_with("secrets.yaml: it holds no record"));
        #[cfg(feature = "dev")]
        LocalSecrets::open_unchecked(&path)
            .unwrap()
            .ready()
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn all_records_of_a_key_are_found_in_the_order_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.yaml");
    let of = |user: &str, password: &str| record(user).replace("hunter2", password);
    let mut text = String::new();
    for n in 0..20 {
        let filler = record(&format!("user{}", n * 7 % 20));
        text += &(filler + &of("m", &format!("password{n:02}")));
    }
    write(&path, &text, 0o600);
    let secrets = LocalSecrets::open(&path).unwrap();
    let found = async |user: &str| {
        let key = RecordKey::new("DB.", 5432, user);
        let found = secrets.records(&checkout(), &key, Freshness::Usual).await;
        let found = found.unwrap().into_iter();
        let passwords = found.map(|record| {
            let password = record.credential.password().unwrap().expose_secret();
            String::from_utf8(password.to_vec()).unwrap()
        });
        passwords.collect::<Vec<_>>()
    };
    let all: Vec<_> = (0..20).map(|n| format!("password{n:02}")).collect();
    assert_eq!(found("m").await, all);
    for n in 0..20 {
        assert_eq!(found(&format!("user{n}")).await, ["hunter2"]);
    }
    for nobody in ["", "l", "user", "z"] {
        assert!(found(nobody).await.is_empty(), "{nobody}");
    }
}

#[tokio::test]
async fn edits_of_one_length_in_one_moment_take_effect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.yaml");
    let tick = SystemTime::now();
    let write = |user: &str| {
        write(&path, &record(user), 0o600);
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(tick).unwrap();
    };
    write("one");
    let secrets = LocalSecrets::open(&path).unwrap();
    for user in ["two", "one", "two"] {
        write(user);
        let key = RecordKey::new("db", 5432, user);
        let found = secrets
            .records(&checkout(), &key, Freshness::Usual)
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{user}");
    }
}

#[test]
fn what_is_no_file_or_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let says = |path: &Path| LocalSecrets::open(path).unwrap_err().to_string();
    assert!(says(folder.path()).contains("not a file"));
    let path = folder.path().join("secrets.yaml");
    write(&path, &record("app"), 0o600);
    let file = File::options().append(true).open(&path).unwrap();
    file.set_len(MAX_FILE_SIZE + 1).unwrap();
    assert!(says(&path).contains("larger"));
    assert_eq!(
        private(&path, MAX_FILE_SIZE + 1).unwrap().len(),
        (16 << 20) + 1
    );
}

#[test]
fn a_file_that_others_reach_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.yaml");
    for (mode, accepted) in [
        (0o600, true),
        (0o400, true),
        (0o640, true),
        (0o644, false),
        (0o660, false),
        (0o602, false),
    ] {
        write(&path, &record("app"), mode);
        assert_eq!(LocalSecrets::open(&path).is_ok(), accepted, "{mode:o}");
        // Its owner may not be allowed to write it again.
        fs::remove_file(&path).unwrap();
    }
}
