//! `approzium serve --dev`: everything that takes a cloud, made up on this machine.
//!
//! Another verifier, by type, with keys of its own for each start. It refuses to stand beside
//! anything that looks like production.

use std::{
    env, fs,
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Asked, common, telemetry::Telemetry, until_asked};
use crate::{
    Error, Result,
    authenticator::{
        AuditLog, LocalSecrets, Running, ServerTls,
        config::{Config, Manager},
        dev::DevSts,
    },
};

/// Settings that only production has, beside its switches.
const PRODUCTION_SETTINGS: [&str; 13] = [
    "sts_regions",
    "tls_cert_path",
    "tls_key_path",
    "client_ca_path",
    "session_key_path",
    "vault_token_path",
    "vault_auth",
    "vault_role",
    "vault_role_id",
    "vault_secret_id_path",
    "assume_aws_role",
    "asm_endpoint",
    "kubernetes_secrets_path",
];

/// Variables that platforms set for what they run.
const PLATFORM_VARIABLES: [&str; 5] = [
    "KUBERNETES_SERVICE_HOST",
    "ECS_CONTAINER_METADATA_URI",
    "ECS_CONTAINER_METADATA_URI_V4",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_RUNTIME_API",
];

/// Where Kubernetes puts a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const EXAMPLE_RECORDS: &str = "\
# Records of this run: which identity may use which database user. Edits take effect at once.
# The identities are the profiles of the file `credentials`.
#
# - dbhost: localhost
#   dbport: 5432
#   dbuser: app
#   password: \"what the database knows\"
#   iam_arns: [\"arn:aws:iam::000000000000:role/checkout\"]
";

pub(super) async fn serve(
    config: &Config,
    audit_log: Option<AuditLog>,
    asked: Asked,
    telemetry: Telemetry,
) -> Result<()> {
    refuse_production(config)?;
    let folder = Folder::make(config)?;
    let sts = stand_in().await?;
    let certificates = Certificates::make()
        .map_err(|error| Error::configuration(format!("dev: no certificate: {error}")))?;
    folder.write("ca.pem", &certificates.authority)?;
    folder.write("credentials", &sts.credentials_file_text())?;
    let records = match &config.local_secrets_path {
        Some(path) => path.clone(),
        None => folder.example_records()?,
    };
    let tls = ServerTls::from_pem(certificates.chain.as_bytes(), certificates.key.as_bytes())?;
    let running = common(config)
        .await?
        .tls(tls)
        .audit_log(audit_log)
        .verifier(sts.verifier())
        .secrets(self::records(&records)?)
        .start()
        .await?;
    // The banner tells people, and after it the file tells programs: it names only what is there.
    banner(&folder.path, &records, &sts, &running).map_err(|error| folder.error(&error))?;
    folder.write("env", &environment(&folder.path, &sts, &running))?;
    until_asked(running, asked, telemetry).await;
    Ok(())
}

/// What `--check` sees of the records, and of the stand-in.
pub(super) fn records(path: &Path) -> Result<LocalSecrets> {
    LocalSecrets::open_unchecked(path)
}

pub(super) async fn stand_in() -> Result<DevSts> {
    DevSts::start(([127, 0, 0, 1], 0).into())
        .await
        .map_err(|error| Error::configuration(format!("dev: no stand-in STS: {error}")))
}

pub(super) fn refuse_production(config: &Config) -> Result<()> {
    const REFUSED: &str = "development mode does not stand beside it";
    let loopback = config.host == "localhost"
        || config
            .host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if !loopback {
        return Err(config
            .layers
            .error("host", "development mode listens on loopback only"));
    }
    if config
        .secrets_manager
        .is_some_and(|manager| manager != Manager::Local)
    {
        return Err(config.layers.error("secrets_manager", REFUSED));
    }
    for (key, on) in [
        ("disable_tls", config.disable_tls),
        ("sts_fips", config.sts_fips),
    ] {
        if on {
            return Err(config.layers.error(key, REFUSED));
        }
    }
    for key in PRODUCTION_SETTINGS {
        if config.layers.origin(key).is_some() {
            return Err(config.layers.error(key, REFUSED));
        }
    }
    for name in PLATFORM_VARIABLES {
        if env::var_os(name).is_some() {
            return Err(Error::configuration(format!(
                "dev (variable {name} is set): {REFUSED}"
            )));
        }
    }
    if Path::new(SERVICE_ACCOUNT).exists() {
        return Err(Error::configuration(format!(
            "dev ({SERVICE_ACCOUNT} is there): {REFUSED}"
        )));
    }
    Ok(())
}

