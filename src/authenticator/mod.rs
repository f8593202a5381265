//! The Authenticator: verifies identities, keeps passwords, answers challenges.
