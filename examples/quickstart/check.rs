//! `--check`: is each pod found by its own links, and nobody else?

use std::time::Duration;

use approzium_peers::jaeger::{Query, Trace};

use crate::{
    links::Links,
    report::{SLOW, Seen},
};

/// Asks a real Jaeger. Says what is wrong, one line each.
pub(crate) async fn check(query: &Query, links: &[Links], seen: &[Seen]) -> Vec<String> {
    let mut wrong = Vec::new();
    for links in links {
        let own = |seen: &&Seen| seen.step.pod.name == links.pod.name;
        let slow = |seen: &&Seen| own(seen) && took_a_second(seen);
        let everything: Vec<&Seen> = seen.iter().filter(own).collect();
        if everything.is_empty() {
            wrong.push(format!("{} has done nothing", links.pod.name));
        }
        wrong.extend(finds(query, &links.everything, &everything, seen).await);
        let slow: Vec<&Seen> = seen.iter().filter(slow).collect();
        wrong.extend(finds(query, &links.slow, &slow, seen).await);
    }
    wrong.extend(slow_query(seen));
    wrong.extend(every_step_is_verified(seen));
    wrong
}

/// What is missing of what a link should find, and what it finds of others.
async fn finds(query: &Query, link: &str, expected: &[&Seen], all: &[Seen]) -> Vec<String> {
    let found = search(query, link, expected.len()).await;
    let found = |seen: &Seen| found.iter().any(|trace| trace.id == seen.trace.id);
    let named = |seen: &Seen| format!("{} of {}", seen.step.name, seen.step.pod.name);
    all.iter()
        .filter_map(|seen| {
            let wanted = expected.iter().any(|one| one.trace.id == seen.trace.id);
            match (wanted, found(seen)) {
                (true, false) => Some(format!("{link} does not find {}", named(seen))),
                (false, true) => Some(format!("{link} finds {}", named(seen))),
                _ => None,
            }
        })
        .collect()
}

/// One of its database spans did, as the link asks.
fn took_a_second(seen: &Seen) -> bool {
    let mut spans = seen.trace.spans.iter();
    spans.any(|span| span.tag("approzium.k8s.pod.name").is_some() && span.duration >= 1_000_000)
}

/// The guilty query is where it belongs and as slow as it is.
fn slow_query(seen: &[Seen]) -> Option<String> {
    let span = seen
        .iter()
        .find(|seen| seen.step.name == SLOW)
        .and_then(Seen::main_span);
    match span {
        None => Some(format!("{SLOW} has no query span")),
        Some(span) if span.duration < 1_500_000 => {
            Some(format!("{SLOW} took {} µs, not 1.5 s", span.duration))
        }
        Some(_) => None,
    }
}

fn every_step_is_verified(seen: &[Seen]) -> impl Iterator<Item = String> {
    seen.iter().filter_map(|seen| {
        let span = seen.main_span()?;
        let role = span.tag("approzium.iam_role") == Some(seen.step.pod.role);
        let request = span.tag("approzium.request_id").is_some();
        (!role || !request).then(|| {
            format!(
                "{} of {} lacks its role or request: {:?}",
                seen.step.name, seen.step.pod.name, span.tags
            )
        })
    })
}

/// Jaeger indexes what it has taken a moment later.
async fn search(query: &Query, link: &str, expected: usize) -> Vec<Trace> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let found = query.searched(link).await.unwrap_or_default();
        if found.len() >= expected || tokio::time::Instant::now() > deadline {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
