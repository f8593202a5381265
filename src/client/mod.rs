//! The application's side of the Authenticator: addresses, TLS, sessions.
