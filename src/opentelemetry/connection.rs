//! What every span of one connection says alike.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use ::opentelemetry::{KeyValue, Value};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

use super::{
    attributes as key,
    instrumentation::{self, Instrumentation},
    metrics::OpenConnection,
};
use crate::{attribution, identity::role_name, tracing::query::wants_events};

/// At most this many attribution attributes on a span.
const ATTRIBUTION_LIMIT: usize = 12;

/// The static attributes of one connection's spans, made once and shared.
///
/// The values are reference-counted, so that a span copies them without allocating.
#[derive(Debug)]
pub(crate) struct ConnectionInfo {
    /// The server first, then the identity.
    attributes: Vec<KeyValue>,
    /// How many of `attributes` are the server's names, without the address that was dialled.
    names: usize,
    /// How many of `attributes` are attribution.
    attribution: usize,
    /// `attributes` and the place, once the place is known.
    complete: OnceLock<Vec<KeyValue>>,
    /// The client's own.
    instrumentation: Option<Arc<Instrumentation>>,
    /// Counted as open until its client is dropped, else until the last who knows it is.
    open: OnceLock<Arc<OpenConnection>>,
}

/// The database server of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server<'a> {
    /// The host as the application configured it; the directory of a Unix socket.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// The address that was dialled, if it is one of TCP.
    pub(crate) peer: Option<SocketAddr>,
    /// The database at connect, empty if it is not known.
    pub(crate) database: &'a str,
    /// The first schema of the search path, if the application configured one: a later
    /// `SET search_path` does not change the spans.
    pub(crate) schema: Option<&'a str>,
}

/// Who connected, as the Authenticator verified it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity<'a> {
    /// Whether the Authenticator let this connection in.
    pub(crate) authenticated: bool,
    pub(crate) iam_arn: Option<&'a str>,
    pub(crate) authenticator_address: Option<&'a str>,
    pub(crate) request_id: Option<&'a str>,
    /// Connections that the `AuthClient` had made, this one among them, once it is made.
    pub(crate) num_connections: Option<u64>,
}

impl ConnectionInfo {
    /// A connection to PostgreSQL; `instrumentation` is its client's own.
    pub(crate) fn postgresql(
        server: &Server<'_>,
        identity: &Identity<'_>,
        instrumentation: Option<Arc<Instrumentation>>,
    ) -> Arc<Self> {
        let mut attributes = server.names();
        let names = attributes.len();
        attributes.extend(server.peer.into_iter().flat_map(peer));
        let identity = identity.attributes();
        let attribution = identity.len();
        attributes.extend(identity);
        Arc::new(ConnectionInfo {
            attributes,
            names,
            attribution,
            complete: OnceLock::new(),
            instrumentation,
            open: OnceLock::new(),
        })
    }

    /// Says more attribution in place of the place, as far as there is room: for who holds this
    /// already, too. Not once a span has been made of it.
    pub(crate) fn extend(&self, attribution: Vec<KeyValue>) {
        let _ = self.complete.set(self.with(attribution));
    }

    /// What an operation that begins now reports; None: nothing.
    #[inline]
    pub(crate) fn settings(&self) -> Option<Arc<Instrumentation>> {
        instrumentation::effective(self.instrumentation.as_ref())
    }

    /// Whether an operation that begins now has a use for its description.
    #[inline]
    pub(crate) fn wants_descriptions(&self) -> bool {
        self.instrumentation.is_some() || instrumentation::is_enabled() || wants_events()
    }

    /// Who ran what this connection runs, and where: the `approzium.` attributes, at most twelve.
    pub(crate) fn attribution(&self) -> &[KeyValue] {
        let of_server = self.attributes.len() - self.attribution;
        self.attributes().get(of_server..).unwrap_or_default()
    }

    /// It is open, and counted from now on.
    pub(super) fn opened(&self, open: OpenConnection) {
        // A connection opens once.
        let _ = self.open.set(Arc::new(open));
    }

