//! `approzium check`: which hop between this application, its Authenticator and its database fails.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use approzium::{
    AuthClient, Error, TlsConfig,
    diagnosis::{Diagnosis, diagnose},
    postgres::Config,
};

/// Walk from here to the Authenticator and to the database, and say which hop fails and why
///
/// Run it where the application runs, with its environment: address, authority and cloud credentials
/// are then the application's own. The exit code is 0 if an application can connect, 1 if a hop
/// fails, and 2 if a setting is wrong. Nothing is exported.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The Authenticator, `host:port`
    #[arg(long, value_name = "ADDRESS", env = "APPROZIUM_ADDRESS")]
    authenticator: String,

    /// The database, by the application's connection string [default: the Authenticator alone]
    #[arg(long, value_name = "STRING")]
    database: Option<String>,

    /// Authorities to verify the Authenticator by, PEM [env: APPROZIUM_CA] [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Client certificate to show to the Authenticator, PEM
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,

    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,

    /// The name that the Authenticator answers to [default: the host of its address]
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,

    /// An IAM role to assume first
    #[arg(long, value_name = "ARN")]
    iam_role: Option<String>,

    /// The region whose STS confirms the identity [default: AWS_REGION, or the profile's]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let (auth, database) = match arguments
        .client()
        .and_then(|auth| Ok((auth, arguments.database()?)))
    {
        Ok(asked) => asked,
        Err(error) => return complain(&error),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("no runtime: {error}")),
    };
    let diagnosis = runtime.block_on(diagnose(&auth, database.as_ref()));
    // A resolver may still hang in a thread of its own: it is not waited for.
    runtime.shutdown_background();
    let diagnosis = match diagnosis {
        Ok(diagnosis) => diagnosis,
        Err(error) => return complain(&error),
    };
    let mut out = io::stdout().lock();
    match arguments
        .write(&mut out, &diagnosis)
        .and_then(|()| out.flush())
    {
        // The reader of a pipe may have seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(2),
        _ if diagnosis.failure().is_some() => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

impl Arguments {
    fn client(&self) -> Result<AuthClient, Error> {
        let mut builder = AuthClient::builder(&self.authenticator);
        if let Some(tls) = self.tls() {
            builder = builder.tls(tls);
        }
        if let Some(audience) = &self.audience {
            builder = builder.audience(audience);
        }
        if let Some(role) = &self.iam_role {
            builder = builder.iam_role(role);
        }
        if let Some(region) = &self.region {
            builder = builder.region(region);
        }
        builder.build()
    }

    /// None: as the client finds it by itself, which includes plaintext on loopback.
    fn tls(&self) -> Option<TlsConfig> {
        let mut tls = None;
        if let Some(ca) = &self.ca {
            tls = Some(TlsConfig::new().roots_file(ca));
        }
        if let (Some(chain), Some(key)) = (&self.client_certificate, &self.client_key) {
            let with = tls.unwrap_or_default();
            tls = Some(with.client_certificate_files(chain, key));
        }
        tls
    }

    fn database(&self) -> Result<Option<Config>, Error> {
        let Some(text) = &self.database else {
            return Ok(None);
        };
        let mut config: Config = text.parse()?;
        if config.get_fallback_application_name().is_none() {
            config.fallback_application_name("approzium check");
        }
        Ok(Some(config))
    }

    fn write(&self, out: &mut impl Write, diagnosis: &Diagnosis) -> io::Result<()> {
        if self.json {
            serde_json::to_writer_pretty(&mut *out, diagnosis)?;
            return writeln!(out);
        }
        write!(out, "{diagnosis}")?;
        if diagnosis.failure().is_none() {
            writeln!(out, "an application can connect")?;
        }
        Ok(())
    }
}

fn complain(problem: &dyn std::fmt::Display) -> ExitCode {
    // Whoever closed standard error does not want to know.
    writeln!(io::stderr(), "approzium check: {problem}").ok();
    ExitCode::from(2)
}
