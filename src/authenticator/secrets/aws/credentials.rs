//! The credentials that records are read with, and what it means that there are none.

use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider, error::CredentialsError},
};
use aws_sdk_sts::{
    error::ProvideErrorMetadata as _,
    operation::{
        assume_role::AssumeRoleError, assume_role_with_web_identity::AssumeRoleWithWebIdentityError,
    },
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{
    authenticator::secrets::{Trouble, Unavailable},
    error::{printable, root_cause},
};

/// Credentials that do not say when they end are asked for this often.
const UNDATED: Duration = Duration::from_secs(60);

/// Before they end others are provided, while these still serve.
const MARGIN: Duration = Duration::from_secs(60);

/// Before they end they are good for no request any more, which takes a while.
const LAST: Duration = Duration::from_secs(5);

/// Where no others could be had, or those that were had end as soon.
const AGAIN: Duration = Duration::from_secs(5);

/// A chain of providers has several places to ask, each with a time limit of its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// Credentials that are kept while they are good: a role is not assumed for each record.
pub(super) struct Kept {
    provider: SharedCredentialsProvider,
    /// Held while there are none that are good, until there are.
    kept: Arc<Mutex<Option<Held>>>,
    /// Held while others are provided in the place of those that still serve.
    renewing: Arc<Mutex<()>>,
}

struct Held {
    credentials: Credentials,
    /// Until then nobody asks for others.
    fresh_until: Instant,
    good_until: Instant,
}

impl Held {
    fn of(credentials: Credentials) -> Self {
        let now = Instant::now();
        let left = credentials
            .expiry()
            .map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        let (fresh, good) = match left {
            Some(left) => {
                let fresh = left.saturating_sub(MARGIN).max(AGAIN);
                (fresh, left.saturating_sub(LAST))
            }
            None => (UNDATED, UNDATED),
        };
        Held {
            credentials,
            fresh_until: now + fresh,
            good_until: now + good,
        }
    }
}

impl Kept {
    pub(super) fn of(provider: SharedCredentialsProvider) -> Self {
        Kept {
            provider,
            kept: Arc::default(),
            renewing: Arc::default(),
        }
    }

    /// They are provided on a task that outlives who waits for it: a chain that takes longer than a
    /// record may would else begin anew for each, and never end.
    pub(super) async fn credentials(&self) -> Result<Credentials, Unavailable> {
        let mut kept = self.kept.clone().lock_owned().await;
        let now = Instant::now();
        if let Some(held) = &mut *kept
            && now < held.good_until
        {
            if now >= held.fresh_until {
                held.fresh_until = now + AGAIN;
                self.renew();
            }
            return Ok(held.credentials.clone());
        }
        let provider = self.provider.clone();
        let provided = tokio::spawn(async move {
            let credentials = provide(&provider)
                .await
                .map_err(|error| unavailable(&error, kept.is_some()))?;
            *kept = Some(Held::of(credentials.clone()));
            Ok(credentials)
        });
        provided
            .await
            .unwrap_or_else(|error| Err(Unavailable::new(Trouble::Unreachable, error)))
    }

    /// Nobody waits for it: a service of credentials that is slow, or away for a moment, is noticed by
    /// nobody while those of before are good.
    fn renew(&self) {
        let Ok(renewing) = self.renewing.clone().try_lock_owned() else {
            return;
        };
        let (provider, kept) = (self.provider.clone(), self.kept.clone());
        tokio::spawn(async move {
            let _renewing = renewing;
            match provide(&provider).await {
                Ok(credentials) => *kept.lock().await = Some(Held::of(credentials)),
                Err(error) => {
                    let unavailable = unavailable(&error, true);
                    let detail = printable(&unavailable.to_string());
                    ::tracing::warn!(
                        trouble = ?unavailable.trouble,
                        ?detail,
                        "the AWS credentials end soon, and there are no others",
                    );
                }
            }
        });
    }

    /// These were not accepted: others may be there already, or kept by now.
    pub(super) async fn withdraw(&self, refused: &Credentials) {
        if let Some(held) = &mut *self.kept.lock().await
            && held.credentials.access_key_id() == refused.access_key_id()
        {
            held.good_until = Instant::now();
        }
    }
}

async fn provide(provider: &SharedCredentialsProvider) -> Result<Credentials, CredentialsError> {
    let provided = timeout(PATIENCE, provider.provide_credentials()).await;
    provided.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(PATIENCE)))
}

/// In words: the Debug of such an error shows the answers of credential services.
fn unavailable(error: &CredentialsError, had_some: bool) -> Unavailable {
    let why = printable(&root_cause(error));
    Unavailable::new(
        trouble(error, had_some),
        format!("no AWS credentials: {why}"),
    )
}

