//! What the application calls itself.

#[cfg(feature = "resource")]
use std::sync::{Mutex, PoisonError};

use crate::attribution::resource_attribute;

/// `service.name`: of the resource that was last noted, else of OpenTelemetry's environment
/// variables.
pub(crate) fn service_name() -> Option<String> {
    #[cfg(feature = "resource")]
    if let Some(noted) = &*NOTED.lock().unwrap_or_else(PoisonError::into_inner) {
        return Some(noted.clone());
    }
    of_environment(|variable| std::env::var(variable).ok())
}

/// Notes what a provider's resource says. The SDK's own words for a service without a name are
/// none.
#[cfg(feature = "resource")]
pub(super) fn note_service(resource: &opentelemetry_sdk::Resource) {
    let name = resource.get(&::opentelemetry::Key::from_static_str(SERVICE_NAME));
    let name = name.map(|name| name.to_string());
    if let Some(name) = name.filter(|name| !name.starts_with("unknown_service")) {
        *NOTED.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
    }
}

#[cfg(feature = "resource")]
static NOTED: Mutex<Option<String>> = Mutex::new(None);

const SERVICE_NAME: &str = "service.name";

fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let named = variable("OTEL_SERVICE_NAME").filter(|name| !name.is_empty());
    named.or_else(|| resource_attribute(&variable("OTEL_RESOURCE_ATTRIBUTES")?, SERVICE_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_service_as_for_the_sdk() {
        let named = |name: &str, attributes: &str| {
            of_environment(|variable| {
                let value = match variable {
                    "OTEL_SERVICE_NAME" => name,
                    "OTEL_RESOURCE_ATTRIBUTES" => attributes,
                    _ => "",
                };
                Some(value.to_owned())
            })
        };
        let attributes = "a=b,service.name=check%20out";
        assert_eq!(named("shop", attributes).as_deref(), Some("shop"));
        assert_eq!(named("", attributes).as_deref(), Some("check out"));
        assert_eq!(named("", ""), None);
        assert_eq!(of_environment(|_| None), None);
    }
}
