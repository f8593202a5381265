//! `--page`: what pages of the documentation show of this run, beside its pictures.
//!
//! A block stands between `<!-- name -->` and `<!-- /name -->`.

use std::{fmt::Write as _, path::Path};

use approzium_peers::{Error, Result, jaeger::Span};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    report::{self, DENIED, SLOW, Seen},
    screenshots::PICTURES,
};

/// What the run has left behind.
pub(crate) struct Run<'a> {
    pub(crate) seen: &'a [Seen],
    /// What the pod of the slow query logged.
    pub(crate) pod_log: &'a str,
    /// What the Authenticator logged.
    pub(crate) authenticator_log: &'a str,
    /// Where its pictures are.
    pub(crate) pictures: &'a Path,
}

/// Writes each block anew that the page has.
pub(crate) fn write(page: &Path, run: &Run<'_>) -> Result<()> {
    let failed = |error| Error::Failed(format!("{}: {error}", page.display()));
    let before = std::fs::read_to_string(page).map_err(failed)?;
    let mut text = before.clone();
    for (name, block) in [
        (
            "table",
            format!("```text\n{}```\n", report::table(run.seen)),
        ),
        ("slow-line", run.slow_line()?),
        ("audit-lines", run.audit_lines()?),
        ("denied-line", run.denied_line()?),
        ("pictures", run.digests()?),
    ] {
        text = replaced(&text, name, &block).unwrap_or(text);
    }
    if text == before {
        return Err(Error::Failed(format!("{} has no block", page.display())));
    }
    std::fs::write(page, text).map_err(failed)?;
    println!("{}", page.display());
    Ok(())
}

fn replaced(page: &str, name: &str, block: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{block}{end}{after}"))
}

impl Run<'_> {
    /// The application's own line of the slow query, shortened.
    fn slow_line(&self) -> Result<String> {
        let (seen, _) = self.main_span(SLOW)?;
        let lines = self.pod_log.lines();
        let line = lines
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["target"] == "approzium::query" && line["trace_id"] == *seen.trace.id)
            .ok_or_else(|| Error::Failed("the slow query took less than a second".into()))?;
        let part = |keys: &[&str], of: &Value| {
            let members = keys.iter().map(|key| format!("{}:{}", json!(key), of[key]));
            members.collect::<Vec<_>>().join(",")
        };
        let fields = line.get("fields").unwrap_or(&Value::Null);
        Ok(format!(
            "```json\n{{{},\"fields\":{{{},\n  {}}},\n {},\n {},\n {},\n {}}}\n```\n",
            part(&["level"], &line),
            part(&["message", "duration_ms"], fields),
            part(&["db.query.text"], fields),
            part(&["target"], &line),
            part(&["approzium.iam_role", "approzium.k8s.pod.name"], &line),
            part(&["approzium.request_id"], &line),
            part(&["trace_id", "span_id"], &line),
        ))
    }

    /// What the Authenticator wrote of the login of the slow query's connection.
    fn audit_lines(&self) -> Result<String> {
        let (_, span) = self.main_span(SLOW)?;
        let request = request_of(span)?;
        let [allowed, verified] = ["allowed", "outcome"].map(|decision| {
            let decision = format!("decision=\"{decision}\"");
            self.audit_line(request, &decision)
        });
        let ((allowed_at, allowed), (verified_at, _)) = (allowed?, verified?);
        Ok(format!(
            "```text\n$ grep {request} authenticator.log\n\
             {allowed_at}  INFO … approzium::audit: decision {}\n\
             {verified_at}  INFO … decision=\"outcome\" reason=\"login_verified\" …\n```\n",
            wrapped(allowed)
        ))
    }

    /// What the Authenticator wrote of the connect that it denied.
    fn denied_line(&self) -> Result<String> {
        let (_, span) = self.main_span(DENIED)?;
        let denied = self.audit_line(request_of(span)?, "decision=\"denied\"")?;
        Ok(format!(
            "```text\n{}  INFO … approzium::audit: decision {}\n```\n",
            denied.0,
            wrapped(denied.1)
        ))
    }

    /// By which a test sees that the pictures are of the run that the blocks are of.
    fn digests(&self) -> Result<String> {
        let mut digests = String::from("<!--\n");
        for picture in PICTURES {
            let bytes = std::fs::read(self.pictures.join(picture))
                .map_err(|error| Error::Failed(format!("{picture}: {error}")))?;
            let digest = Sha256::digest(bytes);
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(digests, "{digest}  images/{picture}");
        }
        Ok(digests + "-->\n")
    }

    fn main_span(&self, step: &str) -> Result<(&Seen, &Span)> {
        let seen = self.seen.iter().find(|seen| seen.step.name == step);
        let found = seen.and_then(|seen| Some((seen, seen.main_span()?)));
        found.ok_or_else(|| Error::Failed(format!("nothing to see of {step}")))
    }

    /// When it was written, and what it says.
    fn audit_line(&self, request: &str, decision: &str) -> Result<(&str, &str)> {
        let lines = self.authenticator_log.lines();
        let mut lines = lines.filter_map(|line| {
            let (before, said) = line.split_once("approzium::audit: decision ")?;
            Some((before.split(' ').next()?, said))
        });
        let found = lines.find(|(_, said)| said.contains(request) && said.contains(decision));
        found.ok_or_else(|| Error::Failed(format!("no line with {decision} of {request}")))
    }
}

fn request_of(span: &Span) -> Result<&str> {
    let request = span.tag("approzium.request_id");
    request.ok_or_else(|| Error::Failed(format!("{} has no request", span.name)))
}

/// An audit line in several, for a page.
fn wrapped(line: &str) -> String {
    let begins = [
        "call",
        "iam_arn",
        "session",
        "dbhost",
        "method",
        "attribution",
        "detail",
    ];
    begins.iter().fold(line.to_owned(), |line, key| {
        line.replacen(&format!(" {key}="), &format!("\n  {key}="), 1)
    })
}
