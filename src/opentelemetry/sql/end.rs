//! Where a comment may be appended to a text.

use super::lexer::{Kind, Lexer};

/// The end of a text's last statement, before the semicolons and the space that may follow it.
///
/// None where a comment stands already or cannot be ruled out, where there is no statement, and in
/// texts that are too long to be read to their end.
pub(in crate::opentelemetry) fn end(text: &str) -> Option<usize> {
    if text.len() > READ {
        return None;
    }
    let (mut at, mut end) = (0, None);
    for token in Lexer::new(text) {
        at += token.text.len();
        match token.kind {
            Kind::Comment | Kind::AmbiguousLiteral => return None,
            Kind::Space | Kind::Symbol(';') => {}
            _ => end = Some(at),
        }
    }
    end
}

/// Far more than what people write, in bytes: a bulk load pays for no second reading.
const READ: usize = 1024 * 1024;
