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

/// Before they end.
const MARGIN: Duration = Duration::from_secs(60);

/// A chain of providers has several places to ask, each with a time limit of its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// Credentials that are kept while they are good: a role is not assumed for each record.
pub(super) struct Kept {
    provider: SharedCredentialsProvider,
    kept: Arc<Mutex<Option<(Credentials, Instant)>>>,
}

impl Kept {
    pub(super) fn of(provider: SharedCredentialsProvider) -> Self {
        Kept {
            provider,
            kept: Arc::default(),
        }
    }

    /// They are provided on a task that outlives who waits for it: a chain that takes longer than a
    /// record may would else begin anew for each, and never end.
    pub(super) async fn credentials(&self) -> Result<Credentials, Unavailable> {
        let mut kept = self.kept.clone().lock_owned().await;
        if let Some((credentials, until)) = &*kept
            && Instant::now() < *until
        {
            return Ok(credentials.clone());
        }
        let provider = self.provider.clone();
        let provided = tokio::spawn(async move {
            let provided = timeout(PATIENCE, provider.provide_credentials()).await;
            let credentials = provided
                .unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(PATIENCE)))
                .map_err(|error| unavailable(&error, kept.is_some()))?;
            let left = credentials
                .expiry()
                .map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
            let good = left.map_or(UNDATED, |left| left.saturating_sub(MARGIN));
            *kept = Some((credentials.clone(), Instant::now() + good));
            Ok(credentials)
        });
        provided
            .await
            .unwrap_or_else(|error| Err(Unavailable::new(Trouble::Unreachable, error)))
    }

    /// They were not accepted: others may be there already.
    pub(super) async fn withdraw(&self) {
        if let Some((_, until)) = &mut *self.kept.lock().await {
            *until = Instant::now();
        }
    }
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
    use std::io;

    use aws_sdk_sts::error::ErrorMetadata;

    use super::*;

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
