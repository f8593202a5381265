//! For `crate::fuzzing`: what the original's clients ask for.

use super::challenge::{Asked, Caller, Challenge};
use crate::{
    proto::v1::{Mysqlsha1HashRequest, PasswordRequest, Pgmd5HashRequest, Pgsha256HashRequest},
    wire::scram::Limits,
};

/// A request of v1, of any method.
pub trait V1Request: prost::Message + std::fmt::Debug + Default + PartialEq {
    /// Who asks.
    fn who(&mut self) -> &mut Option<PasswordRequest>;

    /// Host and user, if they pass the edge with all that they come with.
    fn caller(&self) -> Option<[String; 2]>;

    /// What is to be answered: an MD5's or MySQL's salt, or SCRAM's, with its iterations.
    fn challenge(&self) -> Option<(Vec<u8>, Option<u32>)>;
}

macro_rules! requests {
    ($($request:ty)+) => {$(
        impl V1Request for $request {
            fn who(&mut self) -> &mut Option<PasswordRequest> {
                &mut self.pwd_request
            }

            fn caller(&self) -> Option<[String; 2]> {
                let caller = Caller::read(self.pwd_request.clone()).ok()?;
                Some([caller.target.host, caller.target.user])
            }

            fn challenge(&self) -> Option<(Vec<u8>, Option<u32>)> {
                Some(match Asked::challenge(self, &Limits::default()).ok()? {
                    Challenge::Md5(salt) => (salt.to_vec(), None),
                    Challenge::MysqlNative(salt) => (salt.to_vec(), None),
                    Challenge::Scram(exchange) => {
                        (exchange.salt().to_vec(), Some(exchange.iterations()))
                    }
                })
            }
        }
    )+};
}

requests! { Pgmd5HashRequest Pgsha256HashRequest Mysqlsha1HashRequest }
