//! Records as operators write them, and as Vault and AWS Secrets Manager answer: the first line says
//! which. What is wrong
//! with them is said in one line, without anything that stands there.

#![no_main]

use approzium::{
    authenticator::KvVersion,
    fuzzing::authenticator::{
        aws_secret, json_records, login, mount, reply, vault_records, yaml_records,
    },
};
use http::StatusCode;
use libfuzzer_sys::fuzz_target;

/// Stands in the corpus wherever a secret could.
const SECRET: &str = "hunter2";

fuzz_target!(|bytes: &[u8]| {
    let line = bytes.iter().position(|byte| *byte == b'\n');
    let (kind, body) = bytes.split_at(line.unwrap_or(0));
    let body = body.get(1..).unwrap_or_default();
    let problem = match kind {
        b"yaml" => yaml_records(body).err(),
        b"json" => json_records(body).err(),
        b"vault 1" => vault_records(KvVersion::One, body).err(),
        b"vault 2" => vault_records(KvVersion::Two, body).err(),
        b"mount" => mount(body).err(),
        b"login" => match login(body) {
            Ok(life) => {
                assert!(life.is_none_or(|(ttl, renewed)| renewed <= ttl));
                None
            }
            Err(problem) => Some(problem),
        },
        [b'a', b'w', b's', b' ', status @ ..] => {
            let status = of(status);
            match aws_secret(status, body) {
                // Why it gives none may be shown.
                Err(said) if !status.is_success() => {
                    assert!(is_short_line(&said), "{said:?}");
                    None
                }
                found => found.err(),
            }
        }
        _ => {
            let status = of(kind);
            let said = reply(status, body);
            assert!(is_short_line(&said), "{said:?}");
            None
        }
    };
    if let Some(problem) = problem {
        assert!(!problem.contains(SECRET), "{problem}");
        assert!(
            problem.len() < 1024 && !problem.contains(char::is_control),
            "{problem:?}"
        );
    }
});

fn of(status: &[u8]) -> StatusCode {
    StatusCode::from_bytes(status).unwrap_or(StatusCode::FORBIDDEN)
}

fn is_short_line(said: &str) -> bool {
    said.len() < 8 * 1024 && !said.contains(char::is_control)
}
