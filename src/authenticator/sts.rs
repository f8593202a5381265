//! How STS is asked, so that its bad days stay its own: seldom, again where it was throttled, and
//! not at all while it does not answer.
//!
//! - Every question, the repeated ones too, is drawn from one rate: repeating multiplies nothing.
//! - A question that was throttled is asked again a few times, after a random pause, while the
//!   client still waits.
//! - A region whose STS does not answer is left alone ([`circuit`]): who asks meanwhile is told at
//!   once to come again. Sessions that were granted before go on, for they ask STS nothing.
//!
//! How many questions may be open at once is the verifier's own bound. Strangers leave a quarter of
//! it as well: where STS is slow they would hold it all, and who is known could not renew his session.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, timeout_at},
};

use self::circuit::{Answer, Circuits, Turn};
use super::{
    limits::{Limits, Rate, Turns, neighbourhood},
    listener::Peer,
    metrics::{Ending, Metrics},
};
use crate::identity::{
    Rejection,
    aws::{CALLS_AT_ONCE, Region},
};

mod circuit;

/// What all that needs STS asks it through.
pub(crate) struct StsCalls {
    rate: Rate<IpAddr>,
    /// What strangers may have of it together: who has a session already has the rest, and renews it.
    of_strangers: Rate<()>,
    /// Their questions that are open, region by region.
    open: Turns<&'static str>,
    circuits: Circuits,
    metrics: Arc<Metrics>,
}

/// On whose behalf STS is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    neighbourhood: IpAddr,
    /// Who he is was proved on this connection before.
    is_known: bool,
}

impl From<&Peer> for Asker {
    fn from(peer: &Peer) -> Self {
        Asker {
            neighbourhood: neighbourhood(peer.address.ip()),
            is_known: peer.known().is_cancelled(),
        }
    }
}

/// The time that one verification has in all. Once it is over, nothing is repeated.
pub(crate) const BUDGET: Duration = Duration::from_secs(10);

/// How long it is waited at most before each repetition: there is one for each.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

impl StsCalls {
    pub(crate) fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let in_all = limits.sts_calls_per_second;
        let of_strangers = in_all - in_all / 4;
        StsCalls {
            of_strangers: Rate::new(of_strangers, of_strangers),
            open: Turns::new(CALLS_AT_ONCE - CALLS_AT_ONCE / 4),
            rate: Rate::new(in_all, limits.sts_calls_per_second_per_address),
            circuits: Circuits::default(),
            metrics,
        }
    }

    /// Asks the STS of a region. What is asked, and in which form of proof, is the caller's affair.
    ///
    /// # Errors
    /// The question's own; [`Rejection::Throttled`] beyond the rate, and where too many are open;
    /// [`Rejection::CircuitOpen`].
    pub(crate) async fn ask<T, Q>(
        &self,
        region: &Region,
        asker: Asker,
        mut question: impl FnMut() -> Q,
    ) -> Result<T, Rejection>
    where
        Q: Future<Output = Result<T, Rejection>>,
    {
        let began = Instant::now();
        let mut pauses = PAUSES.into_iter();
        let first = question();
        let first = async {
            // Of its ten seconds it may have waited for some.
            let answered = timeout_at(began + BUDGET, first).await;
            answered
                .unwrap_or_else(|_| Err(Rejection::Unavailable("it did not answer in time".into())))
        };
        let mut verdict = self.ask_once(region, asker, began, first).await?;
        while is_throttled(&verdict)
            && let Some(pause) = pauses.next()
        {
            let pause = pause.mul_f64(random_fraction());
            if began.elapsed() + pause >= BUDGET {
                break;
            }
            sleep(pause).await;
            self.metrics.sts_retried();
            let again = self.ask_once(region, asker, began, question());
            match timeout_at(began + BUDGET, again).await {
                Ok(Ok(answer)) => verdict = answer,
                Ok(Err(not_asked)) => verdict = Err(not_asked),
                Err(_) => break,
            }
        }
        self.metrics.sts(ending(&verdict), began.elapsed());
        verdict
    }

    /// What is refused counts nowhere: an address that is over its own bound takes nothing of what
    /// strangers share, nor they, together, of the rest.
    fn is_seldom(&self, asker: Asker) -> bool {
        let of_rest = || asker.is_known || self.of_strangers.allow((), now());
        self.rate.allow_if(asker.neighbourhood, now(), of_rest)
    }

    /// A place among the open questions of strangers. STS has half of the time at least: in less,
    /// its silence would say nothing.
    async fn place(
        &self,
        region: &Region,
        began: Instant,
    ) -> Result<OwnedSemaphorePermit, Rejection> {
        let place = self.open.take(region.name());
        let place = timeout_at(began + BUDGET / 2, place).await;
        place.ok().flatten().ok_or_else(|| self.throttled())
    }

    fn throttled(&self) -> Rejection {
        self.metrics.sts_throttled();
        Rejection::Throttled
    }

    /// The verdict, or else why nothing was asked.
    async fn ask_once<T>(
        &self,
        region: &Region,
        asker: Asker,
        began: Instant,
        question: impl Future<Output = Result<T, Rejection>>,
    ) -> Result<Result<T, Rejection>, Rejection> {
        let call = self.circuits.call(region.name(), now());
        let call = call.ok_or(Rejection::CircuitOpen)?;
        self.metrics.sts_circuit(region.name(), call.is_probe());
        // Before it is counted: who waits in vain has asked STS nothing.
        let _place = match asker.is_known || call.is_probe() {
            true => None,
            false => Some(self.place(region, began).await?),
        };
        if !self.is_seldom(asker) {
            return Err(self.throttled());
        }
        let verdict = question.await;
        let answer = match &verdict {
            Err(Rejection::Unavailable(_)) => Answer::None,
            Err(Rejection::Throttled) => Answer::Throttled,
            _ => Answer::Some,
        };
        if answer == Answer::Throttled {
            self.metrics.sts_throttled();
        }
        match call.ended(answer, now(), random_fraction()) {
            Some(Turn::Opened) => {
                self.metrics.sts_circuit_opened(region.name());
                ::tracing::warn!(
                    region = region.name(),
                    "STS does not answer: until it does, sessions are refused at once"
                );
            }
            Some(Turn::Closed) => {
                self.metrics.sts_circuit(region.name(), false);
                ::tracing::info!(region = region.name(), "STS answers again");
            }
            None => {}
        }
        Ok(verdict)
    }
}

fn is_throttled<T>(verdict: &Result<T, Rejection>) -> bool {
    verdict.as_ref().is_err_and(Rejection::is_throttled)
}

fn ending<T>(verdict: &Result<T, Rejection>) -> Ending {
    match verdict {
        Ok(_) => Ending::Ok,
        Err(rejection) if rejection.is_retryable() => Ending::Failed,
        Err(_) => Ending::Denied,
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// From 0 to 1. Without randomness everybody waits the same: worse, not wrong.
fn random_fraction() -> f64 {
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
