//! What is seen of a session's bytes.

use std::{mem, sync::Arc};

use super::{
    conversation::Conversation,
    later::{Later, Polled, Seen},
    scene::Scene,
};
use crate::{
    opentelemetry::sql::Description,
    wire::postgres::{Request, Response, Skimmer},
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
        });
    }

    pub(super) fn wrote<'a>(
        &mut self,
        bytes: impl IntoIterator<Item = &'a [u8]>,
        scene: &Scene<'_>,
    ) {
        self.follow(scene, |followed| followed.wrote(bytes, scene));
    }

    /// Whether it can wait what these bytes of the server's mean.
    pub(super) fn put_off(&mut self, bytes: &[u8]) -> bool {
        self.followed
            .as_mut()
            .is_none_or(|followed| followed.conversation.may_wait() && followed.later.read(bytes))
    }

    pub(super) fn read(&mut self, bytes: &[u8], scene: &Scene<'_>) {
        self.follow(scene, |followed| followed.read(bytes, scene));
    }

    /// A poll of which it cannot wait what it means: something was written in it.
    pub(super) fn put_off_poll(&mut self, polled: Polled) -> Option<Polled> {
        match &mut self.followed {
            Some(followed) if followed.conversation.is_unsettled() => Some(polled),
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
        bytes: impl IntoIterator<Item = &'a [u8]>,
        scene: &Scene<'_>,
    ) -> Result<(), Lost> {
        self.catch_up(scene)?;
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

    /// Looks at what was put off.
    fn catch_up(&mut self, scene: &Scene<'_>) -> Result<(), Lost> {
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
