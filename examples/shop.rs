//! An application as it runs in a pod. It is given an address and an identity, and no password:
//!
//! | variable | what |
//! |---|---|
//! | `DATABASE_URL` | the database; a password in it would be an error |
//! | `APPROZIUM_ADDRESS`, `APPROZIUM_CA` | the Authenticator |
//! | `AWS_…` | whose identity this is, as for any AWS SDK |
//! | `K8S_POD_NAME`, `K8S_NAMESPACE_NAME` | from the downward API |
//! | `OTEL_…` | where spans go, under which service name |
//!
//! `scripts/quickstart` runs three of these.

#![allow(
    clippy::print_stdout,
    reason = "the quickstart reads which traces to show"
)]

use std::{error::Error, future::Future, time::Duration};

use approzium::postgres::{self, Client};
use opentelemetry::{
    Context, global,
    trace::{FutureExt, SpanKind, Status, TraceContextExt, Tracer},
};
use tracing_subscriber::{
    Layer, filter::LevelFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result {
    // On each line that is logged: who, where, and in which trace.
    let lines = fmt::layer()
        .json()
        .map_event_format(approzium::tracing::attributed)
        .with_filter(LevelFilter::WARN);
    tracing_subscriber::registry().with(lines).init();
    let pipeline = approzium::opentelemetry::otlp::pipeline().build().await?;
    pipeline.set_global();
    approzium::opentelemetry::instrument();

    let database = std::env::var("DATABASE_URL")?;
    match std::env::args().nth(1).as_deref() {
        Some("checkout") => checkout(&database).await?,
        Some("reporting") => reporting(&database).await?,
        Some("debug-shell") => debug_shell(&database).await?,
        _ => return Err("which part of the shop? checkout, reporting or debug-shell".into()),
    }
    pipeline.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

/// Takes an order; then a release that came before its migration asks for a column that is not
/// there yet.
async fn checkout(database: &str) -> Result {
    let client = request("POST /orders", async {
        let mut client = postgres::connect(database).await?;
        order(&mut client).await.map(|()| client)
    });
    let client = client.await?;
    let loyalty = "SELECT loyalty_points FROM orders WHERE customer = $1";
    match request("GET /loyalty", client.query(loyalty, &[&"customer 7"])).await {
        Ok(_) => Err("the column that is missing was found".into()),
        Err(_) => Ok(()),
    }
}

async fn order(client: &mut Client) -> Result {
    let transaction = client.transaction().await?;
    let product = transaction
        .query_one(
            "SELECT stock FROM products WHERE id = $1 FOR UPDATE",
            &[&42],
        )
        .await?;
    if product.get::<_, i32>("stock") > 0 {
        let insert = "INSERT INTO orders (product_id, customer, quantity) VALUES ($1, $2, 1)";
        transaction.execute(insert, &[&42, &"customer 7"]).await?;
        let update = "UPDATE products SET stock = stock - 1 WHERE id = $1";
        transaction.execute(update, &[&42]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Two reports: one slow, one not.
async fn reporting(database: &str) -> Result {
    let client = request("GET /reports/revenue", async {
        let client = postgres::connect(database).await?;
        let revenue = "SELECT month::text, revenue::text FROM revenue_by_month";
        client.query(revenue, &[]).await?;
        Result::Ok(client)
    });
    let client = client.await?;
    let best = "SELECT product_id, sum(quantity) FROM orders GROUP BY 1 ORDER BY 2 DESC LIMIT 10";
    request("GET /reports/bestsellers", client.query(best, &[])).await?;
    Ok(())
}

/// Somebody tries.
async fn debug_shell(database: &str) -> Result {
    match request("psql", postgres::connect(database)).await {
        Err(error) if error.is_permission_denied() => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err("a role that no record names was let in".into()),
    }
}

/// Serves something that was asked for: one trace.
async fn request<T, E: ToString>(
    name: &'static str,
    work: impl Future<Output = std::result::Result<T, E>>,
) -> std::result::Result<T, E> {
    let tracer = global::tracer("shop");
    let span = tracer
        .span_builder(name)
        .with_kind(SpanKind::Server)
        .start(&tracer);
    let context = Context::current_with_span(span);
    println!("trace {} {name}", context.span().span_context().trace_id());
    let result = work.with_context(context.clone()).await;
    if let Err(error) = &result {
        context.span().set_status(Status::error(error.to_string()));
    }
    context.span().end();
    result
}
