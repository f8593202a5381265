//! libpq's two forms of connection strings, taken apart into keys and values.
//!
//! The grammar is libpq's (`conninfo_parse` and `conninfo_uri_parse` in `fe-connect.c`). Nothing of
//! the text stands in an error: a password may be anywhere in a string that does not parse.

use std::{iter::Peekable, str::CharIndices};

use crate::{Error, Result};

/// The keys and values of a connection string, in their order.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>> {
    match ["postgresql://", "postgres://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
    {
        Some(rest) => url(rest),
        None => pairs(text),
    }
}

/// Appends a pair in the `key='value'` form.
pub(super) fn append(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str("='");
    for character in value.chars() {
        if matches!(character, '\'' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push_str("' ");
}

pub(super) fn password_refused() -> Error {
    Error::configuration("the connection string holds a password")
        .with_help("take it out: the Authenticator answers the database's challenge instead")
}

fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut characters = text.char_indices().peekable();
    loop {
        skip_whitespace(&mut characters);
        let Some(&(start, _)) = characters.peek() else {
            return Ok(found);
        };
        let mut key = String::new();
        while let Some((_, character)) =
            characters.next_if(|&(_, character)| character != '=' && !character.is_whitespace())
        {
            key.push(character);
        }
        skip_whitespace(&mut characters);
        if key.is_empty() || characters.next_if(|&(_, c)| c == '=').is_none() {
            return Err(Error::configuration(format!(
                "the connection string: no key and = at byte {start}"
            ))
            .with_help("write key=value pairs, values with spaces in single quotes, or a URL"));
        }
        if key == "password" {
            return Err(password_refused());
        }
        skip_whitespace(&mut characters);
        let value = value(&mut characters)?;
        found.push((key, value));
    }
}

fn value(characters: &mut Peekable<CharIndices<'_>>) -> Result<String> {
    let quoted = characters.next_if(|&(_, c)| c == '\'').is_some();
    let mut value = String::new();
    while let Some(&(_, character)) = characters.peek() {
        if !quoted && character.is_whitespace() {
            return Ok(value);
        }
        characters.next();
        match character {
            '\'' if quoted => return Ok(value),
            '\\' => {
                if let Some((_, escaped)) = characters.next() {
                    value.push(escaped);
                }
            }
            _ => value.push(character),
        }
    }
    if quoted {
        return Err(Error::configuration(
            "the connection string: a quoted value does not end",
        ));
    }
    Ok(value)
}

fn skip_whitespace(characters: &mut Peekable<CharIndices<'_>>) {
    while characters
        .next_if(|&(_, character)| character.is_whitespace())
        .is_some()
    {}
}

fn url(text: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let (location, query) = match text.split_once('?') {
        Some((location, query)) => (location, Some(query)),
        None => (text, None),
    };
    let (authority, database) = match location.split_once('/') {
        Some((authority, database)) => (authority, Some(database)),
        None => (location, None),
    };
    // The last @ separates: one inside a password then still counts as a password, and is refused.
    let hosts = match authority.rsplit_once('@') {
        Some((user, hosts)) => {
            if user.contains(':') {
                return Err(password_refused());
            }
            if !user.is_empty() {
                found.push(("user".to_owned(), decode(user)?));
            }
            hosts
        }
        None => authority,
    };
    if !hosts.is_empty() {
        let mut names = Vec::new();
        let mut ports = Vec::new();
        for host in hosts.split(',') {
            let (name, port) = host_and_port(host)?;
            names.push(decode(name)?);
            ports.push(decode(port)?);
        }
        found.push(("host".to_owned(), names.join(",")));
        found.push(("port".to_owned(), ports.join(",")));
    }
    if let Some(database) = database.filter(|database| !database.is_empty()) {
        found.push(("dbname".to_owned(), decode(database)?));
    }
    for parameter in query.unwrap_or("").split('&').filter(|p| !p.is_empty()) {
        let (key, value) = parameter
            .split_once('=')
            .ok_or_else(|| Error::configuration("the connection URL: a parameter has no ="))?;
        let key = decode(key)?;
        if key == "password" {
            return Err(password_refused());
        }
        found.push((key, decode(value)?));
    }
    Ok(found)
}

/// `name`, `name:port`, `[address]` or `[address]:port`. No port is an empty one: the default.
fn host_and_port(host: &str) -> Result<(&str, &str)> {
    let Some(bracketed) = host.strip_prefix('[') else {
        return Ok(host.split_once(':').unwrap_or((host, "")));
    };
    let (address, port) = bracketed
        .split_once(']')
        .ok_or_else(|| Error::configuration("the connection URL: a [ has no ]"))?;
    match port.strip_prefix(':') {
        Some(port) => Ok((address, port)),
        None if port.is_empty() => Ok((address, "")),
        None => Err(Error::configuration(
            "the connection URL: a ] is followed by neither : nor the end of the host",
        )),
    }
}

/// Percent-decoding as libpq's: two hexadecimal digits after each %, no NUL.
fn decode(text: &str) -> Result<String> {
    let invalid = || Error::configuration("the connection URL: a %-escape is not valid");
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || {
            bytes
                .next()
                .and_then(|digit| char::from(digit).to_digit(16))
                .ok_or_else(invalid)
        };
        let value = u8::try_from(digit()? * 16 + digit()?).map_err(|_| invalid())?;
        if value == 0 {
            return Err(invalid());
        }
        decoded.push(value);
    }
    String::from_utf8(decoded).map_err(|_| invalid())
}
