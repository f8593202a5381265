//! The stand-in STS: who it knows, and its HTTP server.

use std::{
    collections::HashMap,
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, Uri};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use super::{
    DevIdentity, DevVerifier,
    answer::{self, AssumedRole, StsError},
    authorization,
    keys::{Keys, random_id},
};
use crate::identity::{Principal, VerifiedIdentity, aws::STAND_IN_ACCOUNT};

/// A stand-in for STS, with the identities that it knows. It ends when dropped.
///
/// - `checkout` and `reporting`: two roles, for two applications;
/// - `intruder`: a role for which no record is meant to be written;
/// - `developer`: a user, who alone may assume each of the three, under a session name of his
///   choice.
pub struct DevSts {
    address: SocketAddr,
    directory: Arc<Directory>,
    identities: Vec<DevIdentity>,
    _server: AbortOnDropHandle<()>,
}

const USER: &str = "developer";
const ROLES: [&str; 3] = ["checkout", "reporting", "intruder"];

impl DevSts {
    /// Makes the keys and begins to answer at a loopback address; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address is not loopback or is taken, or if there is no randomness to be had.
    pub async fn start(address: SocketAddr) -> io::Result<DevSts> {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the stand-in STS answers on loopback only",
            ));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;

        let directory = Arc::new(Directory::new()?);
        let mut identities = Vec::new();
        for role in ROLES {
            identities.push(directory.assume(role, "dev", None)?);
        }
        identities.push(directory.keys.add_user(USER)?);

        let router = Router::new()
            .route("/", post(serve))
            .layer(DefaultBodyLimit::max(16 * 1024))
            .with_state(Arc::clone(&directory));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                ::tracing::error!(%error, "the stand-in STS has ended");
            }
        });
        Ok(DevSts {
            address,
            directory,
            identities,
            _server: AbortOnDropHandle::new(server),
        })
    }

    /// What to set `AWS_ENDPOINT_URL_STS` to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The identities that were made at the start: the roles, then the user.
    pub fn identities(&self) -> &[DevIdentity] {
        &self.identities
    }

    /// One of them, by its name.
    pub fn identity(&self, name: &str) -> Option<&DevIdentity> {
        self.identities
            .iter()
            .find(|identity| identity.name() == name)
    }

    /// The verifier of proofs that these identities sign, sessions assumed later included.
    pub fn verifier(&self) -> DevVerifier {
        DevVerifier {
            keys: Arc::clone(&self.directory.keys),
            sts: self.address,
        }
    }

    /// An AWS shared-credentials file: one profile for each identity, by its name.
    pub fn credentials_file_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(
            "# Throw-away keys of one run of `approzium serve --dev`. AWS does not know them.\n"
                .to_owned(),
        );
        for identity in &self.identities {
            text.push('\n');
            text.push_str(&identity.profile());
        }
        text
    }

    /// Writes [`credentials_file_text`](Self::credentials_file_text) to a new file that its owner
    /// alone can read.
    ///
    /// # Errors
    /// If the file is there already, or cannot be written.
    pub fn write_credentials_file(&self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(path)?
            .write_all(self.credentials_file_text().as_bytes())
    }
}

impl fmt::Debug for DevSts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevSts")
            .field("address", &self.address)
            .field("identities", &self.identities)
            .finish_non_exhaustive()
    }
}

/// The account: its keys, and the unique ids of its roles.
struct Directory {
    keys: Arc<Keys>,
    role_ids: HashMap<&'static str, String>,
}

impl Directory {
    fn new() -> io::Result<Self> {
        let mut role_ids = HashMap::new();
        for role in ROLES {
            role_ids.insert(role, random_id("AROA", 17)?);
        }
        Ok(Directory {
            keys: Arc::new(Keys::new()),
            role_ids,
        })
    }

