//! What a real PostgreSQL calls a session.

use approzium::{AuthClient, postgres::Connector};
use approzium_peers::peer;

use super::{config, server, string, verified};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_the_name_that_was_said_first() {
    let server = peer!(server(15));
    let nobody = AuthClient::new("localhost:1").unwrap();
    let longest = "x".repeat(63);
    for (said, expected) in [
        ("application_name=mine", "mine"),
        (
            "application_name=mine fallback_application_name=another",
            "mine",
        ),
        ("application_name='' fallback_application_name=another", ""),
        ("fallback_application_name='mine, too'", "mine, too"),
        ("fallback_application_name=''", ""),
        // The server cuts it off, and says so by a notice within the login.
        (&format!("fallback_application_name={longest}yz"), &longest),
        // It fits into no login, which is not made to fail by it.
        (
            &format!("fallback_application_name={}", "x".repeat(10_000)),
            "",
        ),
    ] {
        let said = format!("{} require_auth=none {said}", verified(&server));
        let config = config(&string(&server, "open", &said));
        let client = config.connect_with(&nobody).await.unwrap();
        assert_eq!(name(&client).await, expected, "{said}");

        let connector = Connector::new(&config, &nobody).unwrap();
        let connecting = connector.driver_config();
        let (client, connection) = connecting.connect(connector).await.unwrap();
        assert_eq!(connection.parameter("application_name"), Some(expected));
        let connection = tokio::spawn(connection);
        assert_eq!(name(&client).await, expected, "{said}");
        drop(client);
        connection.await.unwrap().unwrap();
    }
}

async fn name(client: &tokio_postgres::Client) -> String {
    let text = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    client.query_one(text, &[]).await.unwrap().get(0)
}
