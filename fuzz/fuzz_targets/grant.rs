//! What an Authenticator, or who plays it, grants and says of its clock.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use approzium::{
    fuzzing::{
        SessionChallenge, SessionGrant,
        client::{granted, refused},
    },
    identity::Arn,
};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(grant) = SessionGrant::decode(bytes) {
        match granted(grant) {
            Ok((arn, lifetime)) => {
                assert!(Arn::parse(&arn).is_ok());
                assert!(lifetime <= Duration::from_secs(60 * 60));
            }
            Err(error) => assert!(!error.to_string().contains(char::is_control)),
        }
    }
    if let Ok(challenge) = SessionChallenge::decode(bytes) {
        let now = UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        let said = refused(&challenge, now).to_string();
        assert!(
            said.len() < 512 && !said.contains(char::is_control),
            "{said:?}"
        );
    }
});
