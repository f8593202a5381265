//! A pipeline to Jaeger, or any collector, with attribution in its resource.
