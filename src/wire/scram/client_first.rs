//! The first message: the client's nonce, and what it says of channel binding.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{ChannelBinding, Error, Limits, ServerFirst};

/// Random bytes of the client's nonce; 24 characters as base64, like PostgreSQL's own client.
pub const NONCE_LENGTH: usize = 18;

/// The exchange before the server's first message.
pub struct ClientFirst {
    channel_binding: ChannelBinding,
    message: String,
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// Begins an exchange.
    ///
    /// The nonce has to be random and must never be used twice: a server that sees it again could
    /// replay its half of the exchange. The user name stays empty, as PostgreSQL takes it from the
    /// StartupMessage.
    pub fn new(channel_binding: ChannelBinding, nonce: [u8; NONCE_LENGTH]) -> Self {
        Self::with_names(channel_binding, "", STANDARD.encode(nonce))
    }

    pub(super) fn with_names(
        channel_binding: ChannelBinding,
        username: &str,
        nonce: String,
    ) -> Self {
        let bare = format!("n={username},r={nonce}");
        ClientFirst {
            message: format!("{}{bare}", channel_binding.gs2_header()),
            channel_binding,
            bare,
            nonce,
        }
    }

    /// The `client-first-message`, the data of a SASLInitialResponse.
    pub fn message(&self) -> &[u8] {
        self.message.as_bytes()
    }

    /// Reads the `server-first-message`, the data of an AuthenticationSASLContinue.
    ///
    /// # Errors
    ///
    /// Whatever in the message breaks the grammar or a limit, has a mandatory extension, or does
    /// not extend this exchange's nonce. The exchange is over then.
    pub fn server_first(self, message: &[u8], limits: &Limits) -> Result<ServerFirst, Error> {
        ServerFirst::parse(
            self.channel_binding,
            self.bare,
            &self.nonce,
            message,
            limits,
        )
    }
}

impl fmt::Debug for ClientFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFirst")
            .field("channel_binding", &self.channel_binding)
            .finish_non_exhaustive()
    }
}