    /// Its client is dropped: it is counted as open no more.
    pub(crate) fn ended(&self) {
        if let Some(open) = self.open.get() {
            open.end();
        }
    }

    /// The server's names: those of its attributes that are fit for metrics.
    pub(super) fn server(&self) -> &[KeyValue] {
        self.attributes.get(..self.names).unwrap_or_default()
    }

    /// Every attribute that this connection's spans share.
    ///
    /// The place is found out beside the connect: spans have it as soon as it is known.
    pub(crate) fn attributes(&self) -> &[KeyValue] {
        if let Some(complete) = self.complete.get() {
            return complete;
        }
        match place() {
            None => &self.attributes,
            Some(place) => self.complete.get_or_init(|| self.with(place.to_vec())),
        }
    }

    fn with(&self, place: Vec<KeyValue>) -> Vec<KeyValue> {
        let mut complete = self.attributes.clone();
        let room = ATTRIBUTION_LIMIT.saturating_sub(self.attribution);
        let unknown = place
            .into_iter()
            .filter(|new| !self.attributes.iter().any(|known| known.key == new.key))
            .take(room);
        complete.extend(unknown);
        complete
    }
}

impl Server<'_> {
    pub(super) fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = self.names();
        attributes.extend(self.peer.into_iter().flat_map(peer));
        attributes
    }

    /// PostgreSQL's port is left out when it is 5432, as the conventions ask.
    fn names(&self) -> Vec<KeyValue> {
        const DEFAULT_PORT: u16 = 5432;
        let mut attributes = Vec::with_capacity(6);
        attributes.push(KeyValue::new(key::DB_SYSTEM_NAME, "postgresql"));
        let namespace = self.namespace();
        attributes.extend(namespace.map(|namespace| shared(key::DB_NAMESPACE, &namespace)));
        attributes.push(shared(key::SERVER_ADDRESS, self.host));
        if self.port != DEFAULT_PORT {
            attributes.push(KeyValue::new(key::SERVER_PORT, i64::from(self.port)));
        }
        attributes
    }

    /// `{database}` or `{database}|{schema}`.
    pub(super) fn namespace(&self) -> Option<Cow<'_, str>> {
        match self.schema {
            _ if self.database.is_empty() => None,
            Some(schema) => Some(Cow::Owned(format!("{}|{schema}", self.database))),
            None => Some(Cow::Borrowed(self.database)),
        }
    }
}

impl Identity<'_> {
    pub(super) fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = vec![KeyValue::new(key::AUTHENTICATED, self.authenticated)];
        if let Some(arn) = self.iam_arn {
            attributes.push(shared(key::IAM_ARN, arn));
            if let Some(role) = role_name(arn) {
                attributes.push(shared(key::IAM_ROLE, &role));
            }
        }
        if let Some(address) = self.authenticator_address {
            attributes.push(shared(key::AUTHENTICATOR_ADDRESS, address));
        }
        if let Some(request_id) = self.request_id {
            attributes.push(shared(key::REQUEST_ID, request_id));
        }
        attributes.extend(self.num_connections.map(connection_number));
        attributes
    }
}

pub(super) fn peer(address: SocketAddr) -> [KeyValue; 2] {
    [
        shared(key::NETWORK_PEER_ADDRESS, &address.ip().to_string()),
        KeyValue::new(key::NETWORK_PEER_PORT, i64::from(address.port())),
    ]
}

/// A value that copies by counting references.
pub(super) fn shared(key: &'static str, value: &str) -> KeyValue {
    KeyValue::new(key, Value::from(Arc::<str>::from(value)))
}

/// Connections that the `AuthClient` had made, this one among them.
pub(super) fn connection_number(number: u64) -> KeyValue {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    KeyValue::new(key::NUM_CONNECTIONS, number)
}

/// The pod, task or instance, if that is known by now; if not, it is being found out.
pub(super) fn place() -> Option<&'static [KeyValue]> {
    let known = attribution::place();
    if known.is_none() {
        find_place();
    }
    known
}

