//! Requests and their answers, in their order, and the spans of those that nobody announced.

use std::{collections::VecDeque, mem, sync::Arc, time::Instant};

use ::opentelemetry::Context;

use super::{
    asked::{Asked, Query},
    later::Polled,
    ledger::Key,
    parents::{Kind, Parents, Wrapper},
    scene::Scene,
    texts::{Text, Texts},
};
use crate::{
    opentelemetry::{Failure, sql::Description},
    wire::postgres::{Request, Response},
};

/// A session's requests that are not answered, each up to a ReadyForQuery.
pub(super) struct Conversation {
    texts: Texts,
    /// What has been written since the last `Sync`.
    group: Asked,
    /// Not answered, in their order.
    asked: VecDeque<Asked>,
    /// The last so many were written since the connection was last polled.
    unsettled: usize,
    /// So many are shown, or told of, when their answers come.
    urgent: usize,
    parents: Parents,
    /// The driver asks first of all whether the session takes writes.
    checks_session: bool,
    /// There was a statement that commits: a run of it does not say so.
    prepared_commit: bool,
}

/// ReadyForQuery to a question that was not asked.
#[derive(Debug)]
pub(super) struct Lost;

impl Conversation {
    /// A session that begins with a login.
    pub(super) fn new(checks_session: bool) -> Self {
        Conversation {
            texts: Texts::default(),
            group: Asked::default(),
            asked: VecDeque::from([Asked::default()]),
            unsettled: 0,
            urgent: 0,
            parents: Parents::default(),
            checks_session,
            prepared_commit: false,
        }
    }

    pub(super) fn request(&mut self, request: Request<'_>, scene: &Scene<'_>) {
        match request {
            Request::Query { text } => self.query(text, scene),
            Request::Parse { statement, text } => {
                let text = Arc::new(Text::new(text, scene.ledger));
                self.prepared_commit |= text.commits;
                self.group.prepared = Some(Arc::clone(&text));
                self.texts.parse(statement, text);
                self.group.kind.get_or_insert(Kind::Query);
            }
            Request::Bind { portal, statement } => {
                self.texts.bind(portal, statement);
                self.group.kind.get_or_insert(Kind::Query);
            }
            Request::Execute { portal } => self.execute(portal, scene),
            Request::Close { kind, name } => {
                self.texts.close(kind, name);
                self.group.kind.get_or_insert(Kind::Farewell);
            }
            Request::CopyEnd => {
                self.group.ends_copy = true;
                self.group.kind.get_or_insert(Kind::Farewell);
            }
            Request::Sync => {
                let group = mem::take(&mut self.group);
                self.ask(group, scene);
            }
            Request::FunctionCall => self.ask(Asked::default(), scene),
            Request::Other => {}
        }
    }

    /// A message of the server's, or so many of its kind one behind another.
    pub(super) fn response(
        &mut self,
        response: Response<'_>,
        times: usize,
        scene: &Scene<'_>,
    ) -> Result<(), Lost> {
        if response == Response::ReadyForQuery {
            return (0..times).try_for_each(|_| self.ready(scene));
        }
        // An error that answers nothing ends the connection.
        let Some(asked) = self.asked.front_mut() else {
            return Ok(());
        };
        match response {
            Response::DataRow => asked.rows += times as u64,
            Response::CommandComplete { tag } => {
                asked.returns_rows |= asked.rows > 0 || tag.starts_with(b"SELECT");
                if mem::take(&mut asked.commits) && tag == b"ROLLBACK" {
                    asked.roll_back(scene);
                }
            }
            Response::CopyIn => asked.copies = true,
            Response::Error(error) => asked.fail(error, scene),
            Response::ReadyForQuery | Response::Other => {}
        }
        Ok(())
    }

    /// A poll of the connection has ended: who sent what it wrote is known now, or never.
    pub(super) fn polled(&mut self, poll: Polled, scene: &Scene<'_>) {
        let new = mem::take(&mut self.unsettled).min(self.asked.len());
        let written = self.asked.len() - new;
        let sender = self.sender(poll, written);
        for asked in self.asked.range_mut(written..) {
            asked.caller.clone_from(&sender);
            asked.begin(scene);
        }
    }

    /// A poll in which nothing was written that was looked at; `holds`: there is a request that was not,
    /// and is not answered.
    pub(super) fn polled_in_vain(&mut self, poll: Polled, holds: bool) {
        self.sender(poll, self.asked.len());
        if holds {
            self.parents.polled_while_held();
        }
    }

    /// Who sent what was asked in a poll, which is all from `written` on, if that is certain.
    fn sender(&mut self, poll: Polled, written: usize) -> Option<Context> {
        let Polled {
            caller,
            ended,
            busy,
            notes,
        } = poll;
        let mut asked = self.asked.range(written..);
        let wrapper = match busy {
            false => Wrapper::Idle,
            true if asked.any(|asked| matches!(asked.query, Query::Written(_))) => {
                Wrapper::Concurrent
            }
            true => Wrapper::Busy,
        };
        self.parents.polled(caller, ended, wrapper, notes)
    }

