//! `--check`: is the guilty pod found by its tags, and nobody else?

use std::time::Duration;

use approzium_peers::jaeger::{Query, Trace};

use crate::{
    report::{self, SLOW, Seen},
    workload::{CHECKOUT, INTRUDER, Pod, REPORTING},
};

/// Asks a real Jaeger. Says what is wrong, one line each.
pub(crate) async fn check(query: &Query, seen: &[Seen]) -> Vec<String> {
    let mut wrong = Vec::new();
    for pod in [&CHECKOUT, &REPORTING, &INTRUDER] {
        let expected: Vec<&Seen> = seen
            .iter()
            .filter(|seen| seen.step.pod.name == pod.name)
            .collect();
        if expected.is_empty() {
            wrong.push(format!("{} has done nothing", pod.name));
        }
        let found = search(query, pod, expected.len()).await;
        for seen in &expected {
            if !found.iter().any(|trace| trace.id == seen.trace.id) {
                wrong.push(format!(
                    "a search for {:?} does not find {} ({})",
                    report::of_pod(pod),
                    seen.step.name,
                    seen.trace.id
                ));
            }
        }
        for trace in &found {
            let others = seen
                .iter()
                .find(|seen| seen.trace.id == trace.id && seen.step.pod.name != pod.name);
            if let Some(other) = others {
                wrong.push(format!(
                    "a search for {:?} finds {} of {}",
                    report::of_pod(pod),
                    other.step.name,
                    other.step.pod.name
                ));
            }
        }
    }
    wrong.extend(slow_query(seen));
    wrong.extend(every_step_is_verified(seen));
    wrong
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
async fn search(query: &Query, pod: &'static Pod, expected: usize) -> Vec<Trace> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let found = query
            .traces(pod.service, &report::of_pod(pod))
            .await
            .unwrap_or_default();
        if found.len() >= expected || tokio::time::Instant::now() > deadline {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
