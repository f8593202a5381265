//! Passwords are planted, and searched for where they must not be: in the memory of an application
//! that logs in through the Authenticator, and in everything that either of the two writes.

mod authenticator;
mod collector;
mod database;
mod forms;
mod hardening;
mod memory;
mod process;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use approzium_peers::{Postgres, Redis, Result, peer};

use authenticator::Authenticator;
use collector::Collector;
use database::Passwords;
use forms::Needles;
use memory::{Memory, Watch};
use process::{Part, Running};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_password_stays_in_the_authenticator() {
    let passwords = Passwords::random();
    let postgres = peer!(database::database(&passwords));
    let digests = database::digests(&postgres, "digested", &passwords.digested).await;
    let mysql_digests = database::mysql_digests(&passwords.shopping);
    let needles = Arc::new(database::needles(&postgres, &passwords).await);
    let folders = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let path = folders.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };

    peer!(the_search_finds_what_is_there(&needles, &folder("holder")));
    let of_driver = folder("driver");
    peer!(a_driver_with_a_password_is_caught(
        &postgres, &passwords, &needles, &of_driver
    ));

    let collector = Collector::start().await;
    let records = database::records(&postgres, &passwords, &digests, &mysql_digests);
    let redis = peer!(Redis::start());
    let of_authenticator = folder("authenticator");
    let authenticator =
        Authenticator::start(&of_authenticator, &records, collector.url(), &redis).await;
    let mut variables = authenticator.environment();
    variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT".into(), collector.url().into()));
    variables.push(("OTEL_SERVICE_NAME".into(), "canary".into()));
    let mut application = Running::start(
        Part::Application,
        &folder("application"),
        &[
            ("databases", database::databases(&postgres).as_bytes()),
            (
                "refused",
                database::refused(&postgres, &passwords).as_bytes(),
            ),
        ],
        &variables,
    )
    .unwrap();

    let memory = Arc::new(Memory::of(application.id()).unwrap());
    let watch = Watch::over(Arc::clone(&memory), Arc::clone(&needles));
    application.ready().await;
    let v1 = authenticator.v1_logins(postgres.port()).await;
    let mut searches = watch.end();
    memory.assert_is_readable();
    searches.push(memory.search(&needles));
    let mut leaks = BTreeSet::new();
    for found in searches.iter().flat_map(|finds| &finds.0) {
        leaks.insert(format!("in the application's memory: {found:?}"));
    }
    for found in left_in_the_authenticator(&authenticator, &needles) {
        leaks.insert(format!("in the Authenticator's memory: {found}"));
    }

    let tokens = session_tokens(&memory);
    assert!(
        !tokens.is_empty(),
        "the application has a session, and so a token"
    );
    let mut unprintable = Needles::default()
        .password("nobody", &passwords.typed)
        .secret("the password of Redis", Redis::PASSWORD.as_bytes());
    for (name, secret) in &v1.secrets {
        unprintable = unprintable.secret(name, secret);
    }
    for (name, secret) in authenticator.credentials() {
        unprintable = unprintable.secret(&name, secret.as_bytes());
    }
    for token in &tokens {
        unprintable = unprintable.secret("a session token", token.as_bytes());
    }

    let planted = unprintable.planted();
    assert_eq!(unprintable.found_in(&planted), unprintable.all());

    let metrics = authenticator.metrics().await;
    assert!(metrics.contains("approzium_"), "{metrics}");
    let application = application.end().await;
    let (authenticator, audit) = authenticator.end().await;
    logs_are_complete(&application, &authenticator, &audit);
    let exported = collector.metrics();
    let name = b"approzium_decisions";
    assert!(
        positions(&exported, name).next().is_some(),
        "no metrics came"
    );
    spans_are_complete(&collector);
    for (what, text) in [
        ("the metrics", metrics.as_bytes()),
        ("the application's log", application.as_bytes()),
        ("the Authenticator's log", authenticator.as_bytes()),
        ("the audit log", audit.as_bytes()),
        ("what v1 told who was refused", v1.refused.as_bytes()),
        ("the exported metrics", &exported),
        ("the spans", &collector.spans()),
    ] {
        let known = needles.found_in(text);
        for found in known.union(&unprintable.found_in(text)) {
            leaks.insert(format!("in {what}: {found}"));
        }
        for proof in proofs(text) {
            leaks.insert(format!("in {what}: {proof}"));
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}

/// The control for every form: it is found in a process that holds it, and in a text that has it.
async fn the_search_finds_what_is_there(needles: &Needles, folder: &Path) -> Result<()> {
    let planted = needles.planted();
    assert_eq!(needles.found_in(&planted), needles.all());
    let files = [("planted", planted.as_slice())];
    let mut holder = Running::start(Part::Holder, folder, &files, &[])?;
    holder.ready().await;
    let finds = Memory::of(holder.id())?.search(needles);
    let found: BTreeSet<&str> = finds.0.keys().map(String::as_str).collect();
    assert_eq!(found, needles.all());
    holder.end().await;
    Ok(())
}

/// The control for the whole: the same program, the same database, and the driver alone.
async fn a_driver_with_a_password_is_caught(
    postgres: &Postgres,
    passwords: &Passwords,
    needles: &Needles,
    folder: &Path,
) -> Result<()> {
    let database = database::string(postgres, "app", "sslmode=disable");
    let files = [
        ("database", database.as_bytes()),
        ("password", passwords.app.as_bytes()),
    ];
    let mut driver = Running::start(Part::Driver, folder, &files, &[])?;
    driver.ready().await;
    let finds = Memory::of(driver.id())?.search(needles);
    for half in ["first", "second"] {
        let password = format!("app's password, as it is, {half} half");
        assert!(finds.0.contains_key(&password), "{finds:#?}");
    }
    driver.end().await;
    Ok(())
}

/// How the Authenticator's memory differs from the least that it can do with: each record's
/// password, and the keys of the login that a database confirmed, all of them once; of a record of
/// digests their keys, and no password in any form. What else was on
/// the way to them lies in buffers and stacks of others; that it is gone cannot be promised, but it
/// is so.
fn left_in_the_authenticator(authenticator: &Authenticator, needles: &Needles) -> Vec<String> {
    let Ok(memory) = Memory::of(authenticator.id()) else {
        // Only who may trace any process can read it: see `hardening`.
        return Vec::new();
    };
    let needed: BTreeMap<String, usize> = [
        ("app's password", 1),
        ("app's ClientKey", 1),
        ("app's StoredKey", 1),
        ("app's ServerKey", 1),
        ("digested's ClientKey", 1),
        ("digested's StoredKey", 1),
        ("digested's ServerKey", 1),
        ("shopping's SHA-1 stage 1", 1),
        ("shopping's SHA-256 stage 1", 1),
        ("mistaken (wrong)'s password", 1),
        // Two records have it.
        ("old's password", 2),
    ]
    .iter()
    .flat_map(|(name, copies)| {
        ["first", "second"].map(|half| (format!("{name}, as it is, {half} half"), *copies))
    })
    .collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let finds = memory.search(needles).0.into_iter();
        let held: BTreeMap<String, usize> =
            finds.map(|(what, places)| (what, places.len())).collect();
        if held == needed {
            return Vec::new();
        }
        // The outcome of a login may still be under way.
        if Instant::now() > deadline {
            let differs = |(what, copies): &(&String, &usize)| needed.get(*what) != Some(*copies);
            let found = held.iter().filter(differs);
            let missed = needed.keys().filter(|what| !held.contains_key(*what));
            return found
                .map(|(what, copies)| format!("{what}: {copies} copies"))
                .chain(missed.map(|what| format!("{what}: not there")))
                .collect();
        }
    }
}

