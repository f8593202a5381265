//! `approzium attribution`: what this process would be attributed to, and why not more.

mod jaeger;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use approzium::attribution::{Attribution, Collector, DEFAULT_BUDGET, Place};
use opentelemetry::{Array, KeyValue, Value};
use serde::Serialize;

use jaeger::{Question, Search};

/// Show what an application that runs here is attributed to: IAM identity, EC2 instance, ECS task,
/// Kubernetes pod; and for each probe what it found, how long it took, or why not
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// How long to look at most, like `900ms` (the default, and what an application waits) or `5s`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    budget: Option<Duration>,

    #[command(flatten)]
    jaeger: Question,
}

/// Succeeds whatever was found: finding nothing is an answer.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            // Whoever closed standard error does not want to know.
            writeln!(io::stderr(), "approzium: no runtime: {error}").ok();
            return ExitCode::FAILURE;
        }
    };
    let collector = Collector::builder()
        .budget(arguments.budget.unwrap_or(DEFAULT_BUDGET))
        .build();
    let attribution = runtime.block_on(collector.collect());
    // A resolver may still hang in a thread of its own: it is not waited for.
    runtime.shutdown_background();
    let jaeger = arguments.jaeger.search(&attribution);
    let shown = Shown {
        attribution,
        jaeger,
    };
    let mut out = io::stdout().lock();
    let written = if arguments.json {
        write_json(&mut out, &shown)
    } else {
        write_table(&mut out, &shown)
    };
    match written.and_then(|()| out.flush()) {
        // The reader of a pipe may have seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    attribution: Attribution,
    #[serde(skip_serializing_if = "Option::is_none")]
    jaeger: Option<Search>,
}

fn write_json(out: &mut impl Write, shown: &Shown) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, shown)?;
    writeln!(out)
}

fn write_table(out: &mut impl Write, shown: &Shown) -> io::Result<()> {
    let attribution = &shown.attribution;
    writeln!(out, "who    {}", who(attribution))?;
    writeln!(out, "where  {}", place(attribution))?;
    writeln!(out)?;
    writeln!(out, "{:<12}{:>8}  found", "probe", "took")?;
    for probe in attribution.probes() {
        let found = match probe.found().len() {
            0 => String::new(),
            1 => "1 attribute".to_owned(),
            many => format!("{many} attributes"),
        };
        let told = [found.as_str(), probe.why_not().unwrap_or_default()]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
        let told = if told.is_empty() { "nothing" } else { &told };
        writeln!(
            out,
            "{:<12}{:>8}  {told}",
            probe.name(),
            milliseconds(probe.took())
        )?;
    }
    writeln!(
        out,
        "{:<12}{:>8}",
        "in all",
        milliseconds(attribution.took())
    )?;
    write_attributes(out, "attribute", &attribution.attributes())?;
    write_attributes(out, "on each query's span", &attribution.span_attributes())?;
    shown.jaeger.iter().try_for_each(|search| search.write(out))
}

fn write_attributes(out: &mut impl Write, title: &str, attributes: &[KeyValue]) -> io::Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    let keys = attributes.iter().map(|attribute| attribute.key.as_str());
    let width = keys.chain([title]).map(str::len).max().unwrap_or_default();
    writeln!(out, "\n{title:<width$}  value")?;
    for KeyValue { key, value, .. } in attributes {
        let value = match value {
            Value::Array(Array::String(texts)) => {
                let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
                texts.join(", ")
            }
            other => other.as_str().into_owned(),
        };
        writeln!(out, "{:<width$}  {value}", key.as_str())?;
    }
    Ok(())
}

fn who(attribution: &Attribution) -> String {
    match attribution.iam() {
        Some(iam) => iam.arn().to_owned(),
        None => "unknown; the Authenticator verifies it when a connection is made".to_owned(),
    }
}

fn place(attribution: &Attribution) -> String {
    match attribution.place() {
        Some(Place::Kubernetes { namespace, pod }) => match namespace {
            Some(namespace) => format!("pod {pod} in namespace {namespace}"),
            None => format!("pod {pod}"),
        },
        Some(Place::Ecs { task_id }) => format!("ECS task {task_id}"),
        Some(Place::Ec2 { instance_id }) => format!("EC2 instance {instance_id}"),
        _ => "neither a pod nor an ECS task nor an EC2 instance".to_owned(),
    }
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1e3)
}

/// A whole number of `ms` or `s`, up to an hour.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = match text.strip_suffix("ms") {
        Some(number) => number.parse().map(Duration::from_millis),
        None => text
            .strip_suffix('s')
            .unwrap_or_default()
            .parse()
            .map(Duration::from_secs),
    };
    parsed
        .ok()
        .filter(|duration| *duration <= Duration::from_secs(3600))
        .ok_or_else(|| "write a duration like 900ms or 5s, up to 3600s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("900ms"), Ok(Duration::from_millis(900)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        for refused in ["", "5", "s", "ms", "-1s", "1.5s", "4000s", "5m"] {
            assert!(duration(refused).is_err(), "{refused}");
        }
    }
}
