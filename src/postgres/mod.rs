//! PostgreSQL connections without passwords.
