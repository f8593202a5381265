//! The same messages, written and read by postgres-protocol.

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::{backend, frontend};
use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn startup_messages_written_by_postgres_protocol(
        parameters in proptest::collection::btree_map("[a-z_.]{1,9}", "[^\0]{0,20}", 0..9),
    ) {
        let mut written = BytesMut::new();
        let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        frontend::startup_message(pairs, &mut written).unwrap();
        let Some(StartupPacket::Startup(startup)) = StartupPacket::read(&mut written).unwrap() else {
            panic!("no StartupMessage");
        };
        for (name, value) in &parameters {
            prop_assert_eq!(startup.parameter(name), Some(value.as_str()));
        }
        prop_assert_eq!(startup.parameters().len(), parameters.len());
    }

    #[test]
    fn answers_are_written_as_postgres_protocol_writes_them(
        response in "[^\0]{0,40}",
        mechanism in "[A-Z0-9-]{1,20}",
        data in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut theirs = BytesMut::new();
        frontend::password_message(response.as_bytes(), &mut theirs).unwrap();
        prop_assert_eq!(password_message(&response).unwrap(), theirs);
        let mut theirs = BytesMut::new();
        frontend::sasl_initial_response(&mechanism, &data, &mut theirs).unwrap();
        prop_assert_eq!(sasl_initial_response(&mechanism, &data).unwrap(), theirs);
        let mut theirs = BytesMut::new();
        frontend::sasl_response(&data, &mut theirs).unwrap();
        prop_assert_eq!(sasl_response(&data).unwrap(), theirs);
    }

    /// Authentication requests mean the same to postgres-protocol, wherever it reads them at all.
    #[test]
    fn authentication_requests_as_postgres_protocol_reads_them(
        code in 0_u8..14,
        data in prop_oneof![
            Just(Vec::new()),
            proptest::collection::vec(any::<u8>(), 4),
            "(SCRAM-SHA-256\0|OAUTHBEARER\0){1,3}\0".prop_map(String::into_bytes),
        ],
    ) {
        let request = message(b'R', &[&[0, 0, 0, code], &data[..]].concat());
        let theirs = backend::Message::parse(&mut BytesMut::from(&request[..]));
        let ours = match read(&request) {
            Ok(Some(BackendMessage::Authentication(ours))) => ours,
            // Stricter: postgres-protocol does not look into the list before it is iterated over.
            Err(_) => return Ok(()),
            other => panic!("{other:?}"),
        };
        use backend::Message as Theirs;
        let agree = match (theirs.ok().flatten(), &ours) {
            (Some(Theirs::AuthenticationOk), Authentication::Ok)
            | (Some(Theirs::AuthenticationCleartextPassword), Authentication::CleartextPassword)
            | (Some(Theirs::AuthenticationGss), Authentication::Gss)
            | (Some(Theirs::AuthenticationSspi), Authentication::Sspi) => true,
            (Some(Theirs::AuthenticationMd5Password(body)), Authentication::Md5Password { salt }) => {
                body.salt() == *salt
            }
            (Some(Theirs::AuthenticationSasl(body)), Authentication::Sasl { mechanisms }) => {

                body.mechanisms().map(|name| Ok(name.to_owned())).collect::<Vec<_>>().unwrap()
                    == *mechanisms
            }
            (Some(Theirs::AuthenticationSaslContinue(body)), Authentication::SaslContinue(data)) => {
                body.data() == data
            }
            (Some(Theirs::AuthenticationSaslFinal(body)), Authentication::SaslFinal(data)) => {
                body.data() == data
            }
            (_, Authentication::Other(other)) => *other == i32::from(code),
            _ => false,
        };
        prop_assert!(agree, "{:?}", ours);
    }

    #[test]
    fn errors_as_postgres_protocol_reads_them(
        fields in proptest::collection::btree_map(proptest::char::range('A', 'Z'), "[^\0]{0,20}", 0..9),
    ) {
        let mut body: String = fields.iter().map(|(kind, value)| format!("{kind}{value}\0")).collect();
        body.push('\0');
        let raw = message(b'E', body.as_bytes());
        let ours = read_fields(body.as_bytes()).unwrap();
        let theirs = backend::Message::parse(&mut BytesMut::from(&raw[..])).unwrap();
        let Some(backend::Message::ErrorResponse(theirs)) = theirs else {
            panic!("no ErrorResponse");
        };

        let mut theirs = theirs.fields();
        let mut count = 0;
        while let Some(field) = theirs.next().unwrap() {
            count += 1;
            let value = ours.get(field.type_()).unwrap();
            prop_assert_eq!(value.as_bytes(), field.value_bytes());
        }
        prop_assert_eq!(count, fields.len());
        prop_assert_eq!(&ours.raw()[..], &raw[..]);
    }
}
