//! What a client of v1 asks for, as checked before anybody asks who it is.

use crate::{
    authenticator::{audit::Reason, secrets::Method, service::refusal::Refusal, target::Target},
    identity::aws::PresignedMethod,
    proto::v1::{
        AwsIdentity, ClientLanguage, Mysqlsha1HashRequest, PasswordRequest, Pgmd5HashRequest,
        Pgsha256HashRequest,
    },
    wire::scram::{self, ServerFirst, read_auth_message},
};

/// What the database wants answered.
pub(super) enum Challenge {
    Md5([u8; 4]),
    Scram(ServerFirst),
    MysqlNative([u8; 20]),
}

impl Challenge {
    pub(super) fn method(&self) -> Method {
        match self {
            Challenge::Md5(_) => Method::Md5,
            Challenge::Scram(_) => Method::ScramSha256,
            Challenge::MysqlNative(_) => Method::MysqlNativePassword,
        }
    }
}

/// A request of v1: what is to be answered, and who asks.
pub(super) trait Asked: Send + 'static {
    fn who(&mut self) -> Option<PasswordRequest>;
    fn challenge(&self, limits: &scram::Limits) -> Result<Challenge, Refusal>;
}

impl Asked for Pgmd5HashRequest {
    fn who(&mut self) -> Option<PasswordRequest> {
        self.pwd_request.take()
    }

    fn challenge(&self, _: &scram::Limits) -> Result<Challenge, Refusal> {
        let salt = self.salt.as_slice().try_into();
        let salt = salt.map_err(|_| malformed("an MD5 salt has four bytes"))?;
        Ok(Challenge::Md5(salt))
    }
}

impl Asked for Mysqlsha1HashRequest {
    fn who(&mut self) -> Option<PasswordRequest> {
        self.pwd_request.take()
    }

    fn challenge(&self, _: &scram::Limits) -> Result<Challenge, Refusal> {
        let salt = self.salt.as_slice().try_into();
        let salt = salt.map_err(|_| malformed("a MySQL salt has twenty bytes"))?;
        Ok(Challenge::MysqlNative(salt))
    }
}

impl Asked for Pgsha256HashRequest {
    fn who(&mut self) -> Option<PasswordRequest> {
        self.pwd_request.take()
    }

    /// The salt and the iterations are those of the exchange, which says them too.
    fn challenge(&self, limits: &scram::Limits) -> Result<Challenge, Refusal> {
        if self.authentication_msg.is_empty() {
            return Err(malformed("the authentication message is empty"));
        }
        if self.salt.is_empty() {
            return Err(malformed("the salt is empty"));
        }
        let exchange = read_auth_message(&self.authentication_msg, limits)?;
        if !exchange.is_of(&self.salt, self.iterations) {
            return Err(malformed(
                "salt and iterations are not those of the authentication message",
            ));
        }
        Ok(Challenge::Scram(exchange))
    }
}

fn malformed(text: &'static str) -> Refusal {
    Refusal::invalid(text, Reason::MalformedChallenge)
}

/// Who asks, as far as it is told.
pub(super) struct Caller {
    pub(super) target: Target,
    pub(super) proof: AwsIdentity,
    pub(super) method: PresignedMethod,
    /// For the audit log.
    pub(super) client: &'static str,
}

impl Caller {
    pub(super) fn read(who: Option<PasswordRequest>) -> Result<Self, Refusal> {
        let missing = |text| Refusal::invalid(text, Reason::MalformedMessage);
        let who = who.ok_or_else(|| missing("pwd_request is missing"))?;
        let (method, client) = match who.client_language() {
            ClientLanguage::Python => (PresignedMethod::Post, "v1/python"),
            ClientLanguage::Go => (PresignedMethod::Get, "v1/go"),
            ClientLanguage::Rust => (PresignedMethod::Get, "v1/rust"),
            ClientLanguage::LanguageNotProvided => {
                return Err(missing("client_language is missing or not known"));
            }
        };
        Ok(Caller {
            target: Target::of(&who.dbhost, &who.dbport, &who.dbuser)?,
            proof: who.aws.ok_or_else(|| missing("aws is missing"))?,
            method,
            client,
        })
    }
}
