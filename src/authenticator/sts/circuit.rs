//! A circuit for each region, open while its STS does not answer.
//!
//! ```text
//!            five calls in a row without an answer
//!   closed ─────────────────────────────────────────▶ open
//!      ▲                                               │ ▲
//!      │                                 after a pause │ │ no answer: a longer pause
//!      │               an answer                       ▼ │
//!      └────────────────────────────────────────── one call
//! ```
//!
//! An answer is whatever STS says, a refusal too: a bad proof is no reason to ask it less. That it
//! throttles closes the circuit, and opens none.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::authenticator::limits::locked;

/// Calls in a row without an answer that open a circuit.
const PATIENCE: u32 = 5;

/// The first pause; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest. For so long, and not more, does an STS that is back wait for us.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The circuits by region, of which there are only so many.
#[derive(Debug, Default)]
pub(super) struct Circuits(Mutex<HashMap<&'static str, Circuit>>);

#[derive(Clone, Copy, Debug)]
enum Circuit {
    Closed {
        unanswered: u32,
    },
    /// Nobody asks until then.
    Open {
        pauses: u32,
        until: Instant,
    },
    /// One asks.
    Probed {
        pauses: u32,
    },
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Some,
    /// It, or our own bound on calls at once, asks for fewer.
    Throttled,
    None,
}

/// What a call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Opened,
    Closed,
}

impl Circuits {
    /// Leave to make a call, unless the region's circuit is open.
    pub(super) fn call(&self, region: &'static str, now: Instant) -> Option<Call<'_>> {
        let mut circuits = locked(&self.0);
        let circuit = circuits
            .entry(region)
            .or_insert(Circuit::Closed { unanswered: 0 });
        let is_probe = match *circuit {
            Circuit::Closed { .. } => false,
            Circuit::Open { pauses, until } if until <= now => {
                *circuit = Circuit::Probed { pauses };
                true
            }
            Circuit::Open { .. } | Circuit::Probed { .. } => return None,
        };
        Some(Call {
            circuits: self,
            region,
            is_probe,
            began: now,
        })
    }
}

/// A call under way. One that is dropped says nothing of STS, and makes place for another.
#[derive(Debug)]
pub(super) struct Call<'a> {
    circuits: &'a Circuits,
    region: &'static str,
    is_probe: bool,
    began: Instant,
}

impl Call<'_> {
    /// Whether it is the one call of an open circuit.
    pub(super) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// `fraction`, from 0 to 1, says how much of the second half of a pause is waited for, so that
    /// replicas do not ask together.
    pub(super) fn ended(self, answer: Answer, now: Instant, fraction: f64) -> Option<Turn> {
        let mut circuits = locked(&self.circuits.0);
        let circuit = circuits.get_mut(self.region)?;
        let (next, turn) = match (*circuit, answer) {
            (Circuit::Closed { .. }, Answer::Some) => (Circuit::Closed { unanswered: 0 }, None),
            (Circuit::Closed { unanswered }, Answer::None) if unanswered + 1 < PATIENCE => {
                let unanswered = unanswered + 1;
                (Circuit::Closed { unanswered }, None)
            }
            (Circuit::Closed { .. }, Answer::None) => (open(0, now, fraction), Some(Turn::Opened)),
            (Circuit::Probed { pauses }, Answer::None) if self.is_probe => {
                (open(pauses + 1, now, fraction), None)
            }
            (Circuit::Open { .. } | Circuit::Probed { .. }, Answer::Some) => {
                (Circuit::Closed { unanswered: 0 }, Some(Turn::Closed))
            }
            (Circuit::Probed { .. }, Answer::Throttled) if self.is_probe => {
                (Circuit::Closed { unanswered: 0 }, Some(Turn::Closed))
            }
            // Calls that began before the circuit was opened tell nothing new.
            (unchanged, _) => (unchanged, None),
        };
        *circuit = next;
        turn
    }
}

impl Drop for Call<'_> {
    /// After [`ended`](Self::ended) the circuit is no longer probed, and nothing happens.
    fn drop(&mut self) {
        let mut circuits = locked(&self.circuits.0);
        if let Some(circuit) = circuits.get_mut(self.region)
            && self.is_probe
            && let Circuit::Probed { pauses } = *circuit
        {
            let until = self.began;
            *circuit = Circuit::Open { pauses, until };
        }
    }
}

