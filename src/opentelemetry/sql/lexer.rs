//! PostgreSQL's lexical structure, as far as literals and names need it.
//!
//! <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>. Every byte of the text belongs
//! to exactly one token, so that the tokens put together are the text again.

/// A piece of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// White space.
    Space,
    /// `-- …` or `/* … */`.
    Comment,
    /// A keyword or a name.
    Word,
    /// `"name"` or `U&"name"`.
    QuotedName,
    /// A string or a number.
    Literal,
    /// A string with `\'` in it: where it ends depends on `standard_conforming_strings`.
    AmbiguousLiteral,
    /// `$1`.
    Parameter,
    /// Anything else, a character at a time.
    Symbol(char),
}

/// Cuts a text into tokens.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer { rest: text }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let (kind, length) = measure(self.rest)?;
        // Every length ends behind an ASCII character or at the end of the text.
        let (text, rest) = self
            .rest
            .split_at_checked(length)
            .unwrap_or((self.rest, ""));
        self.rest = rest;
        Some(Token { kind, text })
    }
}

fn measure(text: &str) -> Option<(Kind, usize)> {
    let bytes = text.as_bytes();
    let first = *bytes.first()?;
    let second = bytes.get(1).copied().unwrap_or(0);
    Some(match (first, second) {
        (byte, _) if byte.is_ascii_whitespace() => {
            (Kind::Space, run(bytes, |byte| byte.is_ascii_whitespace()))
        }
        (b'-', b'-') => (
            Kind::Comment,
            run(bytes, |byte| !matches!(byte, b'\n' | b'\r')),
        ),
        (b'/', b'*') => (Kind::Comment, block_comment(bytes)),
        (b'\'', _) => string(bytes, 0, false),
        (b'"', _) => (Kind::QuotedName, quoted_name(bytes, 0)),
        (b'$', b'0'..=b'9') => (
            Kind::Parameter,
            1 + run(tail(bytes, 1), |byte| byte.is_ascii_digit()),
        ),
        (b'$', _) => match dollar_quoted(bytes) {
            Some(length) => (Kind::Literal, length),
            None => (Kind::Symbol('$'), 1),
        },
        (b'0'..=b'9', _) | (b'.', b'0'..=b'9') => (Kind::Literal, number(bytes)),
        (b'e' | b'E', b'\'') => string(bytes, 1, true),
        (b'b' | b'B' | b'x' | b'X' | b'n' | b'N', b'\'') => string(bytes, 1, false),
        (b'u' | b'U', b'&') if bytes.get(2) == Some(&b'\'') => string(bytes, 2, false),
        (b'u' | b'U', b'&') if bytes.get(2) == Some(&b'"') => {
            (Kind::QuotedName, quoted_name(bytes, 2))
        }
        (byte, _) if is_word_start(byte) => (
            Kind::Word,
            run(bytes, |byte| {
                is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
            }),
        ),
        (byte, _) => (Kind::Symbol(char::from(byte)), 1),
    })
}

/// How many bytes at the front are alike.
fn run(bytes: &[u8], alike: impl Fn(u8) -> bool) -> usize {
    bytes
        .iter()
        .position(|&byte| !alike(byte))
        .unwrap_or(bytes.len())
}

fn tail(bytes: &[u8], from: usize) -> &[u8] {
    bytes.get(from..).unwrap_or_default()
}

/// Letters of other scripts are letters; they are more than one byte.
fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

/// Comments of the second kind nest.
fn block_comment(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A string whose quote stands behind a `prefix`; with `escapes`, a backslash escapes.
fn string(bytes: &[u8], prefix: usize, escapes: bool) -> (Kind, usize) {
    let mut at = prefix + 1;
    let mut ambiguous = false;
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        match (byte, next) {
            (b'\\', Some(_)) if escapes => at += 2,
            (b'\\', Some(b'\'')) => {
                ambiguous = true;
                at += 1;
            }
            (b'\'', Some(b'\'')) => at += 2,
            (b'\'', _) => {
                at += 1;
                break;
            }
            _ => at += 1,
        }
    }
    let kind = if ambiguous {
        Kind::AmbiguousLiteral
    } else {
        Kind::Literal
    };
    (kind, at.min(bytes.len()))
}

fn quoted_name(bytes: &[u8], prefix: usize) -> usize {
    let mut at = prefix + 1;
    while let Some(&byte) = bytes.get(at) {
        match (byte, bytes.get(at + 1)) {
            (b'"', Some(b'"')) => at += 2,
            (b'"', _) => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `$tag$ … $tag$`; `None` if what begins here is no tag.
fn dollar_quoted(bytes: &[u8]) -> Option<usize> {
    let tag = 1 + run(tail(bytes, 1), |byte| {
        is_word_start(byte) || byte.is_ascii_digit()
    });
    if bytes.get(tag) != Some(&b'$') {
        return None;
    }
    let delimiter = bytes.get(..=tag)?;
    let body = tail(bytes, delimiter.len());
    let end = body
        .windows(delimiter.len())
        .position(|window| window == delimiter);
    Some(match end {
        Some(end) => delimiter.len() * 2 + end,
        None => bytes.len(),
    })
}

fn number(bytes: &[u8]) -> usize {
    let mut at = 0;
    let hexadecimal = matches!(bytes.get(..2), Some(b"0x" | b"0X"));
    while let Some(&byte) = bytes.get(at) {
        let signed = matches!(byte, b'e' | b'E')
            && !hexadecimal
            && matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        match byte {
            _ if signed => at += 2,
            b'.' | b'_' => at += 1,
            _ if byte.is_ascii_alphanumeric() => at += 1,
            _ => break,
        }
    }
    at
}
