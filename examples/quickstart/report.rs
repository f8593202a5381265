//! What one sees: a table, and links to look further.

use approzium_peers::jaeger::{Query, Span, Trace};

use crate::{
    links::Links,
    workload::{NAMESPACE, REPORTING, Step},
};

/// A step with the trace that its processes sent.
pub(crate) struct Seen {
    pub(crate) step: Step,
    pub(crate) trace: Trace,
}

/// The steps that are pointed at.
pub(crate) const SLOW: &str = "GET /reports/revenue";
pub(crate) const DENIED: &str = "psql";

impl Seen {
    /// The span by which the step is judged, of the database's: the failed one, else the longest
    /// that concerns a table.
    pub(crate) fn main_span(&self) -> Option<&Span> {
        self.trace
            .spans
            .iter()
            .filter(|span| span.tag("db.system.name").is_some())
            .max_by_key(|span| {
                let table = span.tag("db.collection.name").is_some();
                (span.failed(), table, span.duration)
            })
    }

    fn row(&self) -> [String; 5] {
        let span = self.main_span();
        let tag = |key: &str| {
            span.and_then(|span| span.tag(key))
                .unwrap_or("?")
                .to_owned()
        };
        let result = span.map_or_else(String::new, |span| match span.tag("error.type") {
            Some(error) => error.to_owned(),
            None => milliseconds(span.duration),
        });
        [
            tag("approzium.iam_role"),
            format!("{NAMESPACE}/{}", tag("approzium.k8s.pod.name")),
            span.map_or_else(String::new, |span| {
                format!("{}: {}", self.step.name, span.name)
            }),
            result,
            tag("approzium.request_id"),
        ]
    }
}

fn milliseconds(microseconds: u64) -> String {
    format!("{}.{} ms", microseconds / 1000, microseconds / 100 % 10)
}

/// One row a step.
pub(crate) fn table(seen: &[Seen]) -> String {
    let title = ["who", "where", "what", "result", "verified by request"];
    let mut rows = vec![title.map(str::to_owned)];
    rows.extend(seen.iter().map(Seen::row));
    let widths: [usize; 5] = std::array::from_fn(|column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let mut table = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        table.push_str(line.join("  ").trim_end());
        table.push('\n');
    }
    table
}

/// What the reporting pod did, its slow query, and the connect that was denied.
///
/// Each link has a line of its own, so that three clicks select it.
pub(crate) fn links(query: &Query, links: &[Links], seen: &[Seen]) -> String {
    let pod = links.iter().find(|links| links.pod.name == REPORTING.name);
    let pod = pod.map_or("", |links| &links.everything);
    let trace = |name: &str| {
        step(seen, name).map_or_else(String::new, |seen| {
            let span = seen.main_span().map(|span| span.id.as_str());
            query.trace_link(&seen.trace.id, span)
        })
    };
    format!(
        "All that {} did, as `approzium attribution --jaeger {}` prints it in that pod:\n{pod}\n\
         Its slow query:\n{}\nThe connect that was denied:\n{}\n",
        REPORTING.name,
        query.url(),
        trace(SLOW),
        trace(DENIED)
    )
}

/// Why the connect was denied, which its caller was not told: the Authenticator's audit line.
pub(crate) fn audit(seen: &[Seen], log: &str) -> String {
    let denied = step(seen, DENIED).and_then(Seen::main_span);
    let request = denied.and_then(|span| span.tag("approzium.request_id"));
    let line = log
        .lines()
        .filter_map(|line| line.split_once("approzium::audit: decision "))
        .find(|(_, decision)| request.is_some_and(|request| decision.contains(request)));
    let (_, decision) = line.unwrap_or_default();
    format!("Why it was denied, in the Authenticator's audit log:\n{decision}\n")
}

fn step<'a>(seen: &'a [Seen], name: &str) -> Option<&'a Seen> {
    seen.iter().find(|seen| seen.step.name == name)
}

/// Where there is no Jaeger: the traces of the links, drawn.
pub(crate) fn trees(seen: &[Seen]) -> String {
    let shown = seen
        .iter()
        .filter(|seen| [SLOW, DENIED].contains(&seen.step.name.as_str()));
    shown
        .map(|seen| {
            format!(
                "{} — {}\n{}\n",
                seen.step.pod.name,
                seen.step.name,
                seen.trace.tree()
            )
        })
        .collect()
}
