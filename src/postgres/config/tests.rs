use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, Host, SslNegotiation};

use super::{Address, Config, RequireAuth, RootCertificates, SslMode, parameters};

fn parse(text: &str) -> Config {
    text.parse().unwrap()
}

fn refusal(text: &str) -> String {
    let error = text.parse::<Config>().unwrap_err();
    assert!(error.is_configuration());
    error.to_string()
}

#[test]
fn the_default_verifies_everything_and_accepts_no_silence() {
    let config = parse("host=db user=app");
    assert_eq!(config.get_ssl_mode(), SslMode::VerifyFull);
    assert_eq!(config.get_channel_binding(), ChannelBinding::Prefer);
    assert!(!config.get_require_auth().none());
    assert_eq!(config.get_connect_timeout(), Duration::from_secs(10));
    assert_eq!(config, *Config::new().host("db").user("app"));
}

#[test]
fn keys_of_libpq_are_taken_out_and_the_rest_is_the_drivers() {
    let config = parse(
        "host=a,b port=1,2 user = 'o\\'neil x' dbname=d\\ e sslmode=verify-ca \
         sslrootcert='/a b/ca.pem' sslcert=c sslkey=k sslnegotiation=direct \
         channel_binding=require require_auth=scram-sha-256 connect_timeout=3 \
         target_session_attrs=read-write",
    );
    assert_eq!(config.get_user(), Some("o'neil x"));
    assert_eq!(config.get_dbname(), Some("d e"));
    assert_eq!(config.get_ssl_mode(), SslMode::VerifyCa);
    assert_eq!(
        config.root_certificates(),
        &RootCertificates::File("/a b/ca.pem".into())
    );
    assert_eq!(config.get_ssl_negotiation(), SslNegotiation::Direct);
    assert_eq!(config.get_channel_binding(), ChannelBinding::Require);
    assert_eq!(config.get_require_auth().to_string(), "scram-sha-256");
    assert_eq!(config.get_connect_timeout(), Duration::from_secs(3));
    let endpoints = config.endpoints().unwrap();
    assert_eq!(
        endpoints
            .iter()
            .map(|endpoint| (endpoint.host.as_str(), endpoint.port))
            .collect::<Vec<_>>(),
        [("a", 1), ("b", 2)]
    );
}

#[test]
fn a_fallback_for_the_name_may_be_empty() {
    let fallback = |text| {
        let config = parse(text);
        config.get_fallback_application_name().map(str::to_owned)
    };
    assert_eq!(fallback("host=db"), None);
    assert_eq!(
        fallback("host=db fallback_application_name=me").as_deref(),
        Some("me")
    );
    let none = fallback("postgres://db/?fallback_application_name=");
    assert_eq!(none.as_deref(), Some(""));
}

#[test]
fn urls_say_the_same() {
    let config = parse(
        "postgresql://o%27neil@a:1,[::1],c/d%20e?sslmode=require&sslrootcert=%2Fx%2Fca.pem\
         &options=-c%20a%3Db@c&connect_timeout=0",
    );
    assert_eq!(config.get_user(), Some("o'neil"));
    assert_eq!(config.get_dbname(), Some("d e"));
    assert_eq!(config.driver().get_options(), Some("-c a=b@c"));
    assert_eq!(config.get_connect_timeout(), Duration::from_secs(10));
    let endpoints = config.endpoints().unwrap();
    assert_eq!(
        endpoints
            .iter()
            .map(|endpoint| (endpoint.host.as_str(), endpoint.port))
            .collect::<Vec<_>>(),
        [("a", 1), ("::1", 5432), ("c", 5432)]
    );
    assert_eq!(
        parse("postgres://u@%2Frun%2Fpg/db").driver().get_hosts(),
        [Host::Unix("/run/pg".into())]
    );
    assert_eq!(
        parse("postgres:///db?host=/run/pg&port=6000&user=u")
            .endpoints()
            .unwrap()
            .remove(0)
            .address,
        Address::Unix("/run/pg".into())
    );
}

