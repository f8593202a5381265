//! The instruments, made once for each meter provider.

use std::{
    borrow::Cow,
    fmt, mem, slice,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use ::opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter, MeterProvider, UpDownCounter},
};

use super::{
    closed_set::ClosedSet,
    names,
    unrecorded::{Measurement, Unrecorded},
};
use crate::{
    error::{Error, Hop, Kind},
    opentelemetry::{
        attributes as key, connection::ConnectionInfo, failure::Failure, instrumentation::scope,
        sql::Description,
    },
};

/// Seconds, as the conventions advise for operations.
const OPERATION_BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Seconds that connections live: from one for each request to one for each release.
const LIFE_BUCKETS: [f64; 9] = [
    0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0,
];

/// Rows, as the conventions advise.
const ROW_BUCKETS: [f64; 13] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0,
];

const UNAUTHENTICATED: &str = "unauthenticated";
const PERMISSION_DENIED: &str = "permission_denied";
const CLIENT_POLICY: &str = "client_policy";
const POLICY: &str = "policy";
const RESOURCE_EXHAUSTED: &str = "resource_exhausted";

/// Why a connect may be denied.
const DENIALS: [&str; 5] = [
    UNAUTHENTICATED,
    PERMISSION_DENIED,
    CLIENT_POLICY,
    POLICY,
    RESOURCE_EXHAUSTED,
];

type Provider = Arc<dyn MeterProvider + Send + Sync>;

/// Those of the global provider that was there last.
static GLOBAL: RwLock<Option<(Provider, Arc<Instruments>)>> = RwLock::new(None);

/// What measures, for one meter provider.
pub(in crate::opentelemetry) struct Instruments {
    operation_duration: Histogram<f64>,
    returned_rows: Histogram<u64>,
    pub(super) connection_count: UpDownCounter<i64>,
    pub(super) create_time: Histogram<f64>,
    pub(super) wait_time: Histogram<f64>,
    pub(super) use_time: Histogram<f64>,
    phase_duration: Histogram<f64>,
    session_renewals: Counter<u64>,
    denials: Counter<u64>,
    without_parent: Counter<u64>,
    operations: ClosedSet,
    collections: ClosedSet,
    sqlstates: ClosedSet,
    /// Of operations that have ended.
    unrecorded: Unrecorded,
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::opentelemetry) enum Outcome {
    Ok,
    Error,
    Cancelled,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
            Outcome::Cancelled => "cancelled",
        }
    }
}

impl Instruments {
    pub(in crate::opentelemetry) fn of(provider: &(impl MeterProvider + ?Sized)) -> Arc<Self> {
        let meter = provider.meter_with_scope(scope());
        let instruments = Arc::new(Instruments::new(&meter));
        instruments.begin_at_zero();
        let collected = Arc::downgrade(&instruments);
        let version = KeyValue::new(names::VERSION, env!("CARGO_PKG_VERSION"));
        // Callbacks are called before what was recorded is read.
        meter
            .u64_observable_gauge(names::CLIENT_INFO)
            .with_description("1, with the version of the library.")
            .with_callback(move |observer| {
                if let Some(instruments) = collected.upgrade() {
                    instruments.record();
                }
                observer.observe(1, slice::from_ref(&version));
            })
            .build();
        instruments
    }

    /// A counter that appears with its first event has no zero before it: of that event neither
    /// `rate` nor `increase` of Prometheus tells.
    fn begin_at_zero(&self) {
        for outcome in [Outcome::Ok, Outcome::Error] {
            self.count_session_renewal(outcome, 0);
        }
        for reason in DENIALS {
            self.denials.add(0, &[KeyValue::new(names::REASON, reason)]);
        }
        self.without_parent.add(0, &[]);
    }

    /// Those of this moment's global provider. A meter stays with the provider that it came from:
    /// they are made anew when another one is installed.
    pub(in crate::opentelemetry) fn of_global() -> Arc<Self> {
        let provider = global::meter_provider();
        {
            let made = GLOBAL.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((of, instruments)) = &*made
                && std::ptr::addr_eq(Arc::as_ptr(of), Arc::as_ptr(&provider))
            {
                return Arc::clone(instruments);
            }
        }
        let instruments = Instruments::of(&*provider);
        // It is held, so that no other can come to its address.
        let made = Some((provider, Arc::clone(&instruments)));
        let before = {
            let mut global = GLOBAL.write().unwrap_or_else(PoisonError::into_inner);
            mem::replace(&mut *global, made)
        };
        // The last clone of a provider shuts it down: not within the lock.
        drop(before);
        instruments
    }

