//! A connection without a password, and a query that says who ran it.
//!
//! The Authenticator is the environment's: `APPROZIUM_ADDRESS` and `APPROZIUM_CA`, which
//! `approzium serve --dev` writes into a file to be sourced; so are the AWS credentials. Give the
//! connection string as the argument.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = std::env::args().nth(1).ok_or("give a connection string")?;

    let spans = approzium::opentelemetry::otlp::pipeline().build().await?;
    spans.set_global();
    approzium::opentelemetry::instrument();

    let client = approzium::postgres::connect(&database).await?;
    let row = client.query_one("SELECT current_user::text", &[]).await?;
    println!("logged in as {}", row.get::<_, &str>(0));

    spans.shutdown(Duration::from_secs(3)).await?;
    Ok(())
}
