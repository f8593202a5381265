//! Who this process is and where it runs, for what no connection stands behind: the application's
//! own log lines, and spans that others make.

use std::sync::{
    Arc, LazyLock, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use ::opentelemetry::KeyValue;

use super::{
    attributes as key,
    connection::{place, shared},
};
use crate::identity::{Arn, role_name};

static PROCESS: LazyLock<Process> = LazyLock::new(Process::default);

/// `approzium.iam_arn` and `approzium.iam_role`, as far as an Authenticator has verified them, and
/// the place, as far as it is known.
///
/// The identity is the default client's; without one, it is what all clients have in common, be it
/// the role alone. A snapshot, made anew only when more is known: it waits for nobody.
#[cfg_attr(
    not(any(feature = "resource", feature = "tracing")),
    allow(dead_code, reason = "only lines and spans of others ask")
)]
pub(crate) fn process_attribution() -> Arc<Vec<KeyValue>> {
    PROCESS.attribution(place())
}

/// One client's part in who this process is: until it goes, and beyond if it was the last.
#[derive(Debug)]
pub(crate) struct Client {
    number: u64,
    process: &'static Process,
}

impl Client {
    pub(crate) fn new() -> Self {
        Client::of(&PROCESS)
    }

    fn of(process: &'static Process) -> Self {
        let number = process.clients.fetch_add(1, Ordering::Relaxed);
        Client { number, process }
    }

    /// An Authenticator has verified who the client is, for the first time or anew.
    pub(crate) fn verified(&self, iam_arn: &str) {
        let verified = Verified {
            client: Some(self.number),
            iam_arn: iam_arn.to_owned(),
        };
        self.process.tell(|known| known.verified(verified));
    }

    /// The client is the default one from now on.
    pub(crate) fn is_default(&self) {
        let number = self.number;
        self.process.tell(|known| known.default = Some(number));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.process.tell(|known| known.gone(self.number));
    }
}

#[derive(Debug, Default)]
struct Process {
    clients: AtomicU64,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    default: Option<u64>,
    /// The last word of each client that there is; of the last client, when there is none left.
    verified: Vec<Verified>,
    place: Option<&'static [KeyValue]>,
    attributes: Arc<Vec<KeyValue>>,
}

#[derive(Debug)]
struct Verified {
    /// None: the client is gone, and it was the last.
    client: Option<u64>,
    iam_arn: String,
}

impl Process {
    fn attribution(&self, place: Option<&'static [KeyValue]>) -> Arc<Vec<KeyValue>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() || known.place.is_some() {
            return Arc::clone(&known.attributes);
        }
        drop(known);
        self.tell(|known| known.place = place)
    }

    fn tell(&self, what: impl FnOnce(&mut Known)) -> Arc<Vec<KeyValue>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
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
    fn verified(&mut self, now: Verified) {
        self.verified
            .retain(|one| one.client.is_some_and(|client| Some(client) != now.client));
        self.verified.push(now);
    }

    fn gone(&mut self, client: u64) {
        match self.verified.as_mut_slice() {
            [last] if last.client == Some(client) => last.client = None,
            _ => self.verified.retain(|one| one.client != Some(client)),
        }
    }

    fn identity(&self) -> Vec<KeyValue> {
        let arn_and_role = |arn: &str| {
            let role = role_name(arn).map(|role| shared(key::IAM_ROLE, &role));
            [shared(key::IAM_ARN, arn)]
                .into_iter()
                .chain(role)
                .collect()
        };
        let is_default = |one: &&Verified| one.client.is_some() && one.client == self.default;
        if let Some(default) = self.verified.iter().find(is_default) {
            return arn_and_role(&default.iam_arn);
        }
        let Some((first, others)) = self.verified.split_first() else {
            return Vec::new();
        };
        if others.iter().all(|one| one.iam_arn == first.iam_arn) {
            return arn_and_role(&first.iam_arn);
        }
        // Sessions of one role differ in their names only.
        match role_of_account(&first.iam_arn) {
            Some(role)
                if others
                    .iter()
                    .all(|one| role_of_account(&one.iam_arn).as_ref() == Some(&role)) =>
            {
                vec![shared(key::IAM_ROLE, &role.1)]
            }
            _ => Vec::new(),
        }
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = self.identity();
        attributes.extend_from_slice(self.place.unwrap_or_default());
        attributes
    }
}

