//! What a query is about, described when somebody first asks.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::{Description, LOOKED_AT, Protocol, prefix, read};

/// A query by its description, or by its text, which is read only when it must be: not while the
/// query waits to be sent.
#[derive(Default)]
pub(crate) struct Subject {
    description: OnceLock<Arc<Description>>,
    /// As much of it as is looked at.
    text: Option<(Box<str>, Protocol)>,
}

impl Subject {
    /// As [`describe`](super::describe) has it.
    pub(crate) fn text(text: &str) -> Self {
        Subject::of(text, Protocol::Extended)
    }

    /// As [`describe_simple`](super::describe_simple) has it.
    pub(crate) fn simple(text: &str) -> Self {
        Subject::of(text, Protocol::Simple)
    }

    fn of(text: &str, protocol: Protocol) -> Self {
        // One character more shows that there is more.
        let beginning = prefix(text, LOOKED_AT + char::MAX_LEN_UTF8);
        Subject {
            text: Some((beginning.into(), protocol)),
            ..Subject::default()
        }
    }

    pub(crate) fn description(&self) -> &Arc<Description> {
        self.description.get_or_init(|| {
            let read = |(text, protocol): &(Box<str>, Protocol)| read(text, *protocol);
            Arc::new(self.text.as_ref().map(read).unwrap_or_default())
        })
    }
}

impl<D: Into<Arc<Description>>> From<D> for Subject {
    fn from(description: D) -> Self {
        Subject {
            description: OnceLock::from(description.into()),
            text: None,
        }
    }
}

/// The text may hold values.
impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{describe, describe_simple},
        *,
    };

    #[test]
    fn a_text_is_described_as_if_it_were_read_at_once() {
        let long = |length: usize| format!("SELECT {} FROM t WHERE a = $1", "é".repeat(length));
        let around = (LOOKED_AT / 2 - 30)..(LOOKED_AT / 2 + 5);
        let texts = around.map(long).chain(["SELECT 1; SELECT 2".to_owned()]);
        for text in texts {
            assert_eq!(**Subject::text(&text).description(), describe(&text));
            assert_eq!(
                **Subject::simple(&text).description(),
                describe_simple(&text)
            );
        }
    }
}
