//! What is seen of a session's bytes.

use std::{mem, sync::Arc};

use super::{
    conversation::Conversation,
    held::{Holding, run},
    later::{Later, Polled, Seen},
    scene::Scene,
};
use crate::{
    opentelemetry::sql::Description,
    wire::postgres::{
        Request, Response, Skimmer,
        glance::{self, Answer},
    },
};

/// A session of which both directions are followed.
#[derive(Default)]
pub(super) struct Sight {
    /// None: not begun, or lost.
    followed: Option<Followed>,
}

struct Followed {
    requests: Skimmer,
    responses: Skimmer,
    conversation: Conversation,
    later: Later,
    /// A request that was not looked at, as long as it is [held](Holding).
    held: Vec<u8>,
}

/// The bytes make no sense.
struct Lost;

impl Sight {
    pub(super) fn open(&mut self, checks_session: bool) {
        self.followed = Some(Followed {
            requests: Skimmer::default(),
            responses: Skimmer::default(),
            conversation: Conversation::new(checks_session),
            later: Later::default(),
            held: Vec::new(),
        });
    }

    pub(super) fn wrote<'a>(
        &mut self,
        bytes: impl IntoIterator<Item = &'a [u8]> + Clone,
        scene: &Scene<'_>,
    ) {
        self.follow(scene, |followed| followed.wrote(bytes, scene));
    }

    /// Whether it can wait what these bytes of the server's mean.
    pub(super) fn put_off(&mut self, bytes: &[u8], holding: &Holding) -> bool {
        let Some(followed) = &mut self.followed else {
            return true;
        };
        if !holding.is_unanswered() {
            return followed.conversation.may_wait() && followed.later.read(bytes);
        }
        match glance::answer(bytes) {
            Some(Answer::End) => holding.answered(),
            Some(Answer::Part) => {}
            None => return false,
        }
        true
    }

    /// Looks at what was held.
    pub(super) fn recall(&mut self, scene: &Scene<'_>) {
        self.follow(scene, |followed| followed.recall(scene));
    }

    pub(super) fn read(&mut self, bytes: &[u8], scene: &Scene<'_>) {
        self.follow(scene, |followed| followed.read(bytes, scene));
    }

    /// A poll of which it cannot wait what it means: something was written in it.
    pub(super) fn put_off_poll(&mut self, polled: Polled, holding: &Holding) -> Option<Polled> {
        match &mut self.followed {
            Some(followed) if followed.conversation.is_unsettled() => Some(polled),
            Some(followed) if followed.later.is_empty() => {
                let holds = holding.is_unanswered();
                followed.conversation.polled_in_vain(polled, holds);
                None
            }
            Some(followed) => followed.later.polled(polled),
            None => None,
        }
    }

    pub(super) fn polled(&mut self, poll: Polled, scene: &Scene<'_>) {
        self.follow(scene, |followed| followed.polled(poll, scene));
    }

    /// No answer will come any more.
    pub(super) fn closed(&mut self, scene: &Scene<'_>) {
        self.follow(scene, |followed| followed.catch_up(scene));
        if let Some(mut followed) = self.followed.take() {
            followed.conversation.closed(scene);
        }
    }

    /// Nobody waits for an answer any more.
    pub(super) fn dropped(&mut self, scene: &Scene<'_>) {
        if let Some(mut followed) = self.followed.take() {
            followed.conversation.dropped(scene);
        }
    }

    /// What the statement runs that the driver gave this number.
    pub(super) fn description(&mut self, statement: u64) -> Option<Arc<Description>> {
        self.followed.as_mut()?.conversation.description(statement)
    }

    /// Goes blind once the bytes make no sense.
    fn follow(
        &mut self,
        scene: &Scene<'_>,
        follow: impl FnOnce(&mut Followed) -> Result<(), Lost>,
    ) {
        if let Some(followed) = &mut self.followed
            && follow(followed).is_err()
        {
            followed.conversation.lost(scene);
            self.followed = None;
            scene.go_blind();
        }
    }
}

impl Followed {
    fn wrote<'a>(
        &mut self,
        bytes: impl IntoIterator<Item = &'a [u8]> + Clone,
        scene: &Scene<'_>,
    ) -> Result<(), Lost> {
        self.catch_up(scene)?;
        if scene.holding.may_begin()
            && scene.ledger.has_one_at_work()
            && self.is_idle()
            && let Some(run) = run(bytes.clone())
        {
            self.held.clear();
            self.held.extend_from_slice(run);
            self.conversation.held();
            scene.holding.asked();
            return Ok(());
        }
        self.ask(bytes, scene)
    }

    fn ask<'a>(
        &mut self,
        bytes: impl IntoIterator<Item = &'a [u8]>,
        scene: &Scene<'_>,
    ) -> Result<(), Lost> {
        let Followed {
            requests,
            conversation,
            ..
        } = self;
        bytes.into_iter().try_for_each(|bytes| {
            requests
                .skim(bytes, Request::keep, |message| {
                    let request = Request::read(message.tag, message.body);
                    for _ in 0..message.times {
                        conversation.request(request, scene);
                    }
                })
                .map_err(|_| Lost)
        })
    }

    fn read(&mut self, bytes: &[u8], scene: &Scene<'_>) -> Result<(), Lost> {
        self.catch_up(scene)?;
        self.answer(bytes, scene)
    }

    fn polled(&mut self, polled: Polled, scene: &Scene<'_>) -> Result<(), Lost> {
        self.catch_up(scene)?;
        self.conversation.polled(polled, scene);
        Ok(())
    }

    /// Whether nothing is under way, in either direction.
    fn is_idle(&self) -> bool {
        self.conversation.is_idle()
            && self.requests.is_between_messages()
            && self.responses.is_between_messages()
    }

    /// Looks at what was held, though the wrapper shows it.
    fn recall(&mut self, scene: &Scene<'_>) -> Result<(), Lost> {
        let Some(is_answered) = scene.holding.recall() else {
            return Ok(());
        };
        let held = mem::take(&mut self.held);
        scene.is_ours.set(true);
        let seen = self.ask([held.as_slice()], scene);
        scene.is_ours.set(false);
        self.held = held;
        self.conversation.recalled(is_answered);
        scene.holding.recalled();
        seen
    }

    /// Looks at what was held or put off: never both.
    fn catch_up(&mut self, scene: &Scene<'_>) -> Result<(), Lost> {
        self.recall(scene)?;
        if self.later.is_empty() {
            return Ok(());
        }
        let mut later = mem::take(&mut self.later);
        scene.is_late.set(true);
        let seen = later.drain(|seen| match seen {
            Seen::Read(bytes) => self.answer(bytes, scene),
            Seen::Polled(poll) => {
                self.conversation.polled(poll, scene);
                Ok(())
            }
        });
        scene.is_late.set(false);
        // Its room is kept for the next.
        self.later = later;
        seen
    }

    fn answer(&mut self, bytes: &[u8], scene: &Scene<'_>) -> Result<(), Lost> {
        let Followed {
            responses,
            conversation,
            ..
        } = self;
        let mut answered = Ok(());
        let skimmed = responses.skim(bytes, Response::keep, |message| {
            let response = Response::read(message.tag, message.body);
            if answered.is_ok() {
                answered = conversation.response(response, message.times, scene);
            }
        });
        skimmed.map_err(|_| Lost)?;
        answered.map_err(|_| Lost)
    }
}
