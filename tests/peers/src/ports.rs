//! Ports for servers.

use std::{
    collections::HashSet,
    net::TcpListener,
    sync::{LazyLock, Mutex, PoisonError},
};

/// What Linux does not give to whoever asks for no port in particular: until a server took such a
/// port, somebody's connection would.
const FIRST: u16 = 10_000;
const PORTS: u16 = 22_000;

static GIVEN: LazyLock<Mutex<Given>> = LazyLock::new(|| {
    // Other processes, which look for ports too, begin elsewhere.
    let next = std::process::id().wrapping_mul(997) % u32::from(PORTS);
    Mutex::new(Given {
        next: u16::try_from(next).unwrap_or_default(),
        ports: HashSet::new(),
    })
});

struct Given {
    next: u16,
    ports: HashSet<u16>,
}

/// A port of 127.0.0.1 that was free a moment ago.
///
/// This process is given it once, until every other port was.
pub fn free_port() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..PORTS {
        let port = FIRST + given.next;
        given.next = (given.next + 1) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.ports.insert(port);
            return port;
        }
    }
    panic!("loopback has no free port");
}

/// Whether [`free_port`] gave this process the port.
pub fn is_given(port: u16) -> bool {
    let given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    given.ports.contains(&port)
}
