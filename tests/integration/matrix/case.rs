//! The cases, and the subscriber of each.

use std::fmt;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::{application, lines::Lines};

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) instrumented: bool,
    pub(super) attribution: Attribution,
    pub(super) bridge: Bridge,
}

/// What puts attribution on lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribution {
    Absent,
    Layer,
    Attributed,
}

/// What makes OpenTelemetry's spans of those of `tracing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bridge {
    /// Nothing: the application makes OpenTelemetry's spans itself.
    Absent,
    Default,
    NoActivation,
    /// Every layer has a filter of its own, and the lines show less than the spans.
    FilterPerLayer,
}

impl Case {
    pub(super) fn all() -> Vec<Case> {
        use Attribution::*;
        use Bridge::{Default, FilterPerLayer, NoActivation};
        let mut all = Vec::new();
        for instrumented in [true, false] {
            for attribution in [Absent, Layer, Attributed] {
                for bridge in [Bridge::Absent, Default, NoActivation, FilterPerLayer] {
                    all.push(Case {
                        instrumented,
                        attribution,
                        bridge,
                    });
                }
            }
        }
        all
    }

    /// The case of that name.
    pub(super) fn named(name: &str) -> Self {
        let mut all = Case::all().into_iter();
        all.find(|case| case.to_string() == name).unwrap()
    }

    /// Makes this case's subscriber the process's own.
    pub(super) fn install(self, lines: Lines, provider: &SdkTracerProvider) {
        let mut layers: Vec<BoxedLayer> = Vec::new();
        if self.bridge != Bridge::Absent {
            layers.push(self.filtered(self.spans(provider), LevelFilter::INFO));
        }
        if self.attribution == Attribution::Layer {
            layers.push(Box::new(approzium::tracing::layer()));
        }
        layers.push(self.filtered(self.lines(lines), LevelFilter::WARN));
        let of_all = self.bridge != Bridge::FilterPerLayer;
        tracing_subscriber::registry()
            .with(layers)
            .with(of_all.then(|| targets(LevelFilter::TRACE)))
            .init();
    }

    fn filtered(self, layer: BoxedLayer, level: LevelFilter) -> BoxedLayer {
        match self.bridge {
            Bridge::FilterPerLayer => Box::new(layer.with_filter(targets(level))),
            _ => layer,
        }
    }

    fn spans(self, provider: &SdkTracerProvider) -> BoxedLayer {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("application"))
            .with_context_activation(self.bridge != Bridge::NoActivation);
        Box::new(layer)
    }

    fn lines(self, lines: Lines) -> BoxedLayer {
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .with_writer(move || lines.clone());
        match self.attribution {
            Attribution::Attributed => {
                Box::new(layer.map_event_format(approzium::tracing::attributed))
            }
            Attribution::Absent | Attribution::Layer => Box::new(layer),
        }
    }
}

/// What the application tells, and each query.
fn targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_target(application::TARGET, level)
        .with_target("approzium::query", Level::DEBUG)
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switch = if self.instrumented { "on" } else { "off" };
        write!(f, "{switch}-{:?}-{:?}", self.attribution, self.bridge)
    }
}
