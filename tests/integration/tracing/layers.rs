//! `layer()`: the application's spans.

use approzium::tracing::layer;
use approzium_peers::peer;
use tracing::{field::Empty, instrument::WithSubscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, fmt, layer::SubscriberExt, registry};

use super::{
    assert_attributed, assert_not_attributed, attribution, connect,
    output::{Output, ours},
    run,
};
use crate::thread::House;

#[tokio::test]
async fn the_outermost_span_says_who_and_where() {
    let house = peer!(House::open(None));
    run(&house, "tracing::layers::as_soon_as_it_is_known").await;
    run(&house, "tracing::layers::of_those_that_are_shown").await;
}

#[tokio::test]
#[ignore = "an application: the_outermost_span_says_who_and_where runs it"]
async fn as_soon_as_it_is_known() {
    let [json, text, pretty] = [(); 3].map(|()| Output::default());
    let subscriber = registry()
        .with(ours())
        .with(fmt::layer().json().with_writer(json.writer()))
        .with(layer())
        .with(fmt::layer().with_ansi(true).with_writer(text.writer()))
        .with(
            fmt::layer()
                .pretty()
                .with_ansi(false)
                .with_writer(pretty.writer()),
        );
    async {
        tracing::info!("outside");
        let request = tracing::info_span!("request", path = "/orders", answer = Empty);
        request.in_scope(|| tracing::info!("nothing known"));
        connect().await;
        request.in_scope(|| tracing::info!("known"));
        request.record("answer", 42);
        request.in_scope(|| {
            let inner = tracing::info_span!("inner");
            inner.in_scope(|| tracing::info!("recorded"));
        });
        tracing::info!("outside again");
    }
    .with_subscriber(subscriber)
    .await;

    for message in ["outside", "nothing known", "outside again"] {
        assert_not_attributed(&json.object(message));
    }
    let known = json.object("known");
    assert_attributed(&known["spans"][0]);
    assert_attributed(&known["span"]);
    let recorded = json.object("recorded");
    assert_attributed(&recorded["spans"][0]);
    assert_not_attributed(&recorded["spans"][1]);
    assert_eq!(recorded["spans"][0]["path"], "/orders");
    assert_eq!(recorded["spans"][0]["answer"], 42);

    let list = |separator: &str, key: &str, colon: &str| {
        let fields = attribution().into_iter();
        let fields = fields.map(|(name, value)| format!("{separator}{key}{name}{colon}{value:?}"));
        fields.collect::<String>()
    };
    let (key, equals) = ("\u{1b}[3m", "\u{1b}[0m\u{1b}[2m=\u{1b}[0m");
    let fields = |fields: &str| format!("{key}path{equals}\"/orders\"{fields}\u{1b}");
    let shown = list(" ", key, equals);
    assert_eq!(
        text.text().matches(&fields(&shown)).count(),
        1,
        "{}",
        text.text()
    );
    let shown = format!("{shown} {key}answer{equals}42");
    assert_eq!(
        text.text().matches(&fields(&shown)).count(),
        1,
        "{}",
        text.text()
    );
    let shown = format!("with path: \"/orders\"{}", list(", ", "", ": "));
    assert_eq!(
        pretty.text().matches(&shown).count(),
        2,
        "{}",
        pretty.text()
    );
}

#[tokio::test]
#[ignore = "an application: the_outermost_span_says_who_and_where runs it"]
async fn of_those_that_are_shown() {
    connect().await;
    let output = Output::default();
    let lines = fmt::layer().json().with_writer(output.writer());
    let subscriber = registry()
        .with(lines.with_filter(LevelFilter::INFO))
        .with(layer());
    tracing::subscriber::with_default(subscriber, || {
        let connection = tracing::debug_span!("connection");
        let _connection = connection.enter();
        let request = tracing::info_span!("request");
        request.in_scope(|| tracing::info!("below what is not shown"));
        let request = tracing::info_span!("request", "approzium.iam_role" = "its own");
        request.in_scope(|| tracing::info!("its own"));
        request.in_scope(|| tracing::info!("its own, again"));
        // As of a connection, under which each request's span is put by its name.
        let waiting = tracing::info_span!(parent: None, "waiting");
        let inside = tracing::info_span!(parent: &waiting, "inside");
        inside.in_scope(|| tracing::info!("below what is not entered"));
    });
    assert_attributed(&output.object("below what is not shown")["spans"][0]);
    let below = output.object("below what is not entered");
    assert_eq!(below["spans"][0]["name"], "waiting");
    assert_attributed(&below["spans"][0]);
    assert_not_attributed(&below["spans"][1]);
    for message in ["its own", "its own, again"] {
        let span = &output.object(message)["spans"][0];
        assert_eq!(span["approzium.iam_role"], "its own");
        assert!(span["approzium.k8s.pod.name"].is_string(), "{span}");
    }
}