#[test]
fn a_password_is_refused_wherever_it_stands_and_never_shown() {
    for text in [
        "host=a user=b password=hunter2",
        "password = 'hunter2' host=a",
        "password=hunter2 and more",
        "postgresql://u:hunter2@h/d",
        "postgresql://u:hun@ter2@h/d",
        "postgresql://u:@h/d",
        "postgresql://h/d?password=hunter2",
        "postgresql://h/d?pass%77ord=hunter2",
    ] {
        let error = text.parse::<Config>().unwrap_err();
        assert!(error.to_string().contains("password"), "{text}");
        assert!(error.to_string().contains("Authenticator"), "{text}");
        assert!(!format!("{error} {error:?}").contains("ter2"), "{text}");
    }
    assert!(refusal("host=a passfile=/x").contains("passfile"));
}

#[test]
fn what_cannot_be_parsed_is_refused_without_being_shown() {
    for text in [
        "hunter2",
        "host=a hunter2 x=y",
        "host='hunter2",
        "=hunter2",
        "postgres://[hunter2",
        "postgres://[::1]hunter2",
        "postgres://a/b?hunter2",
        "postgres://hunter2%0",
        "postgres://a%00hunter2",
        "host=a port=hunter2",
    ] {
        assert!(!refusal(text).contains("hunter2"), "{text}");
    }
    assert!(refusal("host=a sslmode=allow").contains("plaintext"));
    assert!(refusal("host=a sslmode=on").contains("verify-full"));
    assert!(refusal("host=a sslnegotiation=x").contains("direct"));
    assert!(refusal("host=a channel_binding=x").contains("require"));
    assert!(refusal("host=a service=x").contains("service"));
}

#[test]
fn require_auth_is_a_list_or_a_list_of_exceptions() {
    let methods = |list: &str| list.parse::<RequireAuth>().map(|m| m.to_string());
    assert_eq!(methods("").unwrap(), "scram-sha-256,md5");
    assert_eq!(methods("none, md5").unwrap(), "md5,none");
    assert_eq!(methods("!md5").unwrap(), "scram-sha-256");
    assert_eq!(
        methods("!password,!gss,!none").unwrap(),
        "scram-sha-256,md5"
    );
    for refused in [
        "md5,!none",
        "!md5,none",
        "password",
        "gss",
        "sspi",
        "x",
        "!md5,!scram-sha-256",
    ] {
        assert!(
            methods(refused).unwrap_err().is_configuration(),
            "{refused}"
        );
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for text in [
        "host=a sslmode=prefer sslnegotiation=direct",
        "host=a sslmode=require sslrootcert=system",
        "host=a sslmode=verify-ca sslrootcert=system",
        "host=a sslmode=verify-ca",
        "host=a connect_timeout=9223372036854775807",
        "host=a sslmode=disable channel_binding=require",
        "host=a sslcert=x",
        "host=a sslkey=x",
    ] {
        assert!(
            parse(text).check().unwrap_err().is_configuration(),
            "{text}"
        );
    }
    for text in [
        "user=a",
        "host=a,b port=1,2,3",
        "host=a,b hostaddr=127.0.0.1",
        "host=/run hostaddr=127.0.0.1",
        "host=''",
    ] {
        assert!(parse(text).endpoints().is_err(), "{text}");
    }
    for text in ["host=a", "host=a sslmode=verify-ca sslrootcert=ca.pem"] {
        parse(text).check().unwrap();
    }
}

proptest::proptest! {
    #[test]
    fn what_is_written_is_read_again(
        pairs in proptest::collection::vec(("[a-z_]{1,8}", "\\PC{0,20}"), 0..5),
    ) {
        proptest::prop_assume!(pairs.iter().all(|(key, _)| key != "password"));
        let mut text = String::new();
        for (key, value) in &pairs {
            parameters::append(&mut text, key, value);
        }
        proptest::prop_assert_eq!(parameters::parse(&text).unwrap(), pairs);
    }

    #[test]
    fn no_text_panics(text in ".{0,60}", scheme in "(postgres://)?") {
        let _ = format!("{scheme}{text}").parse::<Config>();
    }
}
