//! `application_name`: what the database itself shows of who connects.
//!
//! ```text
//! checkout@checkout-6d9f7c5b8-x2vqp (checkout)
//! service  place                     role
//! ```
//! It is written into the StartupMessage at the last moment, so that a pool's later connections
//! say what was not known yet when the pool was made; nothing is waited for.

use std::env;

use super::config::Config;
use crate::{
    AuthClient,
    attribution::{self, keys},
    identity::role_name,
    opentelemetry::service_name,
    wire::postgres::StartupMessage,
};

/// What a session is called whose application gives it no name.
#[derive(Clone, Debug)]
pub(super) struct ApplicationName {
    fallback: Option<String>,
}

impl ApplicationName {
    pub(super) fn of(config: &Config) -> Self {
        ApplicationName {
            fallback: config.get_fallback_application_name().map(str::to_owned),
        }
    }

    /// The same message with a name, unless it has one. A name that does not fit is left out: no
    /// connect fails of it.
    pub(super) fn give(&self, startup: StartupMessage, auth: &AuthClient) -> StartupMessage {
        if startup.parameter(PARAMETER).is_some() {
            return startup;
        }
        let name = self.name(env::var("PGAPPNAME").ok(), || Parts::known(auth));
        let named = name.and_then(|name| startup.with_parameter(PARAMETER, &name).ok());
        named.unwrap_or(startup)
    }

    /// The first that is set, even if it is set to nothing.
    fn name(
        &self,
        of_environment: Option<String>,
        known: impl FnOnce() -> Parts,
    ) -> Option<String> {
        of_environment
            .or_else(|| self.fallback.clone())
            .or_else(|| known().name())
            .filter(|name| !name.is_empty())
    }
}

const PARAMETER: &str = "application_name";

/// What there is to say.
#[derive(Debug, Default)]
struct Parts {
    service: Option<String>,
    place: Option<String>,
    role: Option<String>,
}

impl Parts {
    /// What is known by now. The role that the Authenticator verified comes before the one that
    /// this process believes to have.
    fn known(auth: &AuthClient) -> Self {
        let verified = auth.iam_arn().as_deref().and_then(role_name);
        let believed = || Some(attribution::known()?.iam()?.role()?.to_owned());
        Parts {
            service: service_name(),
            place: place(),
            role: verified.or_else(believed),
        }
    }

    /// `service@place (role)` without what is not known: `service`, `@place`, `(role)`.
    ///
    /// What is too long gives way to what is not: a service and a role keep their beginning, a
    /// place its end, which tells one pod from the next; `~` stands for what is missing.
    fn name(&self) -> Option<String> {
        let [service, place, role] =
            [&self.service, &self.place, &self.role].map(|part| printable(part.as_deref()));
        let room = LIMIT - "@ ()".len();
        let [of_service, of_place, of_role] =
            shares([service.len(), place.len(), role.len()], room);
        let mut name = beginning(&service, of_service);
        if !place.is_empty() {
            name.push('@');
            name.push_str(&end(&place, of_place));
        }
        if !role.is_empty() {
            let separator = if name.is_empty() { "(" } else { " (" };
            name.push_str(separator);
            name.push_str(&beginning(&role, of_role));
            name.push(')');
        }
        (!name.is_empty()).then_some(name)
    }
}

/// The server cuts names off at NAMEDATALEN - 1 bytes.
const LIMIT: usize = 63;

/// The pod, task or instance, without the namespace.
fn place() -> Option<String> {
    let found = attribution::place()?
        .iter()
        .find(|one| one.key.as_str() != keys::SPAN_K8S_NAMESPACE_NAME)?;
    Some(found.value.to_string())
}

/// ASCII that can be printed, as the server wants it, and `?` for anything else.
fn printable(text: Option<&str>) -> String {
    let kept = |character| match character {
        ' '..='~' => character,
        _ => '?',
    };
    text.unwrap_or_default().trim().chars().map(kept).collect()
}

/// Shares of a room: equal ones, but what one does not need is the others'.
fn shares<const N: usize>(needs: [usize; N], room: usize) -> [usize; N] {
    let mut shares = [0; N];
    let mut left = room;
    let mut by_need: Vec<_> = needs.into_iter().zip(&mut shares).collect();
    by_need.sort_by_key(|(need, _)| *need);
    let waiting = (1..=N).rev();
    for ((need, share), waiting) in by_need.into_iter().zip(waiting) {
        *share = need.min(left / waiting);
        left -= *share;
    }
    shares
}

fn beginning(text: &str, length: usize) -> String {
    match text.get(..length.saturating_sub(1)) {
        Some(beginning) if text.len() > length => format!("{beginning}~"),
        _ => text.to_owned(),
    }
}

fn end(text: &str, length: usize) -> String {
    match text.get((text.len() + 1).saturating_sub(length)..) {
        Some(end) if text.len() > length => format!("~{end}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(service: &str, place: &str, role: &str) -> Option<String> {
        let part = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Parts {
            service: part(service),
            place: part(place),
            role: part(role),
        }
        .name()
    }

    #[test]
    fn the_first_that_is_set_names_the_session() {
        let known = || Parts {
            service: Some("shop".to_owned()),
            ..Parts::default()
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        for (of_environment, fallback, expected) in [
            (None, None, Some("shop")),
            (None, Some("mine"), Some("mine")),
            (None, Some(""), None),
            (Some("psql"), Some("mine"), Some("psql")),
            (Some(""), Some("mine"), None),
        ] {
            let name = ApplicationName {
                fallback: owned(fallback),
            };
            assert_eq!(name.name(owned(of_environment), known), owned(expected));
        }
    }

    #[test]
    fn what_is_known_is_said() {
        for (service, place, role, expected) in [
            ("shop", "pod-7", "checkout", Some("shop@pod-7 (checkout)")),
            ("shop", "pod-7", "", Some("shop@pod-7")),
            ("shop", "", "checkout", Some("shop (checkout)")),
            ("shop", "", "", Some("shop")),
            ("", "pod-7", "checkout", Some("@pod-7 (checkout)")),
            ("", "", "checkout", Some("(checkout)")),
            ("", "", "", None),
            (" \n", "", "", None),
            ("café\u{7}", "", "", Some("caf??")),
        ] {
            assert_eq!(name(service, place, role).as_deref(), expected);
        }
    }

    #[test]
    fn what_is_too_long_gives_way_and_keeps_what_tells_most() {
        let pod = "recommendations-service-canary-deployment-eu-6d9f7c5b8-x2vqp";
        assert_eq!(
            name("shop", pod, "checkout").unwrap(),
            "shop@~s-service-canary-deployment-eu-6d9f7c5b8-x2vqp (checkout)"
        );
        let long = "0123456789".repeat(30);
        assert_eq!(
            name(&long, &long, &long).unwrap(),
            "012345678901234567~@~1234567890123456789 (0123456789012345678~)"
        );
        for (service, place, role) in [
            (&*long, "", ""),
            ("", &*long, ""),
            ("", "", &*long),
            (&*long, &*long, &*long),
            ("x", &*long, "y"),
            ("ü", &*"ü".repeat(100), "ü"),
        ] {
            let name = name(service, place, role).unwrap();
            assert!(name.len() <= LIMIT && name.len() > LIMIT - 5, "{name}");
            assert!(name.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }
}
