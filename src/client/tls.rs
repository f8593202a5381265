use std::path::PathBuf;

/// How the connection to the Authenticator is secured.
///
/// By default the Authenticator's certificate is verified against the system's roots.
#[derive(Clone, Debug, Default)]
pub struct TlsConfig {
    roots_file: Option<PathBuf>,
    roots_pem: Option<Vec<u8>>,
}

impl TlsConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates of this PEM file, and no others.
    pub fn roots_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots_file = Some(path.into());
        self
    }

    /// Trusts the certificates of this PEM text, and no others.
    pub fn roots_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots_pem = Some(pem.into());
        self
    }
}
