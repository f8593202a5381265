//! The URL of a presigned proof, taken apart to the letter.
//!
//! No parser for URLs at large is asked: those forgive much, each another thing, and what one reads
//! out of a text another may not.

use crate::identity::Rejection;

/// The parameters that may be there, each once.
const PARAMETERS: [&str; 9] = [
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

/// Scheme, host (with all that stands beside it) and query of `scheme://host/?query`.
pub(super) fn parts(url: &str) -> Result<(&str, &str, &str), Rejection> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or(Rejection::Malformed("it is not a URL"))?;
    let (host, path_and_query) = rest
        .split_once('/')
        .ok_or(Rejection::Malformed("the URL has no path"))?;
    let query = path_and_query
        .strip_prefix('?')
        .ok_or(Rejection::Malformed("the URL's path is not /"))?;
    Ok((scheme, host, query))
}

/// The values of [`PARAMETERS`], decoded.
pub(super) fn parameters(query: &str) -> Result<[Option<String>; PARAMETERS.len()], Rejection> {
    let mut found: [Option<String>; PARAMETERS.len()] = Default::default();
    for parameter in query.split('&') {
        let (name, value) = parameter
            .split_once('=')
            .ok_or(Rejection::Malformed("a parameter has no value"))?;
        // STS may tell names apart by case or not: here they are the same, and only one of their
        // spellings is known.
        let place = PARAMETERS
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))
            .ok_or(Rejection::Malformed("a parameter is none of those allowed"))?;
        let place = found
            .get_mut(place)
            .ok_or(Rejection::Malformed("a parameter is none of those allowed"))?;
        if place.replace(decoded(value)?).is_some() {
            return Err(Rejection::Malformed("a parameter is there twice"));
        }
        if !PARAMETERS.contains(&name) {
            return Err(Rejection::Malformed(
                "a parameter's name is not in the case that it is signed in",
            ));
        }
    }
    Ok(found)
}

/// Percent-decoding, of characters that a query may hold, to visible ASCII.
fn decoded(text: &str) -> Result<String, Rejection> {
    const MALFORMED: Rejection =
        Rejection::Malformed("a parameter has characters that it cannot have");
    let mut value = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let character = match character {
            '%' => {
                let mut digit = || rest.next().and_then(|digit| digit.to_digit(16));
                let code = digit()
                    .zip(digit())
                    .and_then(|(high, low)| u8::try_from(16 * high + low).ok());
                char::from(code.ok_or(MALFORMED)?)
            }
            _ if is_unreserved(character) => character,
            _ => return Err(MALFORMED),
        };
        if !character.is_ascii_graphic() {
            return Err(MALFORMED);
        }
        value.push(character);
    }
    Ok(value)
}

/// RFC 3986.
fn is_unreserved(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~')
}

pub(super) fn push_encoded(text: &mut String, value: &str) {
    for byte in value.bytes() {
        if is_unreserved(char::from(byte)) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}
