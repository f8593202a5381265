//! The authentication computations and messages of the database protocols: pure, no IO, no clock, no randomness.
