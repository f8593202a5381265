//! For `crate::fuzzing`: a session that somebody else writes.

use std::{iter::repeat_n, sync::Arc};

use super::Observed;
use crate::{
    opentelemetry::{ConnectionInfo, Identity, Instrumentation, Server},
    wire::postgres::{Request, Response, Skimmer},
};

/// Observes what the client and the server (`false`) say after the login.
pub fn observe<'a>(
    instrumentation: Instrumentation,
    pieces: impl IntoIterator<Item = (bool, &'a [u8])>,
) {
    let server = Server {
        host: "db.example",
        port: 5432,
        peer: None,
        database: "shop",
        schema: None,
    };
    let own = Some(Arc::new(instrumentation));
    let observed = Observed::default();
    observed.connected(ConnectionInfo::postgresql(
        &server,
        &Identity::default(),
        own,
    ));
    observed.opened(&[]);
    for (from_client, bytes) in pieces {
        if from_client {
            observed.wrote([bytes], false);
        } else {
            observed.read(bytes, false);
        }
    }
    observed.closed();
}

/// The messages that pieces of one direction hold, as they print, and whether that was all.
pub fn skim<'a>(
    from_client: bool,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, bool) {
    let mut skimmer = Skimmer::default();
    let mut shown = Vec::new();
    let all = pieces.into_iter().all(|bytes| {
        let skimmed = if from_client {
            skimmer.skim(bytes, Request::keep, |message| {
                let request = format!("{:?}", Request::read(message.tag, message.body));
                shown.extend(repeat_n(request, message.times));
            })
        } else {
            skimmer.skim(bytes, Response::keep, |message| {
                let response = format!("{:?}", Response::read(message.tag, message.body));
                shown.extend(repeat_n(response, message.times));
            })
        };
        skimmed.is_ok()
    });
    (shown, all)
}
