//! Who and where, on the spans of the application.

use std::sync::Arc;

use ::opentelemetry::KeyValue;
use ::tracing::{Subscriber, span::Id};
use tracing_subscriber::{
    Layer,
    fmt::{
        FormattedFields,
        format::{DefaultFields, JsonFields, Pretty},
    },
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::lines::{Style, splice};
use crate::opentelemetry::identity::process_attribution;

/// A layer that puts attribution on the application's spans, where `tracing-subscriber`'s own `fmt`
/// layers show it on each line inside of them:
///
/// ```
/// use tracing_subscriber::{fmt, layer::SubscriberExt, util::SubscriberInitExt};
///
/// tracing_subscriber::registry()
///     .with(fmt::layer())
///     .with(approzium::tracing::layer())
///     .init();
/// ```
/// ```text
/// INFO request{path="/orders" approzium.iam_arn="arn:aws:sts::123456789012:assumed-role/checkout/pod-7" approzium.iam_role="checkout" approzium.k8s.pod.name="checkout-7"}: shop: placed order=7
/// ```
///
/// Attribution is `approzium.iam_arn`, `approzium.iam_role` and the place, as far as they are known
/// when the span or one inside of it is entered; what becomes known later joins when that happens
/// again. It stands on the outermost span that a line shows: in JSON in `spans[0]`. A field that the
/// span has itself stays as it is.
///
/// Lines outside spans stay as they are, and so do lines of formatters other than `DefaultFields`,
/// `JsonFields` and `Pretty`: for every line and for the ids of traces there is
/// [`attributed`](super::attributed). The layer makes no spans and no events, and its order among the
/// layers does not matter.
pub fn layer() -> AttributionLayer {
    AttributionLayer { _private: () }
}

/// A layer that puts attribution on spans: what [`layer`] makes.
#[derive(Clone, Debug)]
pub struct AttributionLayer {
    _private: (),
}

impl<S> Layer<S> for AttributionLayer
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    // Not when the span is new: a `fmt` layer that comes later would take what is there already for
    // the span's own fields, and leave those out.
    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let known = process_attribution();
        if is_put(&known, &span) {
            return;
        }
        // The outermost one need not have been entered: it may be named as a parent only.
        for span in span.scope() {
            if !is_put(&known, &span) {
                let put = span.extensions().get::<Put>().cloned();
                let put = put.unwrap_or_else(|| Put::nothing(&span));
                put.and_what_is_new(Arc::clone(&known), &span);
            }
        }
    }
}

/// Whether all that is known has been put on the span, or belongs on another one.
fn is_put<'a, S: LookupSpan<'a>>(known: &Arc<Vec<KeyValue>>, span: &SpanRef<'a, S>) -> bool {
    let extensions = span.extensions();
    let put = extensions.get::<Put>();
    put.is_some_and(|put| Arc::ptr_eq(&put.attribution, known))
}

/// What was put on a span, and into which formatters' fields.
#[derive(Clone, Debug)]
struct Put {
    default: bool,
    json: bool,
    pretty: bool,
    attribution: Arc<Vec<KeyValue>>,
}

impl Put {
    /// Nothing yet: only of the outermost span that a formatter shows does it show attribution.
    fn nothing<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> Self {
        let put = Put {
            default: is_outermost::<S, DefaultFields>(span),
            json: is_outermost::<S, JsonFields>(span),
            pretty: is_outermost::<S, Pretty>(span),
            attribution: Arc::default(),
        };
        span.extensions_mut().replace(put.clone());
        put
    }

    fn and_what_is_new<'a, S: LookupSpan<'a>>(
        mut self,
        known: Arc<Vec<KeyValue>>,
        span: &SpanRef<'a, S>,
    ) {
        let declared = span.metadata().fields();
        let is_new = |one: &&KeyValue| {
            let was_put = |put: &KeyValue| put.key == one.key;
            !self.attribution.iter().any(was_put) && declared.field(one.key.as_str()).is_none()
        };
        let new: Vec<&KeyValue> = known.iter().filter(is_new).collect();
        let mut extensions = span.extensions_mut();
        if self.default
            && let Some(fields) = extensions.get_mut::<FormattedFields<DefaultFields>>()
        {
            let ansi = fields.as_writer().has_ansi_escapes();
            Style::Default { ansi }.append(&new, &mut fields.fields);
        }
        if self.pretty
            && let Some(fields) = extensions.get_mut::<FormattedFields<Pretty>>()
        {
            let ansi = fields.as_writer().has_ansi_escapes();
            Style::Pretty { ansi }.append(&new, &mut fields.fields);
        }
        if self.json
            && let Some(fields) = extensions.get_mut::<FormattedFields<JsonFields>>()
        {
            splice(&mut fields.fields, new.iter().copied());
        }
        self.attribution = known;
        extensions.replace(self);
    }
}

/// Whether a formatter shows this span, and none around it.
fn is_outermost<'a, S: LookupSpan<'a>, N: 'static>(span: &SpanRef<'a, S>) -> bool {
    let shows = |span: SpanRef<'a, S>| span.extensions().get::<FormattedFields<N>>().is_some();
    let mut spans = span.scope();
    spans.next().is_some_and(shows) && !spans.any(shows)
}
