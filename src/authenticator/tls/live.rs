//! TLS as it is now, of both endpoints.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::ServerTls;
use crate::{
    Result,
    authenticator::{
        metrics::{File, Metrics},
        reload::{self, Watched},
    },
};

/// TLS as it is now, of all endpoints.
#[derive(Clone)]
pub(crate) struct LiveTls {
    configs: Arc<ArcSwap<Configs>>,
    /// Whether applications show certificates.
    pub(crate) is_mutual: bool,
}

impl LiveTls {
    /// Kept up to date with its files until `end`.
    pub(crate) fn start(
        tls: ServerTls,
        metrics: Arc<Metrics>,
        end: CancellationToken,
    ) -> Result<Self> {
        tls.show(&metrics);
        let live = LiveTls {
            configs: Arc::new(ArcSwap::from_pointee(Configs::of(&tls).map_err(
                // Certificate and key are two files, and are seldom replaced in one moment.
                |error| match tls.files {
                    Some(_) => error.unready(),
                    None => error,
                },
            )?)),
            is_mutual: tls.material.clients.is_some(),
        };
        if let Some(files) = tls.files.clone() {
            let watched = Watched::new(files.paths());
            let (configs, in_use) = (live.configs.clone(), Mutex::new(tls));
            let look = move || {
                watched.look(File::Tls, &metrics, || {
                    let mut in_use = in_use.lock().unwrap_or_else(PoisonError::into_inner);
                    let tls = in_use.read_again(&files)?;
                    let changed = !tls.material.is(&in_use.material);
                    if changed {
                        tls.may_replace(&in_use)?;
                        configs.store(Arc::new(Configs::of(&tls)?));
                        tls.show(&metrics);
                        *in_use = tls;
                    }
                    Ok(changed)
                });
            };
            reload::watch(look, end);
        }
        Ok(live)
    }

    /// For a new connection.
    pub(crate) fn of(&self, endpoint: Endpoint) -> Arc<ServerConfig> {
        let configs = self.configs.load();
        match endpoint {
            Endpoint::Applications => configs.applications.clone(),
            Endpoint::Operators => configs.operators.clone(),
        }
    }
}

/// Who is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// By gRPC. Where certificates of clients are asked for, none connects without.
    Applications,
    /// By HTTP. Probes have no certificate to show: what they may ask is the endpoint's to say.
    Operators,
}

impl Endpoint {
    pub(super) fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            Endpoint::Applications => &[b"h2"],
            Endpoint::Operators => &[b"h2", b"http/1.1"],
        }
    }
}

/// One for each endpoint: the one may demand more.
pub(super) struct Configs {
    applications: Arc<ServerConfig>,
    operators: Arc<ServerConfig>,
}

impl Configs {
    pub(super) fn of(tls: &ServerTls) -> Result<Self> {
        Ok(Configs {
            applications: Arc::new(tls.config(Endpoint::Applications)?),
            operators: Arc::new(tls.config(Endpoint::Operators)?),
        })
    }
}
