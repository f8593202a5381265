//! Spans of the Authenticator's side of a call.
//!
//! A caller's `traceparent` is not believed before the caller is known: a stranger who could set
//! the sampled flag could have everything recorded, and could write into anybody's trace. So until
//! [`identified`](ServerSpan::identified) only times are kept; then the span begins, with its true
//! start, as the caller's child. A call that ends unidentified becomes a trace of its own that
//! links to the caller's, sampled by this process's own sampler.

use std::{borrow::Cow, future::Future, time::SystemTime};

use ::opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer},
};
use tonic::metadata::MetadataMap;

use super::{attributes as key, connection::shared, is_enabled, propagation, tracer};

/// At most this many steps are remembered of a call whose caller is not known yet.
const REMEMBERED: usize = 8;

/// The span of one call of the service `approzium.v2.Authenticator`.
///
/// Dropped before its end, the call was cancelled.
#[derive(Debug, Default)]
pub(crate) struct ServerSpan(Option<Call>);

#[derive(Debug)]
struct Call {
    method: &'static str,
    start: SystemTime,
    caller: Option<SpanContext>,
    request_id: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Unidentified(Vec<Step>),
    Identified(Context),
}

/// Something that took its own time within a call.
#[derive(Debug)]
struct Step {
    name: &'static str,
    start: SystemTime,
    end: SystemTime,
    error: Option<&'static str>,
}

impl ServerSpan {
    /// A call begins. `method` is the name in the protocol: `Authenticate`.
    pub(crate) fn start(method: &'static str, request_id: &str, metadata: &MetadataMap) -> Self {
        if !is_enabled() {
            return ServerSpan(None);
        }
        ServerSpan(Some(Call {
            method,
            start: SystemTime::now(),
            caller: propagation::extract(metadata),
            request_id: request_id.to_owned(),
            state: State::Unidentified(Vec::new()),
        }))
    }

    /// Who calls is verified: from here on the span is part of the caller's trace.
    pub(crate) fn identified(&mut self, iam_arn: &str) {
        if let Some(call) = &mut self.0 {
            call.identified(iam_arn);
        }
    }

    /// Times one step of the call: `sts`, `secret`, `compute`.
    ///
    /// `reason` says in one word of a closed list why a result is an error.
    pub(crate) async fn step<T, E>(
        &mut self,
        name: &'static str,
        reason: impl FnOnce(&E) -> &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(call) = &mut self.0 else {
            return work.await;
        };
        let start = SystemTime::now();
        let result = work.await;
        call.record(Step {
            name,
            start,
            end: SystemTime::now(),
            error: result.as_ref().err().map(reason),
        });
        result
    }

    /// The call was answered.
    pub(crate) fn finish(mut self) {
        if let Some(call) = self.0.take() {
            call.end(None);
        }
    }

    /// The call was refused; `reason` as in the audit log.
    pub(crate) fn fail(mut self, reason: &'static str) {
        if let Some(call) = self.0.take() {
            call.end(Some(reason));
        }
    }
}

impl Drop for ServerSpan {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call.end(Some(key::CANCELLED));
        }
    }
}

impl Call {
    fn identified(&mut self, iam_arn: &str) {
        let State::Unidentified(steps) = &mut self.state else {
            return;
        };
        let steps = std::mem::take(steps);
        let parent = match &self.caller {
            Some(caller) => Context::new().with_remote_span_context(caller.clone()),
            None => Context::new(),
        };
        let mut builder = self.builder();
        builder
            .attributes
            .get_or_insert_default()
            .push(shared(key::IAM_ARN, iam_arn));
        let context = begin(builder, &parent);
        for step in steps {
            step.write(&context);
        }
        self.state = State::Identified(context);
    }

    fn record(&mut self, step: Step) {
        match &mut self.state {
            State::Identified(context) => step.write(context),
            State::Unidentified(steps) if steps.len() < REMEMBERED => steps.push(step),
            State::Unidentified(_) => {}
        }
    }

    fn end(self, reason: Option<&'static str>) {
        let context = match &self.state {
            State::Identified(context) => context.clone(),
            State::Unidentified(_) => {
                let mut builder = self.builder();
                builder.links = self
                    .caller
                    .clone()
                    .map(|caller| vec![Link::new(caller, Vec::new(), 0)]);
                begin(builder, &Context::new())
            }
        };
        if let State::Unidentified(steps) = self.state {
            for step in steps {
                step.write(&context);
            }
        }
        let span = context.span();
        if let Some(reason) = reason {
            span.set_attribute(KeyValue::new(key::ERROR_TYPE, reason));
            span.set_status(Status::error(reason));
        }
        span.end();
    }

    fn builder(&self) -> SpanBuilder {
        SpanBuilder::from_name(format!("approzium.authenticator/{}", self.method))
            .with_kind(SpanKind::Server)
            .with_start_time(self.start)
            .with_attributes([
                KeyValue::new(key::RPC_SYSTEM_NAME, "grpc"),
                KeyValue::new(
                    key::RPC_METHOD,
                    format!("approzium.v2.Authenticator/{}", self.method),
                ),
                shared(key::REQUEST_ID, &self.request_id),
            ])
    }
}

impl Step {
    fn write(self, parent: &Context) {
        let builder = SpanBuilder::from_name(Cow::Borrowed(self.name)).with_start_time(self.start);
        let context = begin(builder, parent);
        let span = context.span();
        if let Some(reason) = self.error {
            span.set_attribute(KeyValue::new(key::ERROR_TYPE, reason));
            span.set_status(Status::error(reason));
        }
        span.end_with_timestamp(self.end);
    }
}

fn begin(builder: SpanBuilder, parent: &Context) -> Context {
    parent.with_span(tracer().build_with_context(builder, parent))
}