fn open(pauses: u32, now: Instant, fraction: f64) -> Circuit {
    let factor = 1_u32 << pauses.min(16);
    let whole = FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE);
    Circuit::Open {
        pauses,
        until: now + whole.mul_f64(0.5 + 0.5 * fraction),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: &str = "eu-central-1";

    /// Circuits, and the time that they are told.
    struct Scene {
        circuits: Circuits,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            Scene {
                circuits: Circuits::default(),
                now: Instant::now(),
            }
        }

        fn opened() -> Self {
            let scene = Scene::new();
            let turns: Vec<_> = (0..PATIENCE).map(|_| scene.ask(Answer::None)).collect();
            assert_eq!(turns.last(), Some(&Some(Turn::Opened)), "{turns:?}");
            scene
        }

        fn call(&self) -> Option<Call<'_>> {
            self.circuits.call(REGION, self.now)
        }

        fn ask(&self, answer: Answer) -> Option<Turn> {
            let call = self.call().expect("the circuit is open");
            call.ended(answer, self.now, 1.0)
        }

        /// How long nobody may ask.
        fn pause(&mut self) -> Duration {
            let began = self.now;
            while self.call().is_none() {
                self.now += Duration::from_millis(500);
            }
            self.now - began
        }
    }

    #[test]
    fn silence_in_a_row_opens_it_and_an_answer_between_does_not() {
        let scene = Scene::new();
        for answer in [Answer::Some, Answer::Throttled] {
            for _ in 1..PATIENCE {
                assert_eq!(scene.ask(Answer::None), None);
            }
            scene.ask(answer);
        }
        // Being throttled was no answer that lets the silence be forgotten.
        assert_eq!(scene.ask(Answer::None), Some(Turn::Opened));
        assert!(scene.call().is_none());
        // Another region's is its own.
        assert!(scene.circuits.call("us-east-1", scene.now).is_some());
    }

    #[test]
    fn throttling_opens_none() {
        let scene = Scene::new();
        for _ in 0..10 * PATIENCE {
            assert_eq!(scene.ask(Answer::Throttled), None);
        }
    }

    #[test]
    fn pauses_grow_to_their_longest_and_begin_anew_after_an_answer() {
        let mut scene = Scene::opened();
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(scene.pause(), Duration::from_secs(expected));
            assert_eq!(scene.ask(Answer::None), None);
        }
        scene.pause();
        assert_eq!(scene.ask(Answer::Some), Some(Turn::Closed));
        for _ in 0..PATIENCE {
            scene.ask(Answer::None);
        }
        assert_eq!(scene.pause(), FIRST_PAUSE);
    }

    #[test]
    fn a_pause_is_between_its_half_and_its_whole() {
        let now = Instant::now();
        for (fraction, expected) in [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)] {
            let Circuit::Open { until, .. } = open(0, now, fraction) else {
                panic!("not open");
            };
            assert_eq!(until - now, Duration::from_secs_f64(expected));
        }
    }

    #[test]
    fn one_call_probes_it() {
        let mut scene = Scene::opened();
        scene.pause();
        let probe = scene.call().unwrap();
        assert!(probe.is_probe());
        assert!(scene.call().is_none());
        // Given up half-way, it makes place for another one.
        drop(probe);
        let probe = scene.call().unwrap();
        assert!(scene.call().is_none());
        // Throttled: it is there.
        let turn = probe.ended(Answer::Throttled, scene.now, 1.0);
        assert_eq!(turn, Some(Turn::Closed));
        assert!(!scene.call().unwrap().is_probe());
    }

    #[test]
    fn calls_from_before_it_was_opened_close_it_by_an_answer_alone() {
        let mut scene = Scene::new();
        let early: Vec<_> = (0..3)
            .map(|_| scene.circuits.call(REGION, scene.now))
            .collect();
        let mut early = early.into_iter().flatten();
        for _ in 0..PATIENCE {
            scene.ask(Answer::None);
        }
        let ended = |call: Option<Call<'_>>, answer| call.unwrap().ended(answer, scene.now, 1.0);
        assert_eq!(ended(early.next(), Answer::None), None);
        assert_eq!(ended(early.next(), Answer::Throttled), None);
        assert!(scene.call().is_none());
        assert_eq!(ended(early.next(), Answer::Some), Some(Turn::Closed));
        assert!(scene.call().is_some());
        drop(early);
        assert_eq!(scene.pause(), Duration::ZERO);
    }
}
