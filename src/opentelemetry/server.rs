//! Spans of the Authenticator's side of a call.
//!
//! A caller's `traceparent` is not believed before the caller is known: a stranger who could set
//! the sampled flag could have everything recorded, and could write into anybody's trace. So until
//! [`identified`](ServerSpan::identified) only times are kept; then the span begins, with its true
//! start, as the caller's child. A call that ends unidentified becomes a trace of its own that
//! links to the caller's, sampled by this process's own sampler.

use std::{borrow::Cow, future::Future, sync::Arc, time::SystemTime};

use ::opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt},
};
use tonic::metadata::MetadataMap;

use super::{
    attributes as key,
    connection::shared,
    instrumentation::{self, Instrumentation},
    propagation,
};

/// At most this many steps are remembered of a call whose caller is not known yet.
const REMEMBERED: usize = 8;

/// The span of one call of the Authenticator's.
///
/// Dropped before its end, the call was cancelled.
#[derive(Debug, Default)]
pub(crate) struct ServerSpan(Option<Call>);

#[derive(Debug)]
struct Call {
    instrumentation: Arc<Instrumentation>,
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
    /// A call begins. `method` is its name in the protocol:
    /// `approzium.v2.Authenticator/Authenticate`.
    pub(crate) fn start(method: &'static str, request_id: &str, metadata: &MetadataMap) -> Self {
        let Some(instrumentation) = instrumentation::effective(None) else {
            return ServerSpan(None);
        };
        ServerSpan(Some(Call {
            instrumentation,
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
        let context = begin(&self.instrumentation, builder, &parent);
        for step in steps {
            step.write(&self.instrumentation, &context);
        }
        self.state = State::Identified(context);
    }

    fn record(&mut self, step: Step) {
        match &mut self.state {
            State::Identified(context) => step.write(&self.instrumentation, context),
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
                begin(&self.instrumentation, builder, &Context::new())
            }
        };
        if let State::Unidentified(steps) = self.state {
            for step in steps {
                step.write(&self.instrumentation, &context);
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
        let name = self.method.rsplit('/').next().unwrap_or_default();
        SpanBuilder::from_name(format!("approzium.authenticator/{name}"))
            .with_kind(SpanKind::Server)
            .with_start_time(self.start)
            .with_attributes([
                KeyValue::new(key::RPC_SYSTEM_NAME, "grpc"),
                KeyValue::new(key::RPC_METHOD, self.method),
                shared(key::REQUEST_ID, &self.request_id),
            ])
    }
}

impl Step {
    fn write(self, instrumentation: &Instrumentation, parent: &Context) {
        let builder = SpanBuilder::from_name(Cow::Borrowed(self.name)).with_start_time(self.start);
        let context = begin(instrumentation, builder, parent);
        let span = context.span();
        if let Some(reason) = self.error {
            span.set_attribute(KeyValue::new(key::ERROR_TYPE, reason));
            span.set_status(Status::error(reason));
        }
        span.end_with_timestamp(self.end);
    }
}

fn begin(instrumentation: &Instrumentation, builder: SpanBuilder, parent: &Context) -> Context {
    parent.with_span(instrumentation.begin(builder, parent))
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use ::opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};
    use opentelemetry_sdk::trace::Sampler;

    use super::*;
    use crate::opentelemetry::testing::{Recorder, attribute};

    fn caller(sampled: bool) -> (SpanContext, MetadataMap) {
        let caller = SpanContext::new(
            TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap(),
            SpanId::from_hex("b7ad6b7169203331").unwrap(),
            TraceFlags::default().with_sampled(sampled),
            true,
            TraceState::from_str("vendor=value").unwrap(),
        );
        let mut metadata = MetadataMap::new();
        let context = Context::new().with_remote_span_context(caller.clone());
        propagation::inject(&context, &mut metadata);
        (caller, metadata)
    }

    async fn step(span: &mut ServerSpan, name: &'static str, result: Result<(), ()>) {
        let _ = span.step(name, |()| "unreachable", async { result }).await;
    }

    #[tokio::test]
    async fn an_identified_call_is_the_callers_child_from_its_beginning() {
        let recorder = Recorder::start();
        let (caller, metadata) = caller(true);
        let mut span = ServerSpan::start("Identified", "7f", &metadata);
        step(&mut span, "first step", Ok(())).await;
        assert!(recorder.named("first step").is_empty());
        span.identified("arn:aws:sts::1:assumed-role/checkout/i");
        span.finish();

        let call = recorder.only("approzium.authenticator/Identified");
        assert_eq!(call.span_context.trace_id(), caller.trace_id());
        assert_eq!(call.parent_span_id, caller.span_id());
        assert_eq!(call.span_kind, SpanKind::Server);
        assert_eq!(call.status, Status::Unset);
        assert_eq!(
            attribute(&call, "approzium.request_id").as_deref(),
            Some("7f")
        );
        let step = recorder.only("first step");
        assert_eq!(step.parent_span_id, call.span_context.span_id());
        assert!(call.start_time <= step.start_time && step.end_time <= call.end_time);
    }

    #[tokio::test]
    async fn a_strangers_call_is_a_trace_of_its_own() {
        // The stranger asks for its trace to be recorded: nobody listens.
        let recorder = Recorder::sampled_by(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)));
        for sampled in [true, false] {
            let (caller, metadata) = caller(sampled);
            let method = if sampled { "Sampled" } else { "Unsampled" };
            let mut span = ServerSpan::start(method, "7f", &metadata);
            step(&mut span, "a step", Err(())).await;
            span.fail("bad_proof");
            let call = recorder.only(&format!("approzium.authenticator/{method}"));
            assert_ne!(call.span_context.trace_id(), caller.trace_id());
            assert_eq!(call.parent_span_id, SpanId::INVALID);
            assert_eq!(call.links[0].span_context.trace_id(), caller.trace_id());
            assert_eq!(attribute(&call, "error.type").as_deref(), Some("bad_proof"));
        }
        let recorder = {
            drop(recorder);
            Recorder::sampled_by(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
        };
        let (_, metadata) = caller(true);
        ServerSpan::start("Refused", "7f", &metadata).fail("bad_proof");
        let refused = recorder.named("approzium.authenticator/Refused");
        assert!(refused.is_empty());
    }

    #[tokio::test]
    async fn what_is_remembered_of_a_stranger_is_bounded() {
        let recorder = Recorder::start();
        let mut span = ServerSpan::start("Bounded", "7f", &MetadataMap::new());
        for _ in 0..100 {
            step(&mut span, "one of many", Ok(())).await;
        }
        drop(span);
        assert_eq!(recorder.named("one of many").len(), REMEMBERED);
        let call = recorder.only("approzium.authenticator/Bounded");
        assert_eq!(attribute(&call, "error.type").as_deref(), Some("cancelled"));
    }
}
