//! Texts with a comment that names their span, as a real PostgreSQL got them.

use approzium::{
    opentelemetry::{Instrumentation, instrument, instrument_with},
    postgres::{Client, tokio_postgres::SimpleQueryMessage},
};
use futures_util::TryStreamExt;
use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::SpanData;
use tokio_postgres::types::Type;

use super::fixture::{Fixture, attribute};

/// What the server says is running: this very text.
const ITSELF: &str = "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// Nothing in it may end the comment, or lose its meaning.
const POD: &str = "o'neil's */ 100% \"ü\" \\";

async fn commenting(fixture: &Fixture) -> Client {
    let client = fixture.connect().await;
    instrument_with(Instrumentation::new().sqlcommenter(true));
    client.__with_attribution(vec![KeyValue::new("approzium.k8s.pod.name", POD)])
}

async fn simple(client: &Client, text: &str) -> String {
    let messages = client.simple_query(text).await.unwrap();
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get("query"),
        _ => None,
    });
    row.unwrap().to_owned()
}

/// The value of a comment's key, decoded.
fn value(text: &str, key: &str) -> Option<String> {
    let (_, value) = text.split_once(&format!("{key}='"))?;
    let (value, _) = value.split_once('\'')?;
    // A form's one name without a value.
    let (decoded, _) = url::form_urlencoded::parse(value.as_bytes()).next()?;
    Some(decoded.into_owned())
}

#[track_caller]
fn assert_names(text: &str, span: &SpanData) {
    let context = &span.span_context;
    let traceparent = format!("00-{}-{}-01", context.trace_id(), context.span_id());
    assert_eq!(value(text, "traceparent"), Some(traceparent), "{text}");
    assert_eq!(
        value(text, "approzium.k8s.pod.name").as_deref(),
        Some(POD),
        "{text}"
    );
    let shown = attribute(span, "db.query.text").unwrap();
    assert!(!shown.contains("/*"), "{shown}");
}

/// What the wrapper sends is not shown a second time for its comment.
#[track_caller]
fn assert_none_twice(fixture: &Fixture) {
    let spans = fixture.spans();
    let strays = spans
        .iter()
        .filter(|span| attribute(span, "approzium.parent").is_some());
    assert_eq!(strays.count(), 0, "{spans:#?}");
}

#[tokio::test]
async fn what_is_not_prepared_names_its_span() {
    let fixture = Fixture::start().await;
    let mut client = commenting(&fixture).await;
    let typed = format!("{ITSELF} AND $1");
    let yes = || {
        (
            &true as &(dyn tokio_postgres::types::ToSql + Sync),
            Type::BOOL,
        )
    };
    let mut texts = Vec::new();
    let recorded = fixture
        .record(async {
            texts.push(simple(&client, ITSELF).await);
            let rows = client.simple_query_raw(ITSELF).await.unwrap();
            let rows: Vec<_> = rows.try_collect().await.unwrap();
            let row = rows.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            texts.push(row.unwrap().to_owned());
            let rows = client.query_typed(&typed, &[yes()]).await.unwrap();
            texts.push(rows[0].get(0));
            let row = client.query_typed_one(&typed, &[yes()]).await.unwrap();
            texts.push(row.get(0));
            let row = client.query_typed_opt(&typed, &[yes()]).await.unwrap();
            texts.push(row.unwrap().get(0));
            let rows = client.query_typed_raw(&typed, [yes()]).await.unwrap();
            let rows: Vec<_> = rows.try_collect().await.unwrap();
            texts.push(rows[0].get(0));
            let transaction = client.transaction().await.unwrap();
            let rows = transaction.query_typed(&typed, &[yes()]).await.unwrap();
            texts.push(rows[0].get(0));
            transaction.commit().await.unwrap();
        })
        .await;
    let spans: Vec<_> = recorded.named("SELECT pg_stat_activity").collect();
    assert_eq!((spans.len(), texts.len()), (7, 7), "{:?}", recorded.names());
    for (text, span) in texts.iter().zip(spans) {
        assert!(text.starts_with(ITSELF) && text.ends_with("*/"), "{text}");
        assert_names(text, span);
    }
    assert_none_twice(&fixture);
}

#[tokio::test]
async fn what_returns_nothing_names_its_span_too() {
    let fixture = Fixture::start().await;
    let client = commenting(&fixture).await;
    let process = client.query_one("SELECT pg_backend_pid()", &[]).await;
    let process: i32 = process.unwrap().get(0);
    let watcher = fixture.connect().await;
    let last = async || -> String {
        let text = "SELECT query FROM pg_stat_activity WHERE pid = $1";
        watcher.query_one(text, &[&process]).await.unwrap().get(0)
    };
    let mut texts = Vec::new();
    let recorded = fixture
        .record(async {
            let batch = "CREATE TABLE marked (id int); INSERT INTO marked VALUES (1);\n";
            client.batch_execute(batch).await.unwrap();
            texts.push(last().await);
            let delete = "DELETE FROM marked WHERE id = $1 ;";
            let deleted = client.execute_typed(delete, &[(&1, Type::INT4)]).await;
            assert_eq!(deleted.unwrap(), 1);
            texts.push(last().await);
        })
        .await;
    let [batch, delete] = &texts[..] else {
        panic!("{texts:?}");
    };
    assert!(
        batch.contains("VALUES (1) /*") && batch.ends_with("*/;\n"),
        "{batch}"
    );
    assert!(
        delete.contains("id = $1 /*") && delete.ends_with("*/ ;"),
        "{delete}"
    );
    assert_names(batch, recorded.only("BATCH marked"));
    assert_names(delete, recorded.only("DELETE marked"));
    assert_none_twice(&fixture);
}

#[tokio::test]
async fn what_is_prepared_or_has_a_comment_stays_as_it_is() {
    let fixture = Fixture::start().await;
    let client = commenting(&fixture).await;
    let row = client.query_one(ITSELF, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), ITSELF);
    let statement = client.prepare(ITSELF).await.unwrap();
    let row = client.query_one(&statement, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), ITSELF);
    for text in [
        format!("{ITSELF} /* mine */"),
        format!("/*+ SeqScan(a) */ {ITSELF};"),
        format!("{ITSELF} -- mine"),
    ] {
        assert_eq!(simple(&client, &text).await, text);
    }
    assert_none_twice(&fixture);
    // Nobody asked for comments.
    instrument();
    assert_eq!(simple(&client, ITSELF).await, ITSELF);
}

#[tokio::test]
async fn values_survive_beside_a_comment() {
    let fixture = Fixture::start().await;
    let client = commenting(&fixture).await;
    let text = r#"SELECT 'it''s -- 100% /* "ü" */ %27;' AS value, $q$;'$q$ AS other ;"#;
    let messages = client.simple_query(text).await.unwrap();
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get("value"), row.get("other"))),
        _ => None,
    });
    let value = r#"it's -- 100% /* "ü" */ %27;"#;
    assert_eq!(row, Some((Some(value), Some(";'"))));
}
