//! A diagnosis for people, and for machines.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Checked, Diagnosis, Outcome};
use crate::Error;

/// A line for each step, and below one that failed what to do about it.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for checked in &self.steps {
            let (step, server) = (checked.step.as_str(), &checked.server);
            let took = milliseconds(checked.took);
            let mut line =
                |verdict: &str, said: &str| writeln!(f, "{verdict:<7} {step:<19} {server}: {said}");
            match &checked.outcome {
                Outcome::Good(found) => line("ok", &format!("{found} ({took:.1} ms)"))?,
                Outcome::NotNeeded(why) => line("-", why)?,
                Outcome::NotTried(because) => line("-", &format!("not tried: {because} failed"))?,
                Outcome::Failed(error) => {
                    line("FAILED", &format!("{} ({took:.1} ms)", error.message()))?;
                    let mut more = |what: &str, said: Option<&str>| match said {
                        Some(said) => writeln!(f, "{:<27} {what}: {said}", ""),
                        None => Ok(()),
                    };
                    more("what to do", error.help())?;
                    more("the Authenticator's request", error.request_id())?;
                    more("SQLSTATE", error.sqlstate())?;
                }
            }
        }
        Ok(())
    }
}

impl Serialize for Diagnosis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failed = self.failure().map(|(step, _)| step.as_str());
        let mut object = serializer.serialize_struct("Diagnosis", 3)?;
        object.serialize_field("ok", &failed.is_none())?;
        object.serialize_field("failed", &failed)?;
        object.serialize_field("steps", &self.steps)?;
        object.end()
    }
}

impl Serialize for Checked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Checked", 6)?;
        object.serialize_field("step", self.step.as_str())?;
        object.serialize_field("server", &self.server)?;
        object.serialize_field("took_ms", &milliseconds(self.took))?;
        let status = |outcome: &Outcome| match outcome {
            Outcome::Good(_) => "ok",
            Outcome::Failed(_) => "failed",
            Outcome::NotTried(_) => "not_tried",
            Outcome::NotNeeded(_) => "not_needed",
        };
        object.serialize_field("status", status(&self.outcome))?;
        match &self.outcome {
            Outcome::Good(found) => object.serialize_field("found", found)?,
            Outcome::Failed(error) => object.serialize_field("error", &Told::of(error))?,
            Outcome::NotTried(step) => object.serialize_field("because", step.as_str())?,
            Outcome::NotNeeded(why) => object.serialize_field("because", why)?,
        }
        object.end()
    }
}

#[derive(Serialize)]
struct Told<'a> {
    hop: &'static str,
    message: &'a str,
    help: Option<&'a str>,
    request_id: Option<&'a str>,
    sqlstate: Option<&'a str>,
    retryable: bool,
}

impl<'a> Told<'a> {
    fn of(error: &'a Error) -> Self {
        Told {
            hop: error.hop().as_str(),
            message: error.message(),
            help: error.help(),
            request_id: error.request_id(),
            sqlstate: error.sqlstate(),
            retryable: error.is_retryable(),
        }
    }
}

/// To a tenth.
fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e4).round() / 10.0
}
