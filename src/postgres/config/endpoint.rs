//! The servers that a configuration names, one by one.

use std::{net::IpAddr, path::PathBuf};

use tokio_postgres::config::Host;

use super::Config;
use crate::{Error, Result};

/// One server: what the record is filed under, and where to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// As configured: the name, the address where there is no name, or the socket's folder.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) address: Address,
}

/// Where an [`Endpoint`] is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// To be looked up.
    Name,
    Ip(IpAddr),
    Unix(PathBuf),
}

impl Config {
    /// The servers in the order of the settings; at least one.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>> {
        let (hosts, addresses, ports) = (
            self.driver.get_hosts(),
            self.driver.get_hostaddrs(),
            self.driver.get_ports(),
        );
        let count = hosts.len().max(addresses.len());
        if count == 0 {
            return Err(Error::configuration("no host is set").with_help(
                "name one: host=db.internal, or host=/run/postgresql for a Unix socket",
            ));
        }
        if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
            return Err(Error::configuration(format!(
                "{} hosts but {} hostaddrs",
                hosts.len(),
                addresses.len()
            )));
        }
        if ports.len() > 1 && ports.len() != count {
            return Err(Error::configuration(format!(
                "{count} hosts but {} ports",
                ports.len()
            )));
        }
        (0..count)
            .map(|index| {
                let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
                endpoint(hosts.get(index), addresses.get(index).copied(), port)
            })
            .collect()
    }
}

fn endpoint(host: Option<&Host>, address: Option<IpAddr>, port: u16) -> Result<Endpoint> {
    let (host, address) = match (host, address) {
        (Some(Host::Tcp(name)), _) if name.is_empty() => {
            return Err(Error::configuration("a host is empty"));
        }
        (Some(Host::Tcp(name)), Some(address)) => (name.clone(), Address::Ip(address)),
        (Some(Host::Tcp(name)), None) => match name.parse() {
            Ok(address) => (name.clone(), Address::Ip(address)),
            Err(_) => (name.clone(), Address::Name),
        },
        (Some(Host::Unix(_)), Some(_)) => {
            return Err(Error::configuration(
                "a host that is a Unix socket cannot have a hostaddr",
            ));
        }
        (Some(Host::Unix(folder)), None) => {
            let name = folder
                .to_str()
                .ok_or_else(|| Error::configuration("a socket's folder is not UTF-8"))?;
            (name.to_owned(), Address::Unix(folder.clone()))
        }
        (None, Some(address)) => (address.to_string(), Address::Ip(address)),
        (None, None) => return Err(Error::configuration("a host is missing")),
    };
    Ok(Endpoint {
        host,
        port,
        address,
    })
}
