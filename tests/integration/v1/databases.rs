//! Logins at real databases by a client that speaks the original's way: it makes the nonce and the
//! first message itself, and compares the server's signature with the one that it was told.

use approzium::wire::postgres::{
    Authentication, BackendMessage, password_message, sasl_initial_response, sasl_response,
};
use approzium_peers::{Method, Postgres, Rule, peer};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    answers::v1,
    client::{Client, PasswordRequest, Pgsha256HashRequest, who},
    presigned::Presigned,
};
use crate::{authenticator::process::PASSWORD, rejections::dev_sts};

const CHECKOUT: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";
const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

/// One login under way.
struct Login {
    stream: TcpStream,
    received: BytesMut,
}

impl Login {
    async fn begin(server: &Postgres, user: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).await;
        let mut parameters = 196_608_i32.to_be_bytes().to_vec();
        parameters.extend(format!("user\0{user}\0database\0postgres\0\0").bytes());
        let mut login = Login {
            stream: stream.unwrap(),
            received: BytesMut::new(),
        };
        let length = i32::try_from(parameters.len() + 4).unwrap();
        login.send(&length.to_be_bytes()).await;
        login.send(&parameters).await;
        login
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn asked(&mut self) -> Authentication {
        loop {
            match BackendMessage::read(&mut self.received, 8_192).unwrap() {
                Some(BackendMessage::Authentication(asked)) => return asked,
                Some(other) => panic!("{other:?}"),
                None => {
                    let read = self.stream.read_buf(&mut self.received).await.unwrap();
                    assert_ne!(read, 0, "the server hung up");
                }
            }
        }
    }
}

async fn server() -> approzium_peers::Result<Postgres> {
    let server = Postgres::builder()
        .version(15)
        .rule(Rule::host("app", Method::ScramSha256))
        .rule(Rule::host("old", Method::Md5))
        .start()
        .await?;
    server.role("app", PASSWORD, Method::ScramSha256).await?;
    server.role("old", PASSWORD, Method::Md5).await?;
    Ok(server)
}

#[tokio::test]
async fn postgresql_accepts_what_is_answered() {
    let server = peer!(server());
    let sts = dev_sts().await;
    let record = |user: &str, methods: &str| {
        format!(
            "- {{dbhost: 127.0.0.1, dbport: {}, dbuser: {user}, password: {PASSWORD}, \
             iam_arn: 'arn:aws:iam::000000000000:role/checkout', methods: [{methods}]}}\n",
            server.port()
        )
    };
    let records = record("app", "scram-sha-256") + &record("old", "md5");
    let house = v1(&sts, &records).await;
    let client = Client::of(&house).await;
    let url = Presigned::for_stand_in(&sts).url(&sts.identity("checkout").unwrap().credentials());
    let asking = |user: &str| PasswordRequest {
        dbhost: "127.0.0.1".into(),
        dbport: server.port().to_string(),
        ..who(&url, CHECKOUT, user)
    };

    let mut login = Login::begin(&server, "old").await;
    let Authentication::Md5Password { salt } = login.asked().await else {
        panic!("no MD5");
    };
    let hash = client.md5(&asking("old"), &salt).await.unwrap();
    let response = password_message(&format!("md5{hash}")).unwrap();
    login.send(&response).await;
    assert!(matches!(login.asked().await, Authentication::Ok));

    let mut login = Login::begin(&server, "app").await;
    assert!(matches!(login.asked().await, Authentication::Sasl { .. }));
    let bare = format!("n=app,r={NONCE}");
    let first = sasl_initial_response("SCRAM-SHA-256", format!("n,,{bare}").as_bytes());
    login.send(&first.unwrap()).await;
    let Authentication::SaslContinue(server_first) = login.asked().await else {
        panic!("no challenge");
    };
    let server_first = String::from_utf8(server_first.to_vec()).unwrap();
    let part = |name: &str| {
        let mut parts = server_first.split(',');
        parts.find_map(|part| part.strip_prefix(name)).unwrap()
    };
    let last = format!("c=biws,r={}", part("r="));
    let answer = client
        .scram(Pgsha256HashRequest {
            pwd_request: Some(asking("app")),
            salt: part("s=").into(),
            iterations: part("i=").parse().unwrap(),
            authentication_msg: format!("{bare},{server_first},{last}"),
        })
        .await
        .unwrap();
    let response = sasl_response(format!("{last},p={}", answer.cproof).as_bytes());
    login.send(&response.unwrap()).await;
    let Authentication::SaslFinal(server_final) = login.asked().await else {
        panic!("no signature");
    };
    assert_eq!(server_final, format!("v={}", answer.sproof));
    assert!(matches!(login.asked().await, Authentication::Ok));
}
