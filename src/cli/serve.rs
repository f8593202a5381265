//! `approzium serve`: the Authenticator.

pub(crate) use approzium::authenticator::serve::{Arguments, run};
