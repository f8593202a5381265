//! Who this process is and where it runs, for what no connection stands behind: the application's
//! own log lines, and spans that others make.

use std::{
    mem,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use ::opentelemetry::KeyValue;

use super::{
    attributes as key,
    connection::{place, shared},
};
use crate::identity::role_name;

static PROCESS: LazyLock<Process> = LazyLock::new(Process::default);

/// `approzium.iam_arn` and `approzium.iam_role`, as far as an Authenticator has verified them, and
/// the place, as far as it is known.
///
/// The identity is the default client's; without one, it is what all clients have in common. A
/// snapshot, made anew only when more is known: it waits for nobody.
#[cfg_attr(
    not(any(feature = "resource", feature = "tracing")),
    allow(dead_code, reason = "only lines and spans of others ask")
)]
pub(crate) fn process_attribution() -> Arc<Vec<KeyValue>> {
    PROCESS.attribution(place())
}

/// An Authenticator has verified who this process is, for the default client or another one.
pub(crate) fn verified(iam_arn: &str, by: Client) {
    PROCESS.tell(|known| known.verified(iam_arn, by));
}

/// Another client is the default one; `iam_arn` is what was verified for it.
pub(crate) fn default_client(iam_arn: Option<String>) {
    PROCESS.tell(|known| known.default = iam_arn);
}

/// For which client something was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Default,
    Other,
}

#[derive(Debug, Default)]
struct Process(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The default client's identity.
    default: Option<String>,
    others: Others,
    place: Option<&'static [KeyValue]>,
    attributes: Arc<Vec<KeyValue>>,
}

/// What was verified for the clients, whichever they are.
#[derive(Debug, Default)]
enum Others {
    #[default]
    None,
    One(String),
    /// Who of them would a line be of?
    Several,
}

impl Process {
    fn attribution(&self, place: Option<&'static [KeyValue]>) -> Arc<Vec<KeyValue>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() || known.place.is_some() {
            return Arc::clone(&known.attributes);
        }
        drop(known);
        self.tell(|known| known.place = place)
    }

    fn tell(&self, what: impl FnOnce(&mut Known)) -> Arc<Vec<KeyValue>> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        what(&mut known);
        let attributes = known.attributes();
        // Who holds the old one may compare: it is another one only if it says something else.
        if attributes != *known.attributes {
            known.attributes = Arc::new(attributes);
        }
        Arc::clone(&known.attributes)
    }
}

impl Known {
    fn verified(&mut self, iam_arn: &str, by: Client) {
        if by == Client::Default {
            self.default = Some(iam_arn.to_owned());
        }
        self.others = match mem::take(&mut self.others) {
            Others::None => Others::One(iam_arn.to_owned()),
            Others::One(known) if known == iam_arn => Others::One(known),
            Others::One(_) | Others::Several => Others::Several,
        };
    }

    fn iam_arn(&self) -> Option<&str> {
        match (&self.default, &self.others) {
            (Some(arn), _) | (None, Others::One(arn)) => Some(arn),
            (None, Others::None | Others::Several) => None,
        }
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = Vec::new();
        if let Some(arn) = self.iam_arn() {
            attributes.push(shared(key::IAM_ARN, arn));
            attributes.extend(role_name(arn).map(|role| shared(key::IAM_ROLE, &role)));
        }
        attributes.extend_from_slice(self.place.unwrap_or_default());
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKOUT: &str = "arn:aws:sts::123456789012:assumed-role/checkout/pod-7";
    const REPORTING: &str = "arn:aws:sts::123456789012:assumed-role/reporting/pod-8";

    fn role(process: &Process) -> Option<String> {
        let attributes = process.attribution(None);
        let role = attributes
            .iter()
            .find(|one| one.key.as_str() == key::IAM_ROLE)?;
        Some(role.value.to_string())
    }

    #[test]
    fn a_process_is_who_its_default_client_is() {
        let process = Process::default();
        process.tell(|known| known.verified(REPORTING, Client::Other));
        process.tell(|known| known.verified(CHECKOUT, Client::Default));
        process.tell(|known| known.verified(REPORTING, Client::Other));
        assert_eq!(role(&process).as_deref(), Some("checkout"));
        process.tell(|known| known.default = Some(REPORTING.to_owned()));
        assert_eq!(role(&process).as_deref(), Some("reporting"));
    }

    #[test]
    fn without_one_it_is_who_all_its_clients_are() {
        let process = Process::default();
        assert_eq!(role(&process), None);
        for _ in 0..2 {
            process.tell(|known| known.verified(CHECKOUT, Client::Other));
            assert_eq!(role(&process).as_deref(), Some("checkout"));
        }
        process.tell(|known| known.verified(REPORTING, Client::Other));
        assert_eq!(role(&process), None);
    }

    #[test]
    fn the_place_joins_as_soon_as_it_is_known() {
        let place: &'static [KeyValue] = vec![KeyValue::new("approzium.k8s.pod.name", "a")].leak();
        let process = Process::default();
        let nothing = process.attribution(None);
        assert!(nothing.is_empty() && Arc::ptr_eq(&nothing, &process.attribution(Some(&[]))));

        let process = Process::default();
        let before = process.tell(|known| known.verified(CHECKOUT, Client::Default));
        let after = process.attribution(Some(place));
        assert_eq!((before.len(), after.len()), (2, 3));
        assert_eq!(after[2], place[0]);
        // Nothing new: the same snapshot.
        let renewed = process.tell(|known| known.verified(CHECKOUT, Client::Default));
        assert!(Arc::ptr_eq(&after, &renewed));
        assert!(Arc::ptr_eq(&after, &process.attribution(Some(place))));
    }
}
