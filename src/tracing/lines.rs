//! Who, where and in which trace, on every line.

mod fields;
mod json;
mod text;

use std::{fmt, sync::Arc};

use ::opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, TraceContextExt},
};
use ::tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Compact, Format, Full, Json, Pretty, Writer},
    },
    registry::LookupSpan,
};

use crate::opentelemetry::identity::process_attribution;
use sealed::Shape;

pub(super) use json::splice;
pub(super) use text::Style;

/// Wraps the event format of one of `tracing-subscriber`'s own `fmt` layers, so that each line says
/// who this process is, where it runs, and which trace the line belongs to:
///
/// ```
/// use approzium::tracing::attributed;
///
/// tracing_subscriber::fmt().json().map_event_format(attributed).init();
/// tracing::info!(order = 7, "placed");
/// ```
/// ```json
/// {"timestamp":"…","level":"INFO","fields":{"message":"placed","order":7},"target":"shop",
///  "approzium.iam_arn":"arn:aws:sts::123456789012:assumed-role/checkout/pod-7",
///  "approzium.iam_role":"checkout","approzium.k8s.pod.name":"checkout-7",
///  "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}
/// ```
///
/// In JSON these are keys at the top level, in text they stand at the end of the line, and in
/// `pretty` on a line of their own. A line has:
///
/// | key | what | since |
/// |---|---|---|
/// | `approzium.iam_arn`, `approzium.iam_role` | who the process is: the identity of the [default client](crate::default_auth_client), else what all its clients have in common | an Authenticator has verified it |
/// | `approzium.k8s.…`, `approzium.ecs.…`, `approzium.ec2.…` | the pod, task or instance | it is [known](crate::attribution), for which the first line asks |
/// | `trace_id`, `span_id` | the active OpenTelemetry span; with the feature `tracing-opentelemetry` also one that is not activated, if the subscriber is the process's default | the span has begun |
///
/// What an event says itself under one of these names holds instead: the event
/// [`approzium::query`](crate::tracing) names the identity of its connection and the query's own span.
///
/// For the ids, the feature `tracing-opentelemetry` begins a span that is not activated with its
/// first line: give it its parent before. While it begins, it is locked: a sampler or a span
/// processor of your own is not to log then.
///
/// It is to be applied last: what comes out of it is a format that has no more settings. Whether
/// there are colours is up to the layer's `with_ansi`.
pub fn attributed<F: StockFormat, T: Clone>(format: Format<F, T>) -> Attributed<F, T> {
    Attributed {
        coloured: format.clone().with_ansi(true),
        plain: format,
    }
}

/// An event format whose lines say who wrote them: what [`attributed`] makes.
#[derive(Clone, Debug)]
pub struct Attributed<F, T> {
    plain: Format<F, T>,
    /// Lines are finished before they are written, and a writer of ours cannot be told to colour.
    coloured: Format<F, T>,
}

/// The formats of `tracing-subscriber`'s own: [`Full`], [`Compact`], [`Pretty`] and [`Json`].
pub trait StockFormat: Clone + sealed::Sealed {}

impl StockFormat for Full {}
impl StockFormat for Compact {}
impl StockFormat for Pretty {}
impl StockFormat for Json {}

impl<S, N, F, T> FormatEvent<S, N> for Attributed<F, T>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: StockFormat,
    Format<F, T>: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let ansi = writer.has_ansi_escapes();
        let format = if ansi { &self.coloured } else { &self.plain };
        let mut line = String::with_capacity(512);
        format.format_event(context, Writer::new(&mut line), event)?;
        let additions = Additions {
            own: fields::own(event),
            ids: ids(event),
            process: process_attribution(),
        };
        match F::SHAPE {
            Shape::Line => text::complete(&mut line, &additions, ansi),
            Shape::Paragraph => text::complete_paragraph(&mut line, &additions, ansi),
            Shape::Json => json::complete(&mut line, &additions),
        }
        writer.write_str(&line)
    }
}

/// What a line is to say besides.
struct Additions {
    /// What the event says itself.
    own: Vec<KeyValue>,
    ids: Option<[KeyValue; 2]>,
    process: Arc<Vec<KeyValue>>,
}

impl Additions {
    /// All but what the event says itself.
    fn others(&self) -> impl Iterator<Item = &KeyValue> {
        let all = self.process.iter().chain(self.ids.iter().flatten());
        all.filter(|one| !self.own.iter().any(|own| own.key == one.key))
    }
}

mod sealed {
    use super::*;

    pub trait Sealed {
        const SHAPE: Shape;
    }

    /// What a format writes for an event.
    #[derive(Clone, Copy, Debug)]
    pub enum Shape {
        Line,
        /// Several lines and an empty one.
        Paragraph,
        /// An object on a line.
        Json,
    }

    impl Sealed for Full {
        const SHAPE: Shape = Shape::Line;
    }

    impl Sealed for Compact {
        const SHAPE: Shape = Shape::Line;
    }

    impl Sealed for Pretty {
        const SHAPE: Shape = Shape::Paragraph;
    }

    impl Sealed for Json {
        const SHAPE: Shape = Shape::Json;
    }
}

/// The span in which the event happens, if OpenTelemetry knows it.
fn ids(event: &Event<'_>) -> Option<[KeyValue; 2]> {
    // OpenTelemetry says some of what goes wrong while it changes its contexts, and nobody can look
    // at them.
    if event.metadata().target().starts_with("opentelemetry") {
        return None;
    }
    let span = Context::map_current(active_span).or_else(|| active_span(&not_activated(event)?))?;
    Some([
        KeyValue::new("trace_id", span.trace_id().to_string()),
        KeyValue::new("span_id", span.span_id().to_string()),
    ])
}

fn active_span(context: &Context) -> Option<SpanContext> {
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// The context that tracing-opentelemetry has for the event's span without activating it.
#[cfg(feature = "tracing-opentelemetry")]
fn not_activated(event: &Event<'_>) -> Option<Context> {
    ::tracing::dispatcher::get_default(|subscriber| {
        // Not by the formatter's context, whose filter may hide the span.
        let current = subscriber.current_span();
        let span = match event.parent() {
            Some(parent) => parent,
            None if event.is_contextual() => current.id()?,
            None => return None,
        };
        ::tracing_opentelemetry::get_otel_context(span, subscriber)
    })
}

#[cfg(not(feature = "tracing-opentelemetry"))]
fn not_activated(_: &Event<'_>) -> Option<Context> {
    None
}

#[cfg(test)]
mod tests;