    /// Something is asked that is not looked at.
    pub(super) fn held(&mut self) {
        self.parents.held();
    }

    /// That was looked at just now, and is answered or not.
    pub(super) fn recalled(&mut self, is_answered: bool) {
        if !is_answered {
            self.parents.recalled();
        } else if let Some(asked) = self.asked.pop_back() {
            self.urgent -= usize::from(asked.urgent);
        }
    }

    /// Whether everything is answered, and what is asked next depends on nothing that was.
    pub(super) fn is_idle(&self) -> bool {
        let nothing_begun = self.group.kind.is_none();
        let by_itself = !self.checks_session && !self.prepared_commit;
        self.asked.is_empty() && nothing_begun && by_itself
    }

    /// Whether a request was written since the connection was last polled.
    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled > 0
    }

    /// Whether nothing would be shown or told when answers come.
    pub(super) fn may_wait(&self) -> bool {
        self.urgent == 0
    }

    /// No answer will come any more.
    pub(super) fn closed(&mut self, scene: &Scene<'_>) {
        for mut asked in mem::take(&mut self.asked) {
            asked
                .failure
                .get_or_insert_with(|| Box::new(Failure::closed()));
            asked.end(scene);
        }
    }

    /// Nobody waits for an answer any more.
    pub(super) fn dropped(&mut self, scene: &Scene<'_>) {
        for asked in self.asked.drain(..) {
            if let Query::Running(span) = asked.query {
                scene.end_later(span, Some(Box::new(Failure::cancelled())));
            }
        }
    }

    /// Nothing more can be said of what is under way.
    pub(super) fn lost(&mut self, scene: &Scene<'_>) {
        for asked in self.asked.drain(..) {
            if let Query::Running(span) = asked.query {
                scene.end_later(span, None);
            }
        }
    }

    /// What the statement runs that the driver gave this number.
    pub(super) fn description(&mut self, statement: u64) -> Option<Arc<Description>> {
        Some(self.texts.of_statement(statement)?.description())
    }

    fn query(&mut self, text: &[u8], scene: &Scene<'_>) {
        let is_check = mem::take(&mut self.checks_session) && text == SESSION_CHECK;
        let text = Text::simple(text, scene.ledger);
        let mut asked = Asked {
            kind: Some(match text.is_rollback {
                true => Kind::Farewell,
                false => Kind::Query,
            }),
            commits: text.commits,
            announced: scene.ledger.meet([Key::Text(text.hash)]),
            ..Asked::default()
        };
        if !is_check && asked.announced.is_none() && scene.shows() {
            asked.query = Query::Written(text.description());
        }
        self.ask(asked, scene);
    }

    fn execute(&mut self, portal: &[u8], scene: &Scene<'_>) {
        let bound = self.texts.execute(portal);
        self.group.prepared = None;
        let text = bound.text.as_deref();
        if text.is_some_and(|text| text.is_look_up) {
            self.group.kind = Some(Kind::LookUp);
            return;
        }
        self.group.kind = Some(Kind::Query);
        let keys = [
            bound.statement.map(Key::Statement),
            text.map(|text| Key::Text(text.hash)),
        ];
        self.group.commits = text.is_some_and(|text| text.commits);
        self.group.announced = scene.ledger.meet(keys.into_iter().flatten());
        if self.group.announced.is_none() && scene.shows() {
            let description = text.map(Text::description).unwrap_or_default();
            self.group.query = Query::Written(description);
        }
    }

    /// A request is complete.
    fn ask(&mut self, mut asked: Asked, scene: &Scene<'_>) {
        match &asked.prepared {
            Some(text) if text.is_look_up => asked.kind = Some(Kind::LookUp),
            Some(text) => {
                asked.announced = scene.ledger.meet_preparation(text.keys());
                if asked.announced.is_none() {
                    scene.ledger.stranger();
                }
            }
            None => {}
        }
        let kind = *asked.kind.get_or_insert(Kind::Query);
        if !scene.is_ours.get() {
            self.parents.asked(kind);
        }
        let may_be_shown = asked.prepared.is_some() || matches!(asked.query, Query::Written(_));
        asked.written = (may_be_shown && scene.is_wanted()).then(Instant::now);
        if scene.polled && !scene.is_ours.get() {
            self.unsettled += 1;
        } else {
            asked.begin(scene);
        }
        asked.urgent = asked.is_urgent();
        self.urgent += usize::from(asked.urgent);
        self.asked.push_back(asked);
    }

    /// The first request is answered.
    fn ready(&mut self, scene: &Scene<'_>) -> Result<(), Lost> {
        let asked = self.asked.pop_front().ok_or(Lost)?;
        self.urgent -= usize::from(asked.urgent);
        if asked.copies
            && let Some(end) = self.asked.pop_front_if(|next| next.ends_copy)
        {
            self.urgent -= usize::from(end.urgent);
            self.parents.answered(end.kind.unwrap_or(Kind::Farewell));
        }
        if let Some(kind) = asked.kind {
            self.parents.answered(kind);
        }
        asked.end(scene);
        Ok(())
    }
}

const SESSION_CHECK: &[u8] = b"SHOW transaction_read_only";
