//! Global providers of both generations of OpenTelemetry, alike to the letter.

macro_rules! providers {
    ($api:ident, $sdk:ident) => {
        use std::{
            sync::atomic::{AtomicUsize, Ordering},
            time::Duration,
        };

        use $api::global;
        use $sdk::{
            error::OTelSdkResult,
            metrics::{
                PeriodicReader, SdkMeterProvider, Temporality, data::ResourceMetrics,
                exporter::PushMetricExporter,
            },
            trace::{SdkTracerProvider, SpanData, SpanExporter},
        };

        static SPANS: AtomicUsize = AtomicUsize::new(0);

        #[derive(Debug)]
        struct Nowhere;

        impl SpanExporter for Nowhere {
            async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
                SPANS.fetch_add(batch.len(), Ordering::Relaxed);
                Ok(())
            }
        }

        impl PushMetricExporter for Nowhere {
            async fn export(&self, _: &ResourceMetrics) -> OTelSdkResult {
                Ok(())
            }

            fn force_flush(&self) -> OTelSdkResult {
                Ok(())
            }

            fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
                Ok(())
            }

            fn temporality(&self) -> Temporality {
                Temporality::Cumulative
            }
        }

        pub(crate) fn install() {
            let tracers = SdkTracerProvider::builder().with_batch_exporter(Nowhere);
            global::set_tracer_provider(tracers.build());
            let meters =
                SdkMeterProvider::builder().with_reader(PeriodicReader::builder(Nowhere).build());
            global::set_meter_provider(meters.build());
        }

        /// How many have arrived.
        pub(crate) fn spans() -> usize {
            SPANS.load(Ordering::Relaxed)
        }
    };
}

pub(crate) mod ours {
    providers!(opentelemetry, opentelemetry_sdk);
}

pub(crate) mod of_sqlx {
    providers!(opentelemetry_of_sqlx, opentelemetry_sdk_of_sqlx);
}
