//! Requests of the original's API, as they come, each as one of all three methods: who passes the
//! edge has names that are bounded and without control characters, what is to be answered is of the
//! method's own size, and no proof is printed.

#![no_main]

use approzium::fuzzing::authenticator::v1::{
    AwsIdentity, Mysqlsha1HashRequest, PasswordRequest, Pgmd5HashRequest, Pgsha256HashRequest,
    V1Request,
};
use libfuzzer_sys::fuzz_target;

const PROOF: &str = "c4n4ry-of-a-proof";

fuzz_target!(|bytes: &[u8]| {
    if let Some((salt, iterations)) = read::<Pgmd5HashRequest>(bytes) {
        assert!(salt.len() == 4 && iterations.is_none());
    }
    if let Some((salt, iterations)) = read::<Mysqlsha1HashRequest>(bytes) {
        assert!(salt.len() == 20 && iterations.is_none());
    }
    if let Some((salt, iterations)) = read::<Pgsha256HashRequest>(bytes) {
        assert!(!salt.is_empty());
        assert!(iterations.is_some_and(|iterations| (4_096..=100_000).contains(&iterations)));
    }
});

fn read<Request: V1Request>(bytes: &[u8]) -> Option<(Vec<u8>, Option<u32>)> {
    let mut request = Request::decode(bytes).ok()?;
    let again = Request::decode(request.encode_to_vec().as_slice());
    assert!(again.as_ref() == Ok(&request));
    for name in request.caller().iter().flatten() {
        assert!(
            (1..=255).contains(&name.len()) && !name.contains(char::is_control),
            "{name:?}"
        );
    }
    let challenge = request.challenge();
    let who = request.who().get_or_insert_with(PasswordRequest::default);
    who.aws = Some(AwsIdentity {
        signed_get_caller_identity: PROOF.to_owned(),
        claimed_iam_arn: String::new(),
    });
    assert!(!format!("{request:?}").contains(PROOF));
    challenge
}
