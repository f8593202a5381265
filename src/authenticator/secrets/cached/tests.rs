use std::sync::{Mutex, atomic::AtomicUsize};

use futures_util::future::join_all;
use tokio::time::{advance, sleep};

use super::*;
use crate::authenticator::secrets::REREAD_INTERVAL;
use crate::authenticator::secrets::records;

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(3);

/// A secrets manager that says what it is told to, after a while.
#[derive(Clone)]
struct Scripted(Arc<Script>);

struct Script {
    says: Mutex<Result<Option<&'static str>, Trouble>>,
    takes: Mutex<Duration>,
    asked: AtomicUsize,
}

impl Scripted {
    fn saying(password: &'static str) -> Self {
        Scripted(Arc::new(Script {
            says: Mutex::new(Ok(Some(password))),
            takes: Mutex::default(),
            asked: AtomicUsize::new(0),
        }))
    }

    fn says(&self, says: Result<Option<&'static str>, Trouble>) {
        *self.0.says.lock().unwrap() = says;
    }

    fn takes(&self, time: Duration) {
        *self.0.takes.lock().unwrap() = time;
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    fn cached(&self) -> Cached<Self> {
        Cached::new(
            self.clone(),
            Lifetimes::default().with_ttl(TTL).with_timeout(LIMIT),
        )
    }
}

#[tonic::async_trait]
impl Source for Scripted {
    async fn fetch(&self, place: &Place) -> Result<Vec<Arc<Record>>, Unavailable> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        // As of when it was asked: an answer may be old when it arrives.
        let says = *self.0.says.lock().unwrap();
        let takes = *self.0.takes.lock().unwrap();
        if !takes.is_zero() {
            sleep(takes).await;
        }
        let Some(password) = says.map_err(|trouble| Unavailable::new(trouble, "as told"))? else {
            return Ok(Vec::new());
        };
        Ok(document(place.host(), place.port(), password))
    }

    async fn ready(&self) -> Result<(), Unavailable> {
        self.fetch(&Place::of(&key("db")).unwrap()).await.map(drop)
    }
}

fn document(host: &str, port: u16, password: &str) -> Vec<Arc<Record>> {
    let yaml = format!(
        "- {{dbhost: {host}, dbport: {port}, dbuser: app, password: {password}, iam_arn: \
         'arn:aws:iam::123456789012:role/checkout'}}"
    );
    records(yaml.as_bytes()).unwrap()
}

/// The record of `db` with this password.
fn version(password: &str) -> Arc<Record> {
    document("db", 5432, password).remove(0)
}

fn key(host: &str) -> RecordKey {
    RecordKey::new(host, 5432, "app")
}

fn checkout() -> VerifiedIdentity {
    of_account("123456789012")
}

/// Its role `checkout`.
fn of_account(account: &str) -> VerifiedIdentity {
    let arn = format!("arn:aws:sts::{account}:assumed-role/checkout/pod");
    VerifiedIdentity::new(&arn, "AROAEXAMPLE:pod").unwrap()
}

/// The password of the record, `None` where there is none.
async fn look(
    cached: &Cached<Scripted>,
    host: &str,
    freshness: Freshness,
) -> Result<Option<String>, Trouble> {
    look_as(&checkout(), cached, host, freshness).await
}

/// As [`look`], as somebody whom the record need not admit.
async fn look_as(
    identity: &VerifiedIdentity,
    cached: &Cached<Scripted>,
    host: &str,
    freshness: Freshness,
) -> Result<Option<String>, Trouble> {
    let records = cached.records(identity, &key(host), freshness).await;
    let records = records.map_err(|unavailable| unavailable.trouble)?;
    Ok(records.first().map(|record| {
        let password = record.credential.password().unwrap().expose_secret();
        String::from_utf8(password.to_vec()).unwrap()
    }))
}

async fn usual(cached: &Cached<Scripted>) -> Result<Option<String>, Trouble> {
    look(cached, "db", Freshness::Usual).await
}

async fn reread(cached: &Cached<Scripted>) -> Result<Option<String>, Trouble> {
    look(cached, "db", Freshness::Reread).await
}

