//! A session token, and in the next line claims under the right key: a token is good in one form
//! alone, and no claims make somebody of what STS could not have said.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use approzium::{
    fuzzing::authenticator::Sessions,
    identity::{Arn, VerifiedIdentity},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let sessions = Sessions::new(UNIX_EPOCH + Duration::from_secs(1_767_323_045)).unwrap();
    let (token, claims) = text.split_once('\n').unwrap_or((text, ""));
    if sessions.verify(token).is_some() {
        for other in [
            format!("{token}="),
            format!("{token}A"),
            format!("{token} "),
            token.to_ascii_uppercase(),
            token[..token.len() - 1].to_owned(),
        ] {
            assert!(sessions.verify(&other).is_none(), "{other}");
        }
    }
    let signed = sessions.sign(claims.as_bytes()).unwrap();
    if let Some(identity) = sessions.verify(&signed) {
        let arn = Arn::parse(&identity.arn).unwrap();
        assert_eq!(arn.account(), identity.principal.account());
        let again = VerifiedIdentity::new(&identity.arn, &identity.user_id).unwrap();
        let granted = sessions.grant(again.clone(), "1").unwrap();
        assert_eq!(sessions.verify(&granted), Some(again));
    }
});
