//! A client of the original's protocol that can also do everything wrong.

use tonic::{Response, Status, metadata::MetadataValue, transport::Channel};

pub(crate) use self::v1::PasswordRequest;
use self::v1::authenticator_client::AuthenticatorClient;
pub(super) use self::v1::{
    AwsIdentity, ClientLanguage, Mysqlsha1HashRequest, Pgmd5HashRequest, Pgsha256HashRequest,
    Pgsha256Response,
};
use crate::{authenticator::client::channel, rejections::House};

/// The protocol, compiled for the tests.
#[allow(unreachable_pub, unused_qualifications, clippy::all)]
mod v1 {
    tonic::include_proto!("approzium.authenticator.protos");

    /// What holds a secret is named, no more.
    macro_rules! named {
        ($($message:ty),+) => {$(
            impl std::fmt::Debug for $message {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(stringify!($message))
                }
            }
        )+};
    }
    named!(AwsIdentity, Pgsha256HashRequest);
    named!(Pgmd5Response, Pgsha256Response, Mysqlsha1Response);
}

#[derive(Clone)]
pub(crate) struct Client(AuthenticatorClient<Channel>);

impl Client {
    pub(super) async fn of(house: &House) -> Self {
        Client::over(channel(&house.address(), house.tls()).await.unwrap())
    }

    pub(crate) fn over(channel: Channel) -> Self {
        Client(AuthenticatorClient::new(channel))
    }

    pub(crate) async fn md5(&self, who: &PasswordRequest, salt: &[u8]) -> Result<String, Status> {
        let request = Pgmd5HashRequest {
            pwd_request: Some(who.clone()),
            salt: salt.to_vec(),
        };
        let response = self.0.clone().get_pgmd5_hash(request).await?;
        let id = has_request_id(&response);
        let answer = response.into_inner();
        assert_eq!(answer.requestid, id);
        Ok(answer.hash)
    }

    pub(crate) async fn mysql(
        &self,
        who: &PasswordRequest,
        salt: &[u8],
    ) -> Result<Vec<u8>, Status> {
        let request = Mysqlsha1HashRequest {
            pwd_request: Some(who.clone()),
            salt: salt.to_vec(),
        };
        let response = self.0.clone().get_mysqlsha1_hash(request).await?;
        let id = has_request_id(&response);
        let answer = response.into_inner();
        assert_eq!(answer.requestid, id);
        Ok(answer.hash)
    }

    pub(crate) async fn scram(
        &self,
        request: Pgsha256HashRequest,
    ) -> Result<Pgsha256Response, Status> {
        self.ask(tonic::Request::new(request)).await
    }

    /// The same call, as part of a trace.
    pub(super) async fn traced(
        &self,
        request: Pgsha256HashRequest,
        traceparent: &'static str,
    ) -> Result<Pgsha256Response, Status> {
        let mut request = tonic::Request::new(request);
        let traceparent = MetadataValue::from_static(traceparent);
        request.metadata_mut().insert("traceparent", traceparent);
        self.ask(request).await
    }

    async fn ask(
        &self,
        request: tonic::Request<Pgsha256HashRequest>,
    ) -> Result<Pgsha256Response, Status> {
        let response = self.0.clone().get_pgsha256_hash(request).await?;
        let id = has_request_id(&response);
        let answer = response.into_inner();
        assert_eq!(answer.requestid, id);
        Ok(answer)
    }
}

fn has_request_id<T>(response: &Response<T>) -> String {
    let id = response.metadata().get("x-approzium-request-id").unwrap();
    let id = id.to_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 4);
    id.to_owned()
}

/// Who asks for `user` at `db.example`.
pub(crate) fn who(url: &str, claimed: &str, user: &str) -> PasswordRequest {
    PasswordRequest {
        client_language: ClientLanguage::Python.into(),
        dbhost: "db.example".into(),
        dbport: "5432".into(),
        dbuser: user.into(),
        aws: Some(AwsIdentity {
            signed_get_caller_identity: url.into(),
            claimed_iam_arn: claimed.into(),
        }),
    }
}

/// The example of RFC 7677, which is what a client asks of a database with the password `pencil`.
pub(crate) fn rfc_7677(who: &PasswordRequest) -> Pgsha256HashRequest {
    let nonce = "rOprNGfwEbeRWgbNEkqO";
    let server_nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    Pgsha256HashRequest {
        pwd_request: Some(who.clone()),
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==".into(),
        iterations: 4096,
        authentication_msg: format!(
            "n=user,r={nonce},r={server_nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
             c=biws,r={server_nonce}"
        ),
    }
}
