//! Real servers on loopback for the tests, the benches and the quickstart.