fn is(password: &str) -> Result<Option<String>, Trouble> {
    Ok(Some(password.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_good_for_its_time_and_no_longer() {
    let manager = Scripted::saying("one");
    let cached = manager.cached();
    assert_eq!(usual(&cached).await, is("one"));
    manager.says(Ok(Some("two")));
    advance(TTL - Duration::from_millis(1)).await;
    assert_eq!(usual(&cached).await, is("one"));
    advance(Duration::from_millis(1)).await;
    assert_eq!(usual(&cached).await, is("two"));
    assert_eq!(manager.asked(), 2);
    // Users of one database share its answer; another database has another.
    let other = RecordKey::new("db", 5432, "other");
    let found = cached.records(&checkout(), &other, Freshness::Usual).await;
    assert!(found.unwrap().is_empty());
    assert_eq!(manager.asked(), 2);
    assert_eq!(
        look(&cached, "db2", Freshness::Usual).await,
        Ok(Some("two".into()))
    );
    assert_eq!(manager.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn that_there_is_no_record_is_an_answer_like_any_other() {
    let manager = Scripted::saying("one");
    manager.says(Ok(None));
    let cached = manager.cached();
    assert_eq!(usual(&cached).await, Ok(None));
    manager.says(Ok(Some("one")));
    advance(TTL - Duration::from_millis(1)).await;
    assert_eq!(usual(&cached).await, Ok(None));
    advance(Duration::from_millis(1)).await;
    assert_eq!(usual(&cached).await, is("one"));
}

#[test]
fn no_answer_is_good_for_more_than_a_minute() {
    let hour = Duration::from_secs(3600);
    let lifetimes = Lifetimes::default().with_ttl(hour).with_timeout(hour);
    assert_eq!(lifetimes.ttl, Lifetimes::MAX_TTL);
    assert_eq!(lifetimes.timeout, Lifetimes::MAX_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn however_many_want_it_one_question_is_asked() {
    let manager = Scripted::saying("one");
    manager.takes(Duration::from_secs(1));
    let cached = manager.cached();
    for found in join_all((0..100).map(|_| usual(&cached))).await {
        assert_eq!(found, is("one"));
    }
    assert_eq!(manager.asked(), 1);
    // They share a failure too: nobody waits longer than one question takes.
    advance(TTL).await;
    manager.takes(Duration::from_secs(60));
    let began = Instant::now();
    for found in join_all((0..100).map(|_| usual(&cached))).await {
        assert_eq!(found, Err(Trouble::Slow));
    }
    assert_eq!(began.elapsed(), LIMIT);
    assert_eq!(manager.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_keeps_nobody_waiting() {
    let manager = Scripted::saying("one");
    manager.takes(Duration::from_secs(2));
    let cached = manager.cached();
    let given_up = timeout(Duration::from_secs(1), usual(&cached));
    assert!(given_up.await.is_err());
    assert_eq!(usual(&cached).await, is("one"));
}

#[tokio::test(start_paused = true)]
async fn trouble_is_not_kept() {
    let manager = Scripted::saying("one");
    let cached = manager.cached();
    for trouble in [Trouble::Sealed, Trouble::Unreachable, Trouble::Slow] {
        manager.says(Err(trouble));
        assert_eq!(usual(&cached).await, Err(trouble));
    }
    manager.says(Ok(Some("one")));
    assert_eq!(usual(&cached).await, is("one"));
    // Whoever has an answer that is still good does not notice.
    manager.says(Err(Trouble::Sealed));
    assert_eq!(usual(&cached).await, is("one"));
    advance(TTL).await;
    assert_eq!(usual(&cached).await, Err(Trouble::Sealed));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_the_manager_refuses_is_asked_for_once_a_second() {
    let manager = Scripted::saying("one");
    let cached = manager.cached();
    let troubles = [Trouble::Refused, Trouble::Malformed, Trouble::Throttled];
    for (asked, trouble) in troubles.into_iter().enumerate() {
        manager.says(Err(trouble));
        for _ in 0..100 {
            assert_eq!(usual(&cached).await, Err(trouble));
        }
        advance(FAILURE - Duration::from_millis(1)).await;
        assert_eq!(usual(&cached).await, Err(trouble));
        assert_eq!(manager.asked(), asked + 1);
        advance(Duration::from_millis(1)).await;
    }
    manager.says(Ok(Some("one")));
    assert_eq!(usual(&cached).await, is("one"));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_refused_is_withdrawn_until_the_manager_was_asked() {
    let manager = Scripted::saying("one");
    let cached = manager.cached();
    assert_eq!(usual(&cached).await, is("one"));
    let one = version("one");
    assert!(cached.suspect(&one, Sign::Refused));
    manager.says(Err(Trouble::Unreachable));
    assert_eq!(reread(&cached).await, Err(Trouble::Unreachable));
    assert_eq!(usual(&cached).await, Err(Trouble::Unreachable));
    // Other users of that database are not concerned.
    let other = RecordKey::new("db", 5432, "other");
    assert!(
        cached
            .records(&checkout(), &other, Freshness::Usual)
            .await
            .is_ok()
    );

    manager.says(Ok(Some("one")));
    assert_eq!(usual(&cached).await, is("one"), "unchanged in the manager");
    manager.says(Ok(Some("two")));
    manager.takes(Duration::from_secs(1));
    assert!(cached.suspect(&one, Sign::UnseenSalt));
    // Who comes while it is read again is not given what it was read again for.
    let (again, meanwhile) = tokio::join!(reread(&cached), async {
        tokio::task::yield_now().await;
        usual(&cached).await
    });
    assert_eq!((again, meanwhile), (is("two"), is("two")));
}

#[tokio::test(start_paused = true)]
async fn a_version_is_read_again_for_its_first_refusal_alone() {
    let manager = Scripted::saying("one");
    let cached = manager.cached();
    assert_eq!(usual(&cached).await, is("one"));
    let (one, two) = (version("one"), version("two"));
    assert!(cached.suspect(&one, Sign::Refused));
    assert_eq!(reread(&cached).await, is("one"));
    for _ in 0..5 {
        advance(REREAD_INTERVAL).await;
        assert!(!cached.suspect(&one, Sign::Refused), "it was unchanged");
        assert_eq!(usual(&cached).await, is("one"));
    }
    assert_eq!(manager.asked(), 2);

    advance(TTL).await;
    manager.says(Ok(Some("two")));
    assert_eq!(usual(&cached).await, is("two"));
    // Word of an old version comes late, and is none against the new one.
    assert!(!cached.suspect(&one, Sign::Refused));
    assert_eq!(usual(&cached).await, is("two"));
    assert_eq!(manager.asked(), 3);
    assert!(cached.suspect(&two, Sign::Refused));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_refused_soon_after_another_is_given_to_nobody() {
    let manager = Scripted::saying("one");
    let cached = manager.cached();
    assert_eq!(usual(&cached).await, is("one"));
    assert!(cached.suspect(&version("one"), Sign::Refused));
    manager.says(Ok(Some("two")));
    assert_eq!(reread(&cached).await, is("two"));
    assert!(cached.suspect(&version("two"), Sign::Refused));
    manager.says(Ok(Some("three")));
    advance(REREAD_INTERVAL - Duration::from_millis(1)).await;
    assert_eq!(usual(&cached).await, Err(Trouble::Throttled));
    // Whom it does not admit is told what he always is, and has nothing asked.
    let intruder = of_account("210987654321");
    let told = look_as(&intruder, &cached, "db", Freshness::Usual).await;
    assert_eq!(told, is("two"));
    assert_eq!(manager.asked(), 2);
    advance(Duration::from_millis(1)).await;
    assert_eq!(usual(&cached).await, is("three"));
}

#[tokio::test(start_paused = true)]
async fn a_salt_keeps_nobody_out_while_the_manager_does_not_answer() {
    for sign in [Sign::UnseenSalt, Sign::Retried] {
        let manager = Scripted::saying("one");
        let cached = manager.cached();
        assert_eq!(usual(&cached).await, is("one"));
        manager.says(Err(Trouble::Unreachable));
        manager.takes(Duration::from_secs(1));
        assert!(cached.suspect(&version("one"), sign));
        // Those neither who come while it is asked.
        let (again, meanwhile) = tokio::join!(reread(&cached), async {
            tokio::task::yield_now().await;
            usual(&cached).await
        });
        assert_eq!(again, Err(Trouble::Unreachable));
        assert_eq!(meanwhile, is("one"), "{sign:?}");
        assert_eq!(usual(&cached).await, is("one"), "{sign:?}");
        assert_eq!(manager.asked(), 2);
    }
}

/// The question was asked before the sign: its answer is as old as what was refused.
#[tokio::test(start_paused = true)]
async fn a_version_that_was_refused_meanwhile_is_not_the_answer() {
    let manager = Scripted::saying("one");
    let cached = manager.cached();
    assert_eq!(usual(&cached).await, is("one"));
    advance(TTL).await;
    manager.takes(Duration::from_secs(1));
    let (asking, sign, meanwhile) = tokio::join!(
        usual(&cached),
        async {
            sleep(Duration::from_millis(500)).await;
            manager.says(Ok(Some("two")));
            let is_first = cached.suspect(&version("one"), Sign::Refused);
            (is_first, reread(&cached).await)
        },
        async {
            sleep(Duration::from_millis(1_100)).await;
            usual(&cached).await
        },
    );
    assert_eq!(asking, is("two"));
    assert_eq!(sign, (true, is("two")));
    assert_eq!(meanwhile, is("two"));
    assert_eq!(manager.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_was_asked_before_the_sign_does_not_answer_it() {
    let manager = Scripted::saying("one");
    manager.takes(Duration::from_secs(1));
    let cached = manager.cached();
    let (before, after, shared) = tokio::join!(
        usual(&cached),
        async {
            sleep(Duration::from_millis(500)).await;
            manager.says(Ok(Some("two")));
            reread(&cached).await
        },
        async {
            sleep(Duration::from_millis(600)).await;
            reread(&cached).await
        },
    );
    assert_eq!(before, is("one"));
    assert_eq!((after, shared), (is("two"), is("two")));
    assert_eq!(manager.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn questions_and_places_are_bounded() {
    let manager = Scripted::saying("one");
    manager.takes(Duration::from_secs(2));
    let cached = manager.cached();
    let askers: Vec<_> = (0..=MAX_QUESTIONS)
        .map(|n| (format!("db{n}"), of_account(&format!("{:012}", n % 3 + 1))))
        .collect();
    let looks = askers
        .iter()
        .map(|(host, identity)| look_as(identity, &cached, host, Freshness::Usual));
    let found = join_all(looks).await;
    let late = found.iter().filter(|one| **one == Err(Trouble::Slow));
    assert_eq!(late.count(), 1);

    manager.takes(Duration::ZERO);
    for n in 0..MAX_PLACES + 1_000 {
        let found = look(&cached, &format!("host{n}"), Freshness::Usual).await;
        assert!(found.is_ok());
    }
    cached.slots.run_pending_tasks();
    assert!(cached.slots.entry_count() <= MAX_PLACES);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_names_slow_places_keeps_no_other_waiting() {
    let manager = Scripted::saying("one");
    manager.takes(Duration::from_secs(2));
    let cached = manager.cached();
    let intruder = of_account("210987654321");
    let hosts: Vec<_> = (0..100).map(|n| format!("db{n}")).collect();
    let guesses = hosts
        .iter()
        .map(|host| look_as(&intruder, &cached, host, Freshness::Usual));
    let began = Instant::now();
    let (guessed, (found, waited)) = tokio::join!(join_all(guesses), async {
        tokio::task::yield_now().await;
        // Also where it wants to know the same.
        let found = look(&cached, "db99", Freshness::Usual).await;
        (found, began.elapsed())
    });
    assert_eq!(found, is("one"));
    assert_eq!(waited, Duration::from_secs(2));
    let late = guessed.iter().filter(|one| **one == Err(Trouble::Slow));
    // The first, and those who had their turns then.
    assert_eq!(late.count(), 100 - 2 * MAX_QUESTIONS_OF_ACCOUNT);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_no_place_is_not_asked_for() {
    let manager = Scripted::saying("one");
    let cached = manager.cached();
    for host in ["../secret", "/var/run/postgresql", "a%2fb", "a?b"] {
        assert_eq!(look(&cached, host, Freshness::Reread).await, Ok(None));
    }
    assert_eq!(manager.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn readiness_is_asked_for_once_a_second() {
    let manager = Scripted::saying("one");
    let cached = manager.cached();
    for ready in join_all((0..100).map(|_| cached.ready())).await {
        assert!(ready.is_ok());
    }
    assert_eq!(manager.asked(), 1);
    manager.says(Err(Trouble::Sealed));
    advance(READINESS).await;
    let trouble = cached
        .ready()
        .await
        .map_err(|unavailable| unavailable.trouble);
    assert_eq!(trouble, Err(Trouble::Sealed));
}
