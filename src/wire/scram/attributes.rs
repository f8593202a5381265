//! The grammar of SCRAM messages (RFC 5802, section 7): attributes `a=value` in a fixed order, then
//! extensions.

use super::Error;

/// The attributes of one message, read from the front.
pub(super) struct Attributes<'a> {
    text: &'a str,
    rest: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    /// Takes a message of at most `limit` bytes.
    pub(super) fn new(message: &'a [u8], limit: usize) -> Result<Self, Error> {
        if message.len() > limit {
            return Err(Error::MessageTooLong { limit });
        }
        let text = str::from_utf8(message).map_err(|_| Error::NotText)?;
        if text.contains('\0') {
            return Err(Error::NotText);
        }
        Ok(Attributes {
            text,
            rest: Some(text),
        })
    }

    /// The message as it was received.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The value of the attribute that has to come next.
    pub(super) fn expect(&mut self, name: char) -> Result<&'a str, Error> {
        match self.next() {
            Some(('m', _)) => Err(Error::MandatoryExtension),
            Some((found, value)) if found == name && !value.is_empty() => Ok(value),
            _ => Err(Error::ExpectedAttribute(name)),
        }
    }

    /// Whether this attribute comes next; nothing is read.
    pub(super) fn is_next(&self, name: char) -> bool {
        self.rest
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('='))
    }

    /// Reads to the end, which may hold optional extensions. They mean nothing here, but they are
    /// part of the text that the proof covers.
    pub(super) fn extensions(mut self) -> Result<(), Error> {
        while self.rest.is_some() {
            match self.next() {
                Some(('m', _)) => return Err(Error::MandatoryExtension),
                Some((name, value))
                    if name.is_ascii_alphabetic()
                        && !ATTRIBUTES.contains(&name)
                        && !value.is_empty() => {}
                _ => return Err(Error::MalformedExtension),
            }
        }
        Ok(())
    }

    /// Name and value up to the next comma, if it has that form.
    fn next(&mut self) -> Option<(char, &'a str)> {
        let rest = self.rest.take()?;
        let attribute = match rest.split_once(',') {
            Some((attribute, rest)) => {
                self.rest = Some(rest);
                attribute
            }
            None => rest,
        };
        let mut characters = attribute.chars();
        let name = characters.next()?;
        characters
            .as_str()
            .strip_prefix('=')
            .map(|value| (name, value))
    }
}

/// The attributes that RFC 5802 gives a place of their own, so that they cannot be extensions.
const ATTRIBUTES: [char; 10] = ['a', 'n', 'm', 'r', 'c', 's', 'i', 'p', 'v', 'e'];
