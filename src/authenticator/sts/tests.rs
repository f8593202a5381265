use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;

use super::*;

const STRANGER: Asker = Asker {
    neighbourhood: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    is_known: false,
};

/// At the same address.
const KNOWN: Asker = Asker {
    is_known: true,
    ..STRANGER
};

type Verdict = Result<&'static str, Rejection>;

fn calls(change: impl FnOnce(&mut Limits)) -> StsCalls {
    let mut limits = Limits::default();
    change(&mut limits);
    StsCalls::new(&limits, Arc::default())
}

/// An STS that gives these answers, and then the last one for ever.
struct Script {
    answers: Mutex<VecDeque<Verdict>>,
    asked: AtomicUsize,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Verdict>) -> Self {
        Script {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: AtomicUsize::default(),
        }
    }

    async fn ask(&self, calls: &StsCalls) -> Verdict {
        self.ask_for(STRANGER, calls).await
    }

    async fn ask_for(&self, asker: Asker, calls: &StsCalls) -> Verdict {
        let region = Region::find("eu-central-1").unwrap();
        calls.ask(region, asker, || async { self.answer() }).await
    }

    fn answer(&self) -> Verdict {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 {
            answers.pop_front().unwrap()
        } else {
            answers.front().unwrap().clone()
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn silence() -> Verdict {
    Err(Rejection::Unavailable("x".into()))
}

fn has(calls: &StsCalls, line: &str) -> bool {
    let text = calls.metrics.exposition().unwrap();
    text.lines().any(|found| found == line)
}

#[tokio::test(start_paused = true)]
async fn a_question_that_was_throttled_is_asked_again_after_a_pause() {
    let calls = calls(|_| ());
    let sts = Script::new([
        Err(Rejection::Throttled),
        Err(Rejection::Throttled),
        Ok("it"),
    ]);
    let began = Instant::now();
    assert_eq!(sts.ask(&calls).await, Ok("it"));
    assert_eq!(sts.asked(), 3);
    assert!(began.elapsed() <= PAUSES[0] + PAUSES[1]);
    for line in [
        "approzium_sts_throttled_total 2",
        "approzium_sts_retries_total 2",
        "approzium_phase_duration_seconds_count{phase=\"sts\",outcome=\"ok\"} 1",
        "approzium_total_identity_verification_attempts 1",
    ] {
        assert!(has(&calls, line), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_not_repeated_for_ever_and_no_other_is() {
    for (answer, asked) in [
        (Err(Rejection::Throttled), 1 + PAUSES.len()),
        (Err(Rejection::Signature), 1),
        (silence(), 1),
    ] {
        let calls = calls(|_| ());
        let sts = Script::new([answer.clone()]);
        assert_eq!(sts.ask(&calls).await, answer);
        assert_eq!(sts.asked(), asked, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn repetitions_are_of_the_same_rate() {
    // A burst is ten seconds' worth.
    let calls = calls(|limits| limits.sts_calls_per_second_per_address = 1);
    let sts = Script::new([Err(Rejection::Throttled)]);
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(sts.ask(&calls).await, Err(Rejection::Throttled));
    }
    let within = 10 + began.elapsed().as_secs() as usize;
    assert!(
        sts.asked() <= within,
        "{} in {:?}",
        sts.asked(),
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repeated_once_the_time_is_over() {
    let calls = calls(|_| ());
    let region = Region::find("eu-central-1").unwrap();
    // The second of those that take six seconds is cut off.
    for (takes, expected) in [(BUDGET, 1), (BUDGET.mul_f64(0.6), 2)] {
        let began = Instant::now();
        let mut asked = 0;
        let slow = || {
            asked += 1;
            async move {
                sleep(takes).await;
                Err(Rejection::Throttled)
            }
        };
        let verdict: Verdict = calls.ask(region, STRANGER, slow).await;
        assert_eq!(verdict, Err(Rejection::Throttled));
        assert!(began.elapsed() <= BUDGET + Duration::from_millis(1));
        assert_eq!(asked, expected, "{takes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_sts_that_is_silent_is_left_alone_until_it_answers_again() {
    let calls = calls(|_| ());
    let sts = Script::new([silence()]);
    let open = "approzium_sts_circuit_open{region=\"eu-central-1\"}";
    while sts.ask(&calls).await == silence() {}
    let asked = sts.asked();
    assert_eq!(sts.ask(&calls).await, Err(Rejection::CircuitOpen));
    assert_eq!(sts.asked(), asked);
    assert!(has(&calls, &format!("{open} 1")));
    let opens = "approzium_sts_circuit_opens_total{region=\"eu-central-1\"} 1";
    assert!(has(&calls, opens));

    // After the first pause one asks for all.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(sts.ask(&calls).await, silence());
    assert_eq!(sts.ask(&calls).await, Err(Rejection::CircuitOpen));
    assert_eq!(sts.asked(), asked + 1);

    sleep(Duration::from_secs(2)).await;
    // A proof that is not good is an answer like any other.
    let back = Script::new([Err(Rejection::Signature), Ok("it")]);
    assert_eq!(back.ask(&calls).await, Err(Rejection::Signature));
    assert_eq!(back.ask(&calls).await, Ok("it"));
    assert!(has(&calls, &format!("{open} 0")));
    assert!(has(&calls, opens), "it was opened once");
}

#[tokio::test(start_paused = true)]
async fn strangers_leave_a_quarter_to_who_is_known() {
    let calls = calls(|limits| {
        limits.sts_calls_per_second = 4;
        limits.sts_calls_per_second_per_address = 100;
    });
    let sts = Script::new([Ok("it")]);
    for (asker, at_once) in [(STRANGER, 30), (KNOWN, 10)] {
        for number in 0..at_once + 1 {
            let asked = sts.ask_for(asker, &calls).await;
            let is_refused = asked == Err(Rejection::Throttled);
            assert_eq!(is_refused, number == at_once, "{asker:?} {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_over_his_own_bound_takes_nothing_of_what_strangers_share() {
    let calls = calls(|limits| {
        limits.sts_calls_per_second = 100;
        limits.sts_calls_per_second_per_address = 2;
    });
    let sts = Script::new([Ok("it")]);
    // As many attempts as strangers together have calls.
    for number in 0..10 * 75 {
        let is_asked = sts.ask_for(STRANGER, &calls).await.is_ok();
        assert_eq!(is_asked, number < 10 * 2, "{number}");
    }
    let other = Asker {
        neighbourhood: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        ..STRANGER
    };
    assert_eq!(sts.ask_for(other, &calls).await, Ok("it"));
    let known = Asker {
        is_known: true,
        ..other
    };
    assert_eq!(sts.ask_for(known, &calls).await, Ok("it"));
}

#[tokio::test(start_paused = true)]
async fn strangers_who_are_refused_together_take_nothing_of_their_addresses() {
    let calls = calls(|limits| {
        limits.sts_calls_per_second = 4;
        limits.sts_calls_per_second_per_address = 4;
    });
    let sts = Script::new([Ok("it")]);
    for _ in 0..100 {
        sts.ask_for(STRANGER, &calls).await.ok();
    }
    assert_eq!(sts.asked(), 30);
    // Who is known, at the same address, has the quarter that is left.
    for _ in 0..100 {
        sts.ask_for(KNOWN, &calls).await.ok();
    }
    assert_eq!(sts.asked(), 40);
}

/// What strangers may have open together.
const PLACES: usize = CALLS_AT_ONCE - CALLS_AT_ONCE / 4;

#[tokio::test(start_paused = true)]
async fn strangers_leave_a_quarter_of_the_open_questions_to_who_is_known() {
    let (calls, asked) = (calls(|_| ()), AtomicUsize::default());
    let ask = async |asker, region| -> Verdict {
        let in_vain = async || {
            asked.fetch_add(1, Ordering::SeqCst);
            sleep(BUDGET).await;
            silence()
        };
        let region = Region::find(region).unwrap();
        calls.ask(region, asker, in_vain).await
    };
    let strangers = join_all((0..CALLS_AT_ONCE).map(|_| ask(STRANGER, "eu-central-1")));
    let meanwhile = async {
        sleep(BUDGET / 4).await;
        assert_eq!(asked.load(Ordering::SeqCst), PLACES);
        let seen = async {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(asked.load(Ordering::SeqCst), PLACES + 2);
        };
        let elsewhere = ask(STRANGER, "us-east-1");
        tokio::join!(ask(KNOWN, "eu-central-1"), elsewhere, seen)
    };
    let (verdicts, _) = tokio::join!(strangers, meanwhile);
    let throttled = verdicts.iter().filter(|verdict| is_throttled(verdict));
    let throttled = throttled.count();
    assert_eq!(throttled, CALLS_AT_ONCE - PLACES);
    let counted = format!("approzium_sts_throttled_total {throttled}");
    assert!(has(&calls, &counted));
}

#[tokio::test(start_paused = true)]
async fn who_waited_to_ask_is_answered_within_the_same_time() {
    let (calls, asked) = (calls(|_| ()), AtomicUsize::default());
    // The first ones are answered before half of the time is over, the last one is not in time.
    let question = async || {
        match asked.fetch_add(1, Ordering::SeqCst) < PLACES {
            true => sleep(BUDGET.mul_f64(0.4)).await,
            false => sleep(BUDGET).await,
        }
        Ok("it")
    };
    let region = Region::find("eu-central-1").unwrap();
    let began = Instant::now();
    let all = (0..PLACES + 1).map(|_| calls.ask(region, STRANGER, question));
    let verdicts: Vec<Verdict> = join_all(all).await;
    assert!(began.elapsed() <= BUDGET + Duration::from_millis(1));
    assert_eq!(
        verdicts.iter().filter(|verdict| verdict.is_ok()).count(),
        PLACES
    );
    assert!(matches!(
        verdicts.last(),
        Some(Err(Rejection::Unavailable(_)))
    ));
}
