//! What a query's span says of its text.

use std::{borrow::Cow, sync::Arc};

use ::opentelemetry::{KeyValue, Value};

use super::attributes as key;

/// The operation, the table and the text of a query, fit for a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// As the text has it; `None` for a statement whose text is not known.
    pub(crate) operation: Option<Arc<str>>,
    /// The first table, if it is certain.
    pub(crate) table: Option<Arc<str>>,
    /// The first table is the only one.
    pub(crate) single_table: bool,
    /// How many statements the text has.
    pub(crate) statements: usize,
    pub(crate) text: Option<Arc<str>>,
}

impl Description {
    /// `{operation} {table}`, never a literal.
    pub(super) fn span_name(&self) -> Cow<'static, str> {
        match (&self.operation, &self.table) {
            (Some(operation), Some(table)) => Cow::Owned(format!("{operation} {table}")),
            (Some(operation), None) => Cow::Owned(operation.as_ref().to_owned()),
            (None, _) => Cow::Borrowed("postgresql"),
        }
    }

    pub(super) fn write_attributes(&self, attributes: &mut Vec<KeyValue>) {
        let copied = |key, value: &Arc<str>| KeyValue::new(key, Value::from(Arc::clone(value)));
        if let Some(operation) = &self.operation {
            attributes.push(copied(key::DB_OPERATION_NAME, operation));
        }
        if let Some(table) = self.table.as_ref().filter(|_| self.single_table) {
            attributes.push(copied(key::DB_COLLECTION_NAME, table));
        }
        if self.statements > 1 {
            let statements = i64::try_from(self.statements).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new(key::DB_OPERATION_BATCH_SIZE, statements));
        }
        if let Some(text) = &self.text {
            attributes.push(copied(key::DB_QUERY_TEXT, text));
        }
    }
}