fn role_of_account(iam_arn: &str) -> Option<(String, String)> {
    let arn = Arn::parse(iam_arn).ok()?;
    Some((arn.account().to_owned(), arn.role_name()?.to_owned()))
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

    fn process() -> &'static Process {
        Box::leak(Box::default())
    }

    #[test]
    fn a_process_is_who_its_default_client_is() {
        let process = process();
        let (reporting, checkout) = (Client::of(process), Client::of(process));
        reporting.verified(REPORTING);
        checkout.is_default();
        assert_eq!(role(process).as_deref(), Some("reporting"));
        checkout.verified(CHECKOUT);
        reporting.verified(REPORTING);
        assert_eq!(role(process).as_deref(), Some("checkout"));
        reporting.is_default();
        assert_eq!(role(process).as_deref(), Some("reporting"));
    }

    #[test]
    fn without_one_it_is_who_all_its_clients_are() {
        let process = process();
        assert_eq!(role(process), None);
        let (one, another, third) = (
            Client::of(process),
            Client::of(process),
            Client::of(process),
        );
        for client in [&one, &another, &one] {
            client.verified(CHECKOUT);
            assert_eq!(role(process).as_deref(), Some("checkout"));
        }
        third.verified(REPORTING);
        assert_eq!(role(process), None);
        // One that is gone has no say, unless nobody else has.
        drop(third);
        assert_eq!(role(process).as_deref(), Some("checkout"));
        drop((one, another));
        assert_eq!(role(process).as_deref(), Some("checkout"));
        let next = Client::of(process);
        assert_eq!(role(process).as_deref(), Some("checkout"));
        next.verified(REPORTING);
        assert_eq!(role(process).as_deref(), Some("reporting"));
    }

    #[test]
    fn renewed_credentials_are_another_session_of_the_same_client() {
        let process = process();
        let arn = |session| format!("arn:aws:sts::123456789012:assumed-role/checkout/{session}");
        let all = || {
            let attributes = process.attribution(None);
            let values = attributes.iter().map(|one| one.value.to_string());
            values.collect::<Vec<_>>()
        };
        let client = Client::of(process);
        for session in ["1764500000", "1764503600"] {
            client.verified(&arn(session));
            assert_eq!(all(), [arn(session), "checkout".to_owned()]);
        }
        // Of two clients with a session each, the role is what can be said.
        let another = Client::of(process);
        another.verified(&arn("1764507200"));
        assert_eq!(all(), ["checkout"]);
        another.verified("arn:aws:sts::999999999999:assumed-role/checkout/1764507200");
        assert!(all().is_empty());
    }

    #[test]
    fn the_place_joins_as_soon_as_it_is_known() {
        let place: &'static [KeyValue] = vec![KeyValue::new("approzium.k8s.pod.name", "a")].leak();
        let nowhere = process();
        let nothing = nowhere.attribution(None);
        assert!(nothing.is_empty() && Arc::ptr_eq(&nothing, &nowhere.attribution(Some(&[]))));

        let process = process();
        let client = Client::of(process);
        client.verified(CHECKOUT);
        let before = process.attribution(None);
        let after = process.attribution(Some(place));
        assert_eq!((before.len(), after.len()), (2, 3));
        assert_eq!(after[2], place[0]);
        // Nothing new: the same snapshot.
        client.verified(CHECKOUT);
        assert!(Arc::ptr_eq(&after, &process.attribution(Some(place))));
    }
}