fn trouble(error: &CredentialsError, had_some: bool) -> Trouble {
    match error {
        CredentialsError::ProviderTimedOut(_) => Trouble::Slow,
        CredentialsError::InvalidConfiguration(_) => Trouble::Refused,
        // The chain counts an instance metadata service that does not answer as one that is not
        // there. Whoever has had credentials knows better.
        CredentialsError::CredentialsNotLoaded(_) if !had_some => Trouble::Refused,
        _ => refusal(error).unwrap_or(Trouble::Unreachable),
    }
}

/// What STS answered, if it was asked for a role and did answer.
fn refusal(error: &CredentialsError) -> Option<Trouble> {
    let mut next = error.source();
    while let Some(cause) = next {
        let role = cause.downcast_ref::<AssumeRoleError>();
        let web_identity = cause.downcast_ref::<AssumeRoleWithWebIdentityError>();
        let code = role
            .and_then(|error| error.code())
            .or_else(|| web_identity.and_then(|error| error.code()));
        if let Some(code) = code {
            return Some(by_code(code));
        }
        next = cause.source();
    }
    None
}

fn by_code(code: &str) -> Trouble {
    match code {
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" => Trouble::Throttled,
        "InternalFailure" | "InternalError" | "ServiceUnavailable" | "IDPCommunicationError" => {
            Trouble::Unreachable
        }
        _ => Trouble::Refused,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use aws_credential_types::credential_fn::provide_credentials_fn;
    use aws_sdk_sts::error::ErrorMetadata;
    use tokio::sync::Notify;

    use super::*;

    /// Ends in as many seconds.
    fn ending_in(key: &str, seconds: u64) -> Credentials {
        let end = SystemTime::now() + Duration::from_secs(seconds);
        Credentials::new(key, "x", None, Some(end), "test")
    }

    #[tokio::test(start_paused = true)]
    async fn in_their_last_minute_credentials_serve_while_others_are_provided() {
        let asked = Arc::new(AtomicUsize::new(0));
        let (counted, release) = (asked.clone(), Arc::new(Notify::new()));
        let released = release.clone();
        let provider = provide_credentials_fn(move || {
            let (number, released) = (counted.fetch_add(1, Ordering::SeqCst), released.clone());
            async move {
                match number {
                    0 => return Ok(ending_in("first", 30)),
                    1 => return Err(CredentialsError::provider_error("503")),
                    _ => released.notified().await,
                }
                Ok(ending_in("second", 3600))
            }
        });
        let kept = Kept::of(SharedCredentialsProvider::new(provider));
        let key = async || {
            let credentials = kept.credentials().await.unwrap();
            credentials.access_key_id().to_owned()
        };
        // Nobody waits, whether there are others, none, or who has them is slow.
        for _ in 0..4 {
            assert_eq!(key().await, "first");
            assert_eq!(key().await, "first");
            tokio::time::advance(AGAIN).await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        release.notify_one();
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(key().await, "second");
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_or_was_not_accepted_is_given_to_nobody() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let provider = provide_credentials_fn(move || {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok(ending_in(&number.to_string(), 30)) }
        });
        let kept = Kept::of(SharedCredentialsProvider::new(provider));
        let key = async || {
            let credentials = kept.credentials().await.unwrap();
            credentials.access_key_id().to_owned()
        };
        assert_eq!(key().await, "0");
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(key().await, "1");
        kept.withdraw(&ending_in("1", 30)).await;
        assert_eq!(key().await, "2");
        // Somebody else was refused with those of before, and says so late.
        kept.withdraw(&ending_in("1", 30)).await;
        assert_eq!(key().await, "2");
    }

    #[test]
    fn what_may_be_gone_a_moment_later_is_told_apart() {
        let role = |code: &str| {
            let metadata = ErrorMetadata::builder().code(code).build();
            CredentialsError::provider_error(AssumeRoleError::generic(metadata))
        };
        let web_identity = |code: &str| {
            let metadata = ErrorMetadata::builder().code(code).build();
            CredentialsError::provider_error(AssumeRoleWithWebIdentityError::generic(metadata))
        };
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        for (error, expected) in [
            (
                CredentialsError::provider_timed_out(PATIENCE),
                Trouble::Slow,
            ),
            (
                CredentialsError::provider_error(reset()),
                Trouble::Unreachable,
            ),
            (CredentialsError::unhandled(reset()), Trouble::Unreachable),
            (role("AccessDenied"), Trouble::Refused),
            (web_identity("InvalidIdentityToken"), Trouble::Refused),
            (role("Throttling"), Trouble::Throttled),
            (web_identity("IDPCommunicationError"), Trouble::Unreachable),
            (
                CredentialsError::invalid_configuration("x"),
                Trouble::Refused,
            ),
        ] {
            assert_eq!(trouble(&error, false), expected, "{error:?}");
        }
        let none = CredentialsError::not_loaded("x");
        assert_eq!(trouble(&none, false), Trouble::Refused);
        assert_eq!(trouble(&none, true), Trouble::Unreachable);
    }
}
