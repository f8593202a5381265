//! A login at a real database by a client that speaks the original's way: it makes the nonce and the
//! first message itself, and compares the server's signature with the one that it was told.

use approzium::wire::postgres::{
    Authentication, BackendMessage, password_message, sasl_initial_response, sasl_response,
};
use approzium_peers::Postgres;
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::client::{Client, PasswordRequest, Pgsha256HashRequest};

const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

/// SQLSTATE of what the database refused.
pub(super) type Refused = String;

/// By the method that the database asks for.
pub(super) async fn log_in(
    server: &Postgres,
    client: &Client,
    who: &PasswordRequest,
) -> Result<(), Refused> {
    let mut login = Login::begin(server, &who.dbuser).await;
    match login.asked().await? {
        Authentication::Md5Password { salt } => {
            let hash = client.md5(who, &salt).await.unwrap();
            let response = password_message(&format!("md5{hash}")).unwrap();
            login.send(&response).await;
        }
        Authentication::Sasl { .. } => login.by_scram(client, who).await?,
        other => panic!("{other:?}"),
    }
    assert!(matches!(login.asked().await?, Authentication::Ok));
    Ok(())
}

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

    async fn asked(&mut self) -> Result<Authentication, Refused> {
        loop {
            match BackendMessage::read(&mut self.received, 8_192).unwrap() {
                Some(BackendMessage::Authentication(asked)) => return Ok(asked),
                Some(BackendMessage::ErrorResponse(fields)) => {
                    return Err(fields.sqlstate().unwrap().to_owned());
                }
                Some(other) => panic!("{other:?}"),
                None => {
                    let read = self.stream.read_buf(&mut self.received).await.unwrap();
                    assert_ne!(read, 0, "the server hung up");
                }
            }
        }
    }

    async fn by_scram(&mut self, client: &Client, who: &PasswordRequest) -> Result<(), Refused> {
        let bare = format!("n={},r={NONCE}", who.dbuser);
        let first = sasl_initial_response("SCRAM-SHA-256", format!("n,,{bare}").as_bytes());
        self.send(&first.unwrap()).await;
        let Authentication::SaslContinue(server_first) = self.asked().await? else {
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
                pwd_request: Some(who.clone()),
                salt: part("s=").into(),
                iterations: part("i=").parse().unwrap(),
                authentication_msg: format!("{bare},{server_first},{last}"),
            })
            .await
            .unwrap();
        let response = sasl_response(format!("{last},p={}", answer.cproof).as_bytes());
        self.send(&response.unwrap()).await;
        let Authentication::SaslFinal(server_final) = self.asked().await? else {
            panic!("no signature");
        };
        assert_eq!(server_final, format!("v={}", answer.sproof));
        Ok(())
    }
}
