//! Servers listen where they are told to and nowhere else: each port beside would be one that
//! another test was given.

#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test that fails should fail loudly"
)]

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr},
};

use approzium_peers::{
    Chromium, Envoy, Jaeger, MariaDb, MiniStack, Moto, OpenBao, Postgres, Prometheus, Redis, peer,
    ports::is_given,
};
use procfs::{
    net::{TcpState, tcp, tcp6},
    process::{FDTarget, Process, all_processes},
};

#[tokio::test]
async fn servers_listen_where_they_are_told_and_nowhere_else() {
    let servers = (
        peer!(OpenBao::start()),
        peer!(Envoy::start("static_resources: {}")),
        peer!(Jaeger::start()),
        peer!(MariaDb::builder().start()),
        peer!(MiniStack::start()),
        peer!(Moto::start()),
        peer!(Postgres::builder().start()),
        peer!(Prometheus::start()),
        peer!(Redis::start()),
        peer!(Chromium::start()),
    );
    let mine = descendants();
    let listening: Vec<(String, SocketAddr)> = mine.iter().flat_map(listeners).collect();
    let wrong: Vec<&(String, SocketAddr)> = listening
        .iter()
        .filter(|(_, address)| address.ip() != Ipv4Addr::LOCALHOST || !is_given(address.port()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?} of {listening:?}");
    let programs: HashSet<&str> = listening.iter().map(|(name, _)| name.as_str()).collect();
    assert!(programs.len() >= 8, "{programs:?}");
    drop(servers);
}

/// The processes that this one started, and those that they started.
fn descendants() -> Vec<Process> {
    let mut others: Vec<(Process, i32)> = all_processes()
        .unwrap()
        .filter_map(|process| {
            let process = process.ok()?;
            let parent = process.stat().ok()?.ppid;
            Some((process, parent))
        })
        .collect();
    let mut mine = Vec::new();
    let mut parents = HashSet::from([std::process::id().try_into().unwrap()]);
    while !parents.is_empty() {
        let (children, rest): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|(_, parent)| parents.contains(parent));
        parents = children.iter().map(|(child, _)| child.pid).collect();
        mine.extend(children.into_iter().map(|(child, _)| child));
        others = rest;
    }
    mine
}

/// Where a process listens, with its name.
fn listeners(process: &Process) -> Vec<(String, SocketAddr)> {
    let Ok((name, open)) = process
        .stat()
        .and_then(|stat| Ok((stat.comm, process.fd()?)))
    else {
        return Vec::new();
    };
    let sockets: HashSet<u64> = open
        .filter_map(|file| match file.ok()?.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    tcp()
        .unwrap()
        .into_iter()
        .chain(tcp6().unwrap_or_default())
        .filter(|entry| entry.state == TcpState::Listen && sockets.contains(&entry.inode))
        .map(|entry| (name.clone(), entry.local_address))
        .collect()
}
