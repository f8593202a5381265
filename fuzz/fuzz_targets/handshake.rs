//! Messages of either stream, as they come: what passes the edge is bounded and holds no control
//! characters, and no secret is printed.

#![no_main]

use approzium::fuzzing::{
    AuthenticateRequest, CreateSessionRequest, HandshakeStart, authenticator,
};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = AuthenticateRequest::decode(bytes) {
        assert_eq!(
            AuthenticateRequest::decode(message.encode_to_vec().as_slice()).as_ref(),
            Ok(&message)
        );
        let _ = format!("{message:?}");
    }
    if let Ok(message) = CreateSessionRequest::decode(bytes) {
        assert_eq!(
            CreateSessionRequest::decode(message.encode_to_vec().as_slice()).as_ref(),
            Ok(&message)
        );
        let _ = format!("{message:?}");
    }
    let Ok(mut start) = HandshakeStart::decode(bytes) else {
        return;
    };
    if let Some(texts) = authenticator::target(&start) {
        assert!(texts.len() <= 3 + 2 * 64);
        for text in texts {
            assert!(
                text.len() <= 256 && !text.contains(char::is_control),
                "{text:?}"
            );
        }
    }
    start.session_token = "c4n4ry-of-a-session".to_owned();
    assert!(!format!("{start:?}").contains("c4n4ry-of-a-session"));
});
