//! What the computations of a login cost: the ratio within a group is what is to be read.
//!
//! `scram/derive` is what a client with a password pays on each login; `scram/client_final` is what
//! the Authenticator pays once it holds the keys.

#![allow(clippy::expect_used, reason = "a bench that fails should fail loudly")]

use std::{hint::black_box, time::Duration};

use approzium::wire::{
    channel_binding, md5,
    postgres::{BackendMessage, Frame, MAX_LOGIN_MESSAGE_LENGTH},
    scram::{ChannelBinding, ClientFirst, Keys, Limits, verify_server_final},
};
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const NONCE: [u8; 18] = [7; 18];
const SALT: [u8; 16] = [9; 16];
const ITERATIONS: u32 = 4_096;

fn scram(criterion: &mut Criterion) {
    let limits = Limits::default();
    let keys = Keys::derive(b"pencil", &SALT, ITERATIONS);
    let client_first = || ClientFirst::new(ChannelBinding::TlsServerEndPoint(vec![5; 32]), NONCE);
    // The base64 forms of NONCE and SALT.
    let server_first = b"r=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHVqB8JWdkVqB8JWdkVqB8JWdk,\
        s=CQkJCQkJCQkJCQkJCQkJCQ==,i=4096";
    let challenge = || {
        client_first()
            .server_first(server_first, &limits)
            .expect("a well-formed message")
    };

    let mut group = criterion.benchmark_group("scram");
    group.bench_function("derive", |bencher| {
        bencher.iter(|| Keys::derive(black_box(b"pencil"), &SALT, ITERATIONS));
    });
    group.bench_function("client_final", |bencher| {
        bencher.iter_batched(
            challenge,
            |challenge| challenge.client_final(&keys),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("client_first", |bencher| bencher.iter(client_first));
    group.bench_function("server_first", |bencher| {
        bencher.iter_batched(
            client_first,
            |client_first| client_first.server_first(black_box(server_first), &limits),
            BatchSize::SmallInput,
        );
    });
    let client_final = challenge()
        .client_final(&keys)
        .expect("the keys of this challenge");
    let digest = client_final.server_signature_digest();
    group.bench_function("verify_server_final/mismatch", |bencher| {
        let message = b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        bencher.iter(|| verify_server_final(black_box(message), &digest));
    });
    group.finish();
}

fn passwords(criterion: &mut Criterion) {
    criterion.bench_function("md5/response", |bencher| {
        bencher.iter(|| md5::response("bob", black_box(b"password"), [1, 2, 3, 4]));
    });
}

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("postgres");
    for (name, message) in [
        (
            "sasl",
            &b"R\0\0\0\x2a\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"[..],
        ),
        (
            "error",
            b"E\0\0\0\x47SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user bob\0\0",
        ),
    ] {
        let buffer = BytesMut::from(message);
        group.bench_function(format!("frame/{name}"), |bencher| {
            bencher.iter_batched_ref(
                || buffer.clone(),
                |buffer| Frame::read(buffer, MAX_LOGIN_MESSAGE_LENGTH),
                BatchSize::SmallInput,
            );
        });
        let mut whole = buffer.clone();
        let parsed = BackendMessage::read(&mut whole, MAX_LOGIN_MESSAGE_LENGTH);
        assert!(matches!(parsed, Ok(Some(_))) && whole.is_empty(), "{name}");
        group.bench_function(format!("message/{name}"), |bencher| {
            bencher.iter_batched_ref(
                || buffer.clone(),
                |buffer| BackendMessage::read(buffer, MAX_LOGIN_MESSAGE_LENGTH),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn certificates(criterion: &mut Criterion) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    criterion.bench_function("channel_binding/tls_server_end_point", |bencher| {
        bencher.iter(|| channel_binding::tls_server_end_point(black_box(certificate.der())));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = scram, passwords, messages, certificates
}
criterion_main!(benches);