/// `a2.<key id>.<claims>.<MAC>`, wherever the application has one: their MACs.
fn session_tokens(memory: &Memory) -> BTreeSet<String> {
    let mut tokens = BTreeSet::new();
    memory.each_piece(4096, |_, _, piece| {
        for start in positions(piece, b"a2.") {
            let text: String = piece[start..]
                .iter()
                .map(|byte| char::from(*byte))
                .take_while(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(*letter))
                .collect();
            if let [_, id, _, mac, ..] = text.split('.').collect::<Vec<_>>()[..]
                && id.len() == 16
                && let Some(mac) = mac.get(..43)
            {
                tokens.insert(mac.to_owned());
            }
        }
    });
    tokens
}

/// What an application may have and nobody may print: answers to challenges, session tokens.
fn proofs(text: &[u8]) -> BTreeSet<String> {
    /// How it begins, and what then follows how often at least.
    type Shape = (&'static [u8], fn(&u8) -> bool, usize);
    let shapes: [Shape; 3] = [
        (b"md5", u8::is_ascii_hexdigit, 32),
        (
            b",p=",
            |byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte),
            40,
        ),
        (b"a2.", u8::is_ascii_hexdigit, 16),
    ];
    let mut found = BTreeSet::new();
    for (begins, goes_on, length) in shapes {
        for start in positions(text, begins) {
            let rest = &text[start + begins.len()..];
            if rest.len() >= length && rest[..length].iter().all(goes_on) {
                found.insert(String::from_utf8_lossy(&rest[..length]).into_owned());
            }
        }
    }
    found
}

fn positions(text: &[u8], begins: &[u8]) -> impl Iterator<Item = usize> {
    (0..text.len()).filter(move |at| text[*at] == begins[0] && text[*at..].starts_with(begins))
}

/// That there was something to search: everything was logged, every decision is there.
fn logs_are_complete(application: &str, authenticator: &str, audit: &str) {
    assert_eq!(
        application.matches("\nrefused: ").count(),
        4,
        "{application}"
    );
    for said in [
        "28P01",
        "TRACE h2::",
        "TRACE rustls::",
        "DEBUG tokio_postgres",
    ] {
        assert!(application.contains(said), "{said}");
    }
    let mut reasons = BTreeSet::new();
    for line in audit.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        reasons.insert(line["reason"].as_str().unwrap().to_owned());
    }
    let expected = [
        "login_refused",
        "login_reported",
        "login_verified",
        "md5_answered",
        "method_not_on_record",
        "mysql_native_answered",
        "no_record",
        "scram_answered",
        "session_granted",
    ];
    for reason in expected {
        assert!(reasons.contains(reason), "no {reason} in {reasons:?}");
    }
    assert!(authenticator.contains(r#""level":"TRACE""#));
}

fn spans_are_complete(collector: &Collector) {
    let names = collector.names();
    for name in ["secret", "compute", "challenge", "SELECT nowhere"] {
        assert!(names.contains(name), "{names:?}");
    }
}