    fn assume(
        &self,
        role: &str,
        session: &str,
        expires_at: Option<OffsetDateTime>,
    ) -> io::Result<DevIdentity> {
        let role_id = self.role_ids.get(role).ok_or(io::ErrorKind::NotFound)?;
        self.keys.add_session(role, role_id, session, expires_at)
    }
}

async fn serve(
    State(directory): State<Arc<Directory>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now = OffsetDateTime::now_utc();
    answer(&directory, &uri, &headers, &body, now).unwrap_or_else(IntoResponse::into_response)
}

fn answer(
    directory: &Directory,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    now: OffsetDateTime,
) -> Result<Response, StsError> {
    if uri.query().is_some() {
        return Err(StsError::bad_request(
            "InvalidAction",
            "Parameters are taken from the body only.",
        ));
    }
    let caller = authorization::caller(&directory.keys, headers, body, now)?;
    let mut parameters = parameters(body)?;
    if parameters.remove("Version").as_deref() != Some("2011-06-15") {
        return Err(UNKNOWN_ACTION);
    }
    match parameters.remove("Action").as_deref() {
        Some("GetCallerIdentity") => Ok(answer::caller_identity(&caller)),
        Some("AssumeRole") => assume_role(directory, &caller, &parameters, now),
        _ => Err(UNKNOWN_ACTION),
    }
}

const UNKNOWN_ACTION: StsError = StsError::bad_request(
    "InvalidAction",
    "This stand-in knows GetCallerIdentity and AssumeRole of version 2011-06-15.",
);

/// The form's parameters, each there once.
fn parameters(body: &[u8]) -> Result<HashMap<String, String>, StsError> {
    let mut parameters = HashMap::new();
    for (name, value) in url::form_urlencoded::parse(body) {
        if parameters
            .insert(name.into_owned(), value.into_owned())
            .is_some()
        {
            return Err(StsError::bad_request(
                "ValidationError",
                "A parameter is there twice.",
            ));
        }
    }
    Ok(parameters)
}

fn assume_role(
    directory: &Directory,
    caller: &VerifiedIdentity,
    parameters: &HashMap<String, String>,
    now: OffsetDateTime,
) -> Result<Response, StsError> {
    const INVALID: StsError = StsError::bad_request(
        "ValidationError",
        "RoleArn, RoleSessionName or DurationSeconds is missing or malformed.",
    );
    const DENIED: StsError = StsError::forbidden(
        "AccessDenied",
        "The caller is not authorized to perform sts:AssumeRole on this role.",
    );
    let role = parameters
        .get("RoleArn")
        .and_then(|arn| Principal::parse(arn).ok())
        .ok_or(INVALID)?;
    let session = parameters
        .get("RoleSessionName")
        .filter(|name| (2..=64).contains(&name.len()))
        .ok_or(INVALID)?;
    let seconds: i64 = match parameters.get("DurationSeconds") {
        None => 3600,
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| (900..=43_200).contains(seconds))
            .ok_or(INVALID)?,
    };
    let is_developer = caller.arn == format!("arn:aws:iam::{STAND_IN_ACCOUNT}:user/{USER}");
    let name = match &role {
        Principal::Role {
            partition,
            account,
            name,
        } if is_developer && partition == "aws" && account == STAND_IN_ACCOUNT => name,
        _ => return Err(DENIED),
    };
    let expires_at = now + time::Duration::seconds(seconds);
    let identity =
        directory
            .assume(name, session, Some(expires_at))
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => DENIED,
                io::ErrorKind::InvalidInput => INVALID,
                _ => StsError::bad_request("Throttling", "Rate exceeded"),
            })?;
    let credentials = identity.credentials();
    Ok(answer::assumed_role(&AssumedRole {
        arn: identity.arn(),
        user_id: identity.user_id(),
        access_key_id: credentials.access_key_id(),
        secret_access_key: credentials.secret_access_key(),
        session_token: credentials.session_token().unwrap_or_default(),
        expires_at,
    }))
}

#[cfg(test)]
mod tests;