/// Where everything is put. One that was made here for the purpose goes with the process.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn make(config: &Config) -> Result<Self> {
        let fresh = || env::temp_dir().join(format!("approzium-dev-{}", Uuid::new_v4()));
        let folder = Folder {
            path: config.dev_dir.clone().unwrap_or_else(fresh),
            temporary: config.dev_dir.is_none(),
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(!folder.temporary);
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&folder.path)
            .map_err(|error| folder.error(&error))?;
        // Left over from an earlier run, it would name ports that are no more.
        match fs::remove_file(folder.path.join("env")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(folder.error(&error)),
            _ => Ok(folder),
        }
    }

    fn example_records(&self) -> Result<PathBuf> {
        let path = self.path.join("secrets.yaml");
        if !path.exists() {
            self.write("secrets.yaml", EXAMPLE_RECORDS)?;
        }
        Ok(path)
    }

    /// Writes a file that its owner alone can read, all at once.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let draft = self.path.join(format!(".{name}.{}", Uuid::new_v4()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(&draft)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&draft, self.path.join(name)))
            .map_err(|error| self.error(&error))
    }

    fn error(&self, error: &io::Error) -> Error {
        Error::configuration(format!("dev_dir: {}: {error}", self.path.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A certificate for this machine's own names, and the authority that it is of. The authority's
/// key is forgotten at once, and the server's is never written.
struct Certificates {
    authority: String,
    chain: String,
    key: Zeroizing<String>,
}

impl Certificates {
    fn make() -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        authority
            .distinguished_name
            .push(DnType::CommonName, "approzium serve --dev");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut server = CertificateParams::new(names)?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        let key = KeyPair::generate()?;
        let server = server.signed_by(&key, &authority)?;
        Ok(Certificates {
            authority: authority.pem(),
            chain: server.pem(),
            key: key.serialize_pem().into(),
        })
    }
}

/// A file for `.`, in any POSIX shell.
fn environment(folder: &Path, sts: &DevSts, running: &Running) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    let identities = sts.identities();
    let profile = identities.first().map_or("", |identity| identity.name());
    let http = running
        .http_addr()
        .map(|address| format!("https://{address}"));
    let exports = [
        ("AWS_SHARED_CREDENTIALS_FILE", file("credentials")),
        ("AWS_PROFILE", profile.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        // Of the two, boto3 and the first AWS CLI know this one alone.
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL_STS", sts.endpoint()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("APPROZIUM_ADDRESS", running.grpc_addr().to_string()),
        ("APPROZIUM_CA", file("ca.pem")),
        ("APPROZIUM_HTTP_URL", http.unwrap_or_default()),
    ]
    .map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', r"'\''")))
    .concat();
    // Keys in the environment would win over the profile.
    format!("unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN\n{exports}")
}

fn banner(folder: &Path, records: &Path, sts: &DevSts, running: &Running) -> io::Result<()> {
    let rule = "=".repeat(78);
    let mut out = io::stdout().lock();
    writeln!(out, "{rule}")?;
    writeln!(
        out,
        "  DEVELOPMENT MODE: identities are made up, and nothing is protected."
    )?;
    writeln!(out, "  Never use it with a database that matters.")?;
    writeln!(out, "{rule}")?;
    writeln!(out, "  applications  {}", running.grpc_addr())?;
    if let Some(address) = running.http_addr() {
        writeln!(out, "  operators     https://{address}/v1/health")?;
    }
    writeln!(out, "  records       {}", records.display())?;
    for identity in sts.identities() {
        writeln!(
            out,
            "  identity      {:<10} {}",
            identity.name(),
            identity.arn()
        )?;
    }
    writeln!(out, "  folder        {}", folder.display())?;
    writeln!(out, "  use it        . '{}'", folder.join("env").display())?;
    writeln!(out, "{rule}")?;
    out.flush()
}
