//! What says that it cannot serve: a proxy that reached no Authenticator, or the Authenticator.

use super::*;

#[tokio::test]
async fn a_proxy_that_reaches_no_authenticator_is_asked_again() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    let failures = |number: usize| {
        let left = AtomicUsize::new(number);
        let one_less = move |left| usize::checked_sub(left, 1);
        behaviour.on_handshake(move |ask| match &ask {
            Request::Start(_)
                if left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                    .is_ok() =>
            {
                Reply::Fail(Status::unavailable("no healthy upstream"))
            }
            _ => answer(ask),
        });
    };
    // It has granted a session, so that it is worth some waiting for.
    failures(RETRIES + 2);
    open(&client).await.unwrap();
    assert_eq!(behaviour.sessions(), 1);

    let hasty = server.client().connect_timeout(Duration::from_millis(300));
    let hasty = hasty.build().unwrap();
    open(&hasty).await.unwrap();
    failures(usize::MAX);
    let error = open(&hasty).await.unwrap_err();
    assert!(
        error.is_retryable() && error.hop() == Hop::Authenticator,
        "{error}"
    );
    assert!(error.to_string().contains("no healthy upstream"), "{error}");
}

#[tokio::test]
async fn an_authenticator_that_cannot_serve_is_asked_once() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    behaviour.on_handshake(|_| Reply::Fail(testing::status(Code::Unavailable, "sealed")));
    let error = open(&server.client().build().unwrap()).await.unwrap_err();
    assert!(
        error.is_retryable() && error.hop() == Hop::Handshake,
        "{error}"
    );
    assert_eq!(behaviour.seen().len(), 1);
}
