//! Where the spans go: a Jaeger that runs already, one of our own, or this process.

use std::time::Duration;

use approzium_peers::{
    Authenticator, Error, Jaeger, Result,
    jaeger::{Query, Span, Trace},
};
use tokio::time::{Instant, sleep};

use crate::{collector::Collector, options::Options, workload::Step};

/// Where the spans go.
pub(crate) enum Traces {
    /// Somebody's Jaeger.
    Running { query: Query, otlp_endpoint: String },
    /// Started here.
    Started(Box<Jaeger>),
    /// None could be had.
    Terminal { collector: Collector, why: String },
}

impl Traces {
    /// The first that can be had, in that order.
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        if let Some((pages, otlp_endpoint)) = options.running_jaeger() {
            let query = Query::new(&pages);
            query.services().await.map_err(|error| {
                Error::Failed(format!(
                    "no Jaeger there: {error}; --jaeger says where its pages are"
                ))
            })?;
            return Ok(Traces::Running {
                query,
                otlp_endpoint,
            });
        }
        let why = if options.no_jaeger {
            "--no-jaeger".to_owned()
        } else {
            match Jaeger::start().await {
                Ok(jaeger) => return Ok(Traces::Started(Box::new(jaeger))),
                Err(error) if error.is_missing() => error.to_string(),
                Err(error) => return Err(error),
            }
        };
        let collector = Collector::start().await;
        let collector = collector.map_err(|error| Error::Failed(error.to_string()))?;
        Ok(Traces::Terminal { collector, why })
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn otlp_endpoint(&self) -> String {
        match self {
            Traces::Running { otlp_endpoint, .. } => otlp_endpoint.clone(),
            Traces::Started(jaeger) => jaeger.otlp_grpc().to_owned(),
            Traces::Terminal { collector, .. } => collector.url(),
        }
    }

    /// The Jaeger, if there is one.
    pub(crate) fn query(&self) -> Option<&Query> {
        match self {
            Traces::Running { query, .. } => Some(query),
            Traces::Started(jaeger) => Some(jaeger.query()),
            Traces::Terminal { .. } => None,
        }
    }

    /// Whether a browser gets more than JSON.
    pub(crate) fn has_pages(&self) -> bool {
        match self {
            Traces::Running { .. } => true,
            Traces::Started(jaeger) => jaeger.has_ui(),
            Traces::Terminal { .. } => false,
        }
    }

    /// Where the spans go, for people.
    pub(crate) fn description(&self) -> String {
        match self {
            Traces::Running { query, .. } => format!("the Jaeger at {}", query.url()),
            Traces::Started(jaeger) => format!("a Jaeger of its own, {}", jaeger.query_url()),
            Traces::Terminal { why, .. } => format!("drawn here, without Jaeger: {why}"),
        }
    }

    /// The trace of a step, once it has come from the application and from the Authenticator,
    /// which send on their own.
    pub(crate) async fn complete(&self, step: &Step) -> Result<Trace> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let trace = match self {
                Traces::Terminal { collector, .. } => collector.trace(&step.trace),
                Traces::Running { query, .. } => query.trace(&step.trace).await?,
                Traces::Started(jaeger) => jaeger.query().trace(&step.trace).await?,
            };
            match trace {
                Some(trace) if is_complete(&trace) => return Ok(trace),
                _ if Instant::now() < deadline => sleep(Duration::from_millis(50)).await,
                Some(trace) => {
                    let tree = trace.tree();
                    return Err(Error::Failed(format!(
                        "{} is not complete:\n{tree}",
                        step.name
                    )));
                }
                None => {
                    return Err(Error::Failed(format!(
                        "no trace of {} has arrived; spans were sent to {}",
                        step.name,
                        self.otlp_endpoint()
                    )));
                }
            }
        }
    }
}

/// It has its root, and where something connected, the Authenticator's part of that.
fn is_complete(trace: &Trace) -> bool {
    let any = |matches: &dyn Fn(&Span) -> bool| trace.spans.iter().any(matches);
    let root = any(&|span| span.parent.is_none());
    let connects = any(&|span| span.name.starts_with("connect "));
    root && (!connects || any(&|span| span.service == Authenticator::SERVICE))
}
