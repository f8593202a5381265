//! One request, and what becomes of it.

use std::{sync::Arc, time::Instant};

use ::opentelemetry::Context;

use super::{ledger::Key, parents::Kind, scene::Scene, texts::Text};
use crate::{
    opentelemetry::{Failure, QuerySpan, sql::Description},
    postgres::spans::{Refusal, refused},
    wire::postgres::ErrorFields,
};

/// What ends in one ReadyForQuery.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) query: Query,
    /// Prepared, and not run.
    pub(super) prepared: Option<Arc<Text>>,
    pub(super) caller: Option<Context>,
    pub(super) kind: Option<Kind>,
    /// When it was written, if that may be the beginning of a span.
    pub(super) written: Option<Instant>,
    /// It is the end of a copy that was begun before.
    pub(super) ends_copy: bool,
    /// The server takes the data of a copy: the `Sync` behind the request does not count.
    pub(super) copies: bool,
    /// It is to commit a transaction.
    pub(super) commits: bool,
    /// What is said to it cannot wait.
    pub(super) urgent: bool,
    /// By what it was announced: to be run, or else to be prepared.
    pub(super) announced: Option<Key>,
    pub(super) rows: u64,
    pub(super) returns_rows: bool,
    pub(super) failure: Option<Box<Failure>>,
}

/// A query that was not announced.
#[derive(Default)]
pub(super) enum Query {
    /// It was, or it is no query.
    #[default]
    None,
    /// Its parent may yet become known.
    Written(Arc<Description>),
    Running(QuerySpan),
}

impl Asked {
    pub(super) fn begin(&mut self, scene: &Scene<'_>) {
        if let Query::Written(description) = &self.query
            && let Some(connection) = scene.connection
        {
            let span = QuerySpan::start_observed(
                connection,
                description,
                self.caller.take(),
                self.written.unwrap_or_else(Instant::now),
            );
            scene.begin_later(&span);
            self.query = Query::Running(span);
        }
    }

    /// Whether something may be shown, or told, when its answer comes.
    pub(super) fn is_urgent(&self) -> bool {
        let is_shown = match &self.prepared {
            Some(text) => !text.is_look_up && self.announced.is_none(),
            None => !matches!(self.query, Query::None),
        };
        is_shown || self.commits
    }

    pub(super) fn fail(&mut self, error: ErrorFields<'_>, scene: &Scene<'_>) {
        if self.failure.is_some() {
            return;
        }
        let text = String::from_utf8_lossy;
        self.failure = Some(Box::new(refused(&Refusal {
            severity: &text(error.severity),
            sqlstate: &text(error.sqlstate),
            message: &text(error.message),
            has_context: error.has_context,
            routine: &text(error.routine),
        })));
        // A text that cannot be prepared is all that there is of its query.
        let prepared = self.prepared.take().filter(|text| !text.is_look_up);
        match (prepared, self.announced) {
            (Some(_), Some(key)) if !scene.is_late.get() => {
                scene.ledger.meet([key]);
            }
            (Some(text), None) if scene.is_wanted() => {
                self.query = Query::Written(text.description());
            }
            _ => {}
        }
    }

    /// The transaction had failed before: the database says so nowhere else.
    pub(super) fn roll_back(&mut self, scene: &Scene<'_>) {
        match self.announced {
            Some(key) => scene.ledger.roll_back(key),
            None => self.failure = Some(Box::new(Failure::rolled_back())),
        }
    }

    pub(super) fn end(mut self, scene: &Scene<'_>) {
        self.begin(scene);
        let Query::Running(span) = self.query else {
            return;
        };
        if self.returns_rows {
            span.rows(self.rows);
        }
        scene.end_later(span, self.failure);
    }
}