/// Waits until spans can say where they come from, so that a connection's first query says it too.
///
/// It was begun with the connect, and takes no longer than attribution's own budget: this costs the
/// first connect of a process at most that, and the others nothing.
pub(super) async fn place_known(deadline: Instant) {
    if attribution::place().is_none() {
        // Late is no failure: later spans have it.
        let _ = timeout_at(deadline, attribution::place_known()).await;
    }
}

/// Finds out beside everything else what this process runs on, once.
pub(super) fn find_place() {
    static BEGUN: AtomicBool = AtomicBool::new(false);

    /// A runtime may end before it is found out: then somebody else begins anew.
    struct Begun;

    impl Drop for Begun {
        fn drop(&mut self) {
            BEGUN.store(attribution::place().is_some(), Ordering::Relaxed);
        }
    }

    if let Ok(runtime) = Handle::try_current()
        && !BEGUN.swap(true, Ordering::Relaxed)
    {
        let begun = Begun;
        runtime.spawn(async move {
            attribution::current().await;
            drop(begun);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server<'static> {
        Server {
            host: "db.example",
            port: 5433,
            peer: Some(([127, 0, 0, 1], 5433).into()),
            database: "shop",
            schema: None,
        }
    }

    fn value(attributes: &[KeyValue], key: &str) -> Option<String> {
        let found = attributes.iter().find(|one| one.key.as_str() == key)?;
        Some(found.value.to_string())
    }

    #[test]
    fn the_server_is_named_as_the_conventions_ask() {
        let attributes = server().attributes();
        for (key, expected) in [
            ("db.system.name", "postgresql"),
            ("db.namespace", "shop"),
            ("server.address", "db.example"),
            ("server.port", "5433"),
            ("network.peer.address", "127.0.0.1"),
            ("network.peer.port", "5433"),
        ] {
            assert_eq!(value(&attributes, key).as_deref(), Some(expected), "{key}");
        }
        let default = Server {
            port: 5432,
            peer: None,
            schema: Some("sales"),
            ..server()
        };
        let attributes = default.attributes();
        assert_eq!(value(&attributes, "server.port"), None);
        assert_eq!(value(&attributes, "network.peer.address"), None);
        assert_eq!(
            value(&attributes, "db.namespace").as_deref(),
            Some("shop|sales")
        );
        let unknown = Server {
            database: "",
            ..default
        };
        assert_eq!(value(&unknown.attributes(), "db.namespace"), None);
    }

    #[test]
    fn the_role_is_the_name_without_path_or_session() {
        for (arn, expected) in [
            (
                "arn:aws:sts::123456789012:assumed-role/checkout/i-0abc",
                Some("checkout"),
            ),
            (
                "arn:aws:iam::123456789012:role/team/checkout",
                Some("checkout"),
            ),
            ("arn:aws:iam::123456789012:user/ada", None),
            ("nonsense", None),
        ] {
            assert_eq!(role_name(arn).as_deref(), expected, "{arn}");
        }
    }

    #[test]
    fn attribution_is_bounded_and_what_was_verified_wins() {
        let identity = Identity {
            authenticated: true,
            iam_arn: Some("arn:aws:sts::123456789012:assumed-role/checkout/i-0abc"),
            authenticator_address: Some("authenticator.example:6000"),
            request_id: Some("7f"),
            num_connections: Some(3),
        };
        let info = ConnectionInfo::postgresql(&server(), &identity, None);
        let mut place = vec![KeyValue::new("approzium.iam_arn", "another")];
        place.extend((0..40).map(|n| KeyValue::new(format!("approzium.place.{n}"), n)));
        let complete = info.with(place);
        let attribution: Vec<_> = complete
            .iter()
            .filter(|one| one.key.as_str().starts_with("approzium."))
            .collect();
        assert_eq!(attribution.len(), ATTRIBUTION_LIMIT);
        assert_eq!(
            value(&complete, "approzium.iam_arn").as_deref(),
            identity.iam_arn
        );
        assert_eq!(
            value(&complete, "approzium.iam_role").as_deref(),
            Some("checkout")
        );
    }
}