    fn new(meter: &Meter) -> Self {
        let seconds_within = |buckets: &[f64], name, description| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description)
                .with_boundaries(buckets.to_vec())
                .build()
        };
        let seconds = |name, description| seconds_within(&OPERATION_BUCKETS, name, description);
        let counter = |name, unit, description| {
            meter
                .u64_counter(name)
                .with_unit(unit)
                .with_description(description)
                .build()
        };
        Instruments {
            operation_duration: seconds(
                names::OPERATION_DURATION,
                "Duration of database client operations.",
            ),
            returned_rows: meter
                .u64_histogram(names::RETURNED_ROWS)
                .with_unit("{row}")
                .with_description("Rows that operations returned.")
                .with_boundaries(ROW_BUCKETS.to_vec())
                .build(),
            connection_count: meter
                .i64_up_down_counter(names::CONNECTION_COUNT)
                .with_unit("{connection}")
                .with_description("Connections that are open.")
                .build(),
            create_time: seconds(
                names::CONNECTION_CREATE_TIME,
                "Time to make a connection to the host that answered.",
            ),
            wait_time: seconds(
                names::CONNECTION_WAIT_TIME,
                "Time that was waited for a connection, all hosts together.",
            ),
            use_time: seconds_within(
                &LIFE_BUCKETS,
                names::CONNECTION_USE_TIME,
                "Time that connections lived.",
            ),
            phase_duration: seconds(
                names::PHASE_DURATION,
                "Duration of the phases of connecting: dial, tls, startup, session, challenge, database.",
            ),
            session_renewals: counter(
                names::SESSION_RENEWALS,
                "{session}",
                "Proofs of identity: the first, and each renewal.",
            ),
            denials: counter(
                names::DENIALS,
                "{connect}",
                "Connects that were denied, by what was said.",
            ),
            without_parent: counter(
                names::SPANS_WITHOUT_PARENT,
                "{span}",
                "Queries whose caller is not known.",
            ),
            operations: ClosedSet::of(64),
            collections: ClosedSet::of(256),
            sqlstates: ClosedSet::of(64),
            unrecorded: Unrecorded::default(),
        }
    }

    /// What the measurements of an operation are labelled with, as far as it is known before its end.
    pub(in crate::opentelemetry) fn labels(
        &self,
        connection: &ConnectionInfo,
        description: &Description,
    ) -> Vec<KeyValue> {
        const OF_THE_OPERATION: usize = 4;
        let of_server = connection.server();
        let mut labels = Vec::with_capacity(of_server.len() + OF_THE_OPERATION);
        labels.extend_from_slice(of_server);
        labels.extend(description.operation_name(|name| self.operations.admits(name)));
        labels.extend(description.collection_name(|name| self.collections.admits(name)));
        labels
    }

    /// An operation ended, which has these [`labels`](Self::labels). It is [recorded](Self::record)
    /// later.
    pub(in crate::opentelemetry) fn operation(
        &self,
        mut labels: Vec<KeyValue>,
        failure: Option<&Failure>,
        took: Duration,
        returned_rows: Option<u64>,
    ) {
        if let Some(failure) = failure {
            labels.extend(self.error_labels(failure));
        }
        let has_room = self.unrecorded.push(Measurement {
            labels,
            took,
            returned_rows,
        });
        if !has_room {
            self.record();
        }
    }

    /// Records the operations that have ended, if there are enough of them to be worth it.
    pub(in crate::opentelemetry) fn record_many(&self) {
        if self.unrecorded.are_many() {
            self.record();
        }
    }

    /// Records the operations that have ended.
    pub(in crate::opentelemetry) fn record(&self) {
        self.unrecorded.drain(|measurement| {
            let Measurement {
                labels,
                took,
                returned_rows,
            } = measurement;
            self.operation_duration.record(took.as_secs_f64(), &labels);
            if let Some(returned_rows) = returned_rows {
                self.returned_rows.record(returned_rows, &labels);
            }
        });
    }

    /// A phase of a connect ended.
    pub(in crate::opentelemetry) fn phase(
        &self,
        phase: &'static str,
        outcome: Outcome,
        took: Duration,
    ) {
        let labels = [
            KeyValue::new(names::PHASE, phase),
            KeyValue::new(names::OUTCOME, outcome.as_str()),
        ];
        self.phase_duration.record(took.as_secs_f64(), &labels);
    }

    /// The identity was proved, or not.
    pub(in crate::opentelemetry) fn session_renewal(&self, outcome: Outcome) {
        self.count_session_renewal(outcome, 1);
    }

    fn count_session_renewal(&self, outcome: Outcome, count: u64) {
        let label = KeyValue::new(names::OUTCOME, outcome.as_str());
        self.session_renewals.add(count, &[label]);
    }

    /// A connect failed: counted if somebody said no, the application's own settings included.
    pub(in crate::opentelemetry) fn denial(&self, error: &Error) {
        let reason = match error.kind() {
            Kind::Unauthenticated => UNAUTHENTICATED,
            Kind::PermissionDenied => PERMISSION_DENIED,
            // No Authenticator decided this: the database asked for what is not wanted here.
            Kind::Policy if error.hop() == Hop::DatabaseLogin => CLIENT_POLICY,
            Kind::Policy => POLICY,
            Kind::ResourceExhausted => RESOURCE_EXHAUSTED,
            _ => return,
        };
        self.denials.add(1, &[KeyValue::new(names::REASON, reason)]);
    }

    /// A query began without a parent.
    pub(in crate::opentelemetry) fn without_parent(&self) {
        self.without_parent.add(1, &[]);
    }

    /// Of a SQLSTATE only its form is known here: it is the database that wrote it.
    fn error_labels(&self, failure: &Failure) -> impl Iterator<Item = KeyValue> + use<> {
        let is_sqlstate = |code: &str| {
            let letters = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
            code.len() == 5 && code.bytes().all(letters)
        };
        let code = failure
            .status_code
            .as_ref()
            .filter(|code| is_sqlstate(code) && self.sqlstates.admits(code));
        let error_type = match (&failure.error_type, code) {
            (Cow::Borrowed(word), _) => Cow::Borrowed(*word),
            (Cow::Owned(_), Some(code)) => Cow::Owned(code.clone()),
            (Cow::Owned(_), None) => Cow::Borrowed(key::OTHER),
        };
        let status_code =
            code.map(|code| KeyValue::new(key::DB_RESPONSE_STATUS_CODE, code.clone()));
        [KeyValue::new(key::ERROR_TYPE, error_type)]
            .into_iter()
            .chain(status_code)
    }
}

impl Drop for Instruments {
    fn drop(&mut self) {
        self.record();
    }
}

impl fmt::Debug for Instruments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instruments")
    }
}
