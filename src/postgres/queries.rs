//! The queries that a client and a transaction have alike, written once for both.

use std::pin::pin;

use bytes::Buf;
use tokio_postgres::{
    Error, Row, SimpleQueryMessage, Statement,
    types::{BorrowToSql, ToSql, Type},
};

use super::{
    client::Client,
    statement::ToStatement,
    streams::{CopyInSink, CopyOutStream, RowStream, is_row},
    transaction::Transaction,
};

/// An example in the documentation of a method, where `db` is what has the method.
macro_rules! example {
    ($of:ty, $($line:literal)+) => {
        concat!(
            "# Example\n```no_run\n",
            "# async fn example(db: &approzium::postgres::", stringify!($of), ") ",
            "-> Result<(), Box<dyn std::error::Error>> {\n",
            $($line, "\n",)+
            "# Ok(())\n# }\n```",
        )
    };
}

/// The driver's method, to be linked.
macro_rules! driver {
    ($of:literal, $method:literal) => {
        concat!("As [`tokio_postgres::", $of, "::", $method, "`].")
    };
}

/// Writes the queries of a type that has a `driver` and `spans`. The driver's two types name the
/// generics of `execute_raw` in different orders.
macro_rules! queries {
    ($type:ty, $of:tt, execute_raw<$($raw:ident),*>) => {
        /// Queries.
        ///
        /// # Errors
        /// The driver's own: what the database said, by its SQLSTATE; or that the connection is
        /// closed, a value does not fit its parameter, or there are more or fewer rows than asked.
        impl $type {
            /// Runs a statement and returns its rows.
            ///
            #[doc = driver!($of, "query")]
            ///
            #[doc = example!($type,
                "for row in db.query(\"SELECT id, note FROM orders WHERE id > $1\", &[&17]).await? {"
                "    println!(\"{}: {}\", row.get::<_, i32>(\"id\"), row.get::<_, &str>(\"note\"));"
                "}"
            )]
            pub async fn query<T>(
                &self,
                statement: &T,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Vec<Row>, Error>
            where
                T: ?Sized + ToStatement,
            {
                let query = self.spans.statement(statement);
                let rows = pin!(self.driver.query(statement, params));
                query.returning(rows, Vec::len).await
            }

            /// Runs a statement that returns exactly one row.
            ///
            #[doc = driver!($of, "query_one")]
            ///
            #[doc = example!($type,
                "let row = db.query_one(\"SELECT count(*) FROM orders\", &[]).await?;"
                "let orders: i64 = row.get(0);"
            )]
            pub async fn query_one<T>(
                &self,
                statement: &T,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Row, Error>
            where
                T: ?Sized + ToStatement,
            {
                let query = self.spans.statement(statement);
                let row = pin!(self.driver.query_one(statement, params));
                query.returning(row, |_| 1).await
            }

            /// Runs a statement that returns one row or none.
            ///
            #[doc = driver!($of, "query_opt")]
            pub async fn query_opt<T>(
                &self,
                statement: &T,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Option<Row>, Error>
            where
                T: ?Sized + ToStatement,
            {
                let query = self.spans.statement(statement);
                let row = pin!(self.driver.query_opt(statement, params));
                query.returning(row, |row| row.iter().count()).await
            }

            /// Runs a statement and returns its rows as they come.
            /// The span lasts until the stream is exhausted or dropped.
            ///
            #[doc = driver!($of, "query_raw")]
            ///
            #[doc = example!($type,
                "use futures_util::TryStreamExt;"
                "let rows = db.query_raw(\"SELECT id FROM orders WHERE id > $1\", [17]).await?;"
                "let mut rows = std::pin::pin!(rows);"
                "while let Some(row) = rows.try_next().await? {"
                "    println!(\"{}\", row.get::<_, i32>(\"id\"));"
                "}"
            )]
            pub async fn query_raw<T, P, I>(
                &self,
                statement: &T,
                params: I,
            ) -> Result<RowStream, Error>
            where
                T: ?Sized + ToStatement,
                P: BorrowToSql,
                I: IntoIterator<Item = P>,
                I::IntoIter: ExactSizeIterator,
            {
                let query = self.spans.statement(statement);
                let rows = pin!(self.driver.query_raw(statement, params));
                query.opened(rows, RowStream::new).await
            }

            /// Runs a text with parameters of given types, in one round trip.
            ///
            #[doc = driver!($of, "query_typed")]
            ///
            #[doc = example!($type,
                "use approzium::postgres::tokio_postgres::types::Type;"
                "let text = \"SELECT note FROM orders WHERE id = $1\";"
                "let rows = db.query_typed(text, &[(&17, Type::INT4)]).await?;"
            )]
            pub async fn query_typed(
                &self,
                query: &str,
                params: &[(&(dyn ToSql + Sync), Type)],
            ) -> Result<Vec<Row>, Error> {
                let operation = self.spans.text(query);
                let text = operation.commented(query);
                let rows = pin!(self.driver.query_typed(&text, params));
                operation.returning(rows, Vec::len).await
            }

            /// Runs a text with parameters of given types that returns exactly one row.
            ///
            #[doc = driver!($of, "query_typed_one")]
            pub async fn query_typed_one(
                &self,
                query: &str,
                params: &[(&(dyn ToSql + Sync), Type)],
            ) -> Result<Row, Error> {
                let operation = self.spans.text(query);
                let text = operation.commented(query);
                let row = pin!(self.driver.query_typed_one(&text, params));
                operation.returning(row, |_| 1).await
            }

            /// Runs a text with parameters of given types that returns one row or none.
            ///
            #[doc = driver!($of, "query_typed_opt")]
            pub async fn query_typed_opt(
                &self,
                query: &str,
                params: &[(&(dyn ToSql + Sync), Type)],
            ) -> Result<Option<Row>, Error> {
                let operation = self.spans.text(query);
                let text = operation.commented(query);
                let row = pin!(self.driver.query_typed_opt(&text, params));
                operation.returning(row, |row| row.iter().count()).await
            }

            /// Runs a text with parameters of given types and returns its rows as they come.
            /// The span lasts until the stream is exhausted or dropped.
            ///
            #[doc = driver!($of, "query_typed_raw")]
            pub async fn query_typed_raw<P, I>(
                &self,
                query: &str,
                params: I,
            ) -> Result<RowStream, Error>
            where
                P: BorrowToSql,
                I: IntoIterator<Item = (P, Type)>,
            {
                let operation = self.spans.text(query);
                let text = operation.commented(query);
                let rows = pin!(self.driver.query_typed_raw(&text, params));
                operation.opened(rows, RowStream::new).await
            }

            /// Runs a statement and returns the number of rows affected.
            ///
            #[doc = driver!($of, "execute")]
            ///
            #[doc = example!($type,
                "let shipped = \"UPDATE orders SET shipped = true WHERE id = $1\";"
                "assert_eq!(db.execute(shipped, &[&17]).await?, 1);"
            )]
            pub async fn execute<T>(
                &self,
                statement: &T,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<u64, Error>
            where
                T: ?Sized + ToStatement,
            {
                let query = self.spans.statement(statement);
                query.traced(pin!(self.driver.execute(statement, params))).await
            }

            /// Runs a text with parameters of given types and returns the number of rows affected.
            ///
            #[doc = driver!($of, "execute_typed")]
            pub async fn execute_typed(
                &self,
                query: &str,
                params: &[(&(dyn ToSql + Sync), Type)],
            ) -> Result<u64, Error> {
                let operation = self.spans.text(query);
                let text = operation.commented(query);
                operation.traced(pin!(self.driver.execute_typed(&text, params))).await
            }

            /// Runs a statement with parameters from an iterator and returns the number of rows
            /// affected.
            ///
            #[doc = driver!($of, "execute_raw")]
            pub async fn execute_raw<$($raw),*>(
                &self,
                statement: &T,
                params: I,
            ) -> Result<u64, Error>
            where
                T: ?Sized + ToStatement,
                P: BorrowToSql,
                I: IntoIterator<Item = P>,
                I::IntoIter: ExactSizeIterator,
            {
                let query = self.spans.statement(statement);
                query.traced(pin!(self.driver.execute_raw(statement, params))).await
            }

            /// Runs a `COPY … FROM STDIN` and returns the sink of its data.
            /// The span lasts until the copy is finished.
            ///
            #[doc = driver!($of, "copy_in")]
            ///
            #[doc = example!($type,
                "use futures_util::SinkExt;"
                "let mut sink = std::pin::pin!(db.copy_in(\"COPY orders (note) FROM STDIN\").await?);"
                "sink.send(bytes::Bytes::from_static(b\"fragile\\n\")).await?;"
                "assert_eq!(sink.finish().await?, 1);"
            )]
            pub async fn copy_in<T, U>(&self, statement: &T) -> Result<CopyInSink<U>, Error>
            where
                T: ?Sized + ToStatement,
                U: Buf + 'static + Send,
            {
                let copy = self.spans.statement(statement);
                copy.opened(pin!(self.driver.copy_in(statement)), CopyInSink::new).await
            }

            /// Runs a `COPY … TO STDOUT` and returns the stream of its data.
            /// The span lasts until the stream is exhausted or dropped.
            ///
            #[doc = driver!($of, "copy_out")]
            pub async fn copy_out<T>(&self, statement: &T) -> Result<CopyOutStream, Error>
            where
                T: ?Sized + ToStatement,
            {
                let copy = self.spans.statement(statement);
                let data = pin!(self.driver.copy_out(statement));
                copy.opened(data, CopyOutStream::new).await
            }

            /// Runs statements by the simple protocol and returns their rows as text.
            ///
            #[doc = driver!($of, "simple_query")]
            pub async fn simple_query(
                &self,
                query: &str,
            ) -> Result<Vec<SimpleQueryMessage>, Error> {
                let operation = self.spans.simple(query);
                let text = operation.commented(query);
                let messages = pin!(self.driver.simple_query(&text));
                let rows = |messages: &Vec<_>| messages.iter().filter(|one| is_row(one)).count();
                operation.returning(messages, rows).await
            }

            /// Runs statements by the simple protocol. They are one span, which says how many they
            /// are.
            ///
            #[doc = driver!($of, "batch_execute")]
            ///
            #[doc = example!($type,
                "db.batch_execute(\"CREATE TABLE a (id int); CREATE TABLE b (id int)\").await?;"
            )]
            pub async fn batch_execute(&self, query: &str) -> Result<(), Error> {
                let operation = self.spans.simple(query);
                let text = operation.commented(query);
                operation.traced(pin!(self.driver.batch_execute(&text))).await
            }

            /// Prepares a statement. The span says so: its operation is `PREPARE`. The spans of its
            /// runs have its text and operation.
            ///
            #[doc = driver!($of, "prepare")]
            ///
            #[doc = example!($type,
                "let statement = db.prepare(\"SELECT note FROM orders WHERE id = $1\").await?;"
                "let one = db.query_one(&statement, &[&17]).await?;"
                "let another = db.query_one(&statement, &[&18]).await?;"
            )]
            pub async fn prepare(&self, query: &str) -> Result<Statement, Error> {
                self.prepare_typed(query, &[]).await
            }

            /// Prepares a statement with parameters of given types.
            ///
            #[doc = driver!($of, "prepare_typed")]
            pub async fn prepare_typed(
                &self,
                query: &str,
                parameter_types: &[Type],
            ) -> Result<Statement, Error> {
                let statement = pin!(self.driver.prepare_typed(query, parameter_types));
                self.spans.prepared(query, statement).await
            }
        }
    };
}

queries!(Client, "Client", execute_raw<T, P, I>);
queries!(Transaction<'_>, "Transaction", execute_raw<P, I, T>);
