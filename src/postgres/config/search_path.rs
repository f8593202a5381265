//! The schema that a session begins in, where its options say so.

use std::{iter::Peekable, str::Chars};

/// The first schema of the `search_path` in a session's command-line options, as
/// `-c search_path=sales,public`; the last setting wins, as it does for the server.
///
/// None for `"$user"`, which names a schema only if there is one of that name.
pub(in crate::postgres) fn schema(options: &str) -> Option<String> {
    let mut words = words(options).into_iter();
    let mut search_path = None;
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next()
        } else {
            let setting = word.strip_prefix("--").or_else(|| word.strip_prefix("-c"));
            setting.map(str::to_owned)
        };
        let Some(setting) = setting else { continue };
        if let Some((name, value)) = setting.split_once('=')
            && name.replace('-', "_").eq_ignore_ascii_case("search_path")
        {
            search_path = Some(value.to_owned());
        }
    }
    first_name(search_path?.trim_start()).filter(|name| !name.is_empty() && name != "$user")
}

/// Separated by white space; a backslash takes the next character as it is.
fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        if character.is_ascii_whitespace() {
            words.extend(word.take());
            continue;
        }
        let literal = match character {
            '\\' => characters.next(),
            _ => Some(character),
        };
        word.get_or_insert_default().extend(literal);
    }
    words.extend(word);
    words
}

/// An identifier at the front of a list: quoted, or folded to lower case.
fn first_name(list: &str) -> Option<String> {
    match list.strip_prefix('"') {
        Some(quoted) => quoted_name(&mut quoted.chars().peekable()),
        None => {
            let end = |c: char| c == ',' || c.is_ascii_whitespace();
            list.split(end).next().map(str::to_ascii_lowercase)
        }
    }
}

fn quoted_name(characters: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut name = String::new();
    while let Some(character) = characters.next() {
        if character == '"' && characters.next_if_eq(&'"').is_none() {
            return Some(name);
        }
        name.push(character);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_schema_of_the_last_search_path_is_found() {
        for (options, expected) in [
            ("", None),
            ("-c statement_timeout=5s", None),
            ("-c search_path=Sales,public", Some("sales")),
            ("-c statement_timeout=5s -csearch_path=sales", Some("sales")),
            ("--search-path=a -c search_path=\\ b\\ ,c", Some("b")),
            (r#"-c search_path="A""b",c"#, Some("A\"b")),
            (r#"-c search_path="$user",public"#, None),
            ("-c search_path=", None),
            (r#"-c search_path="open"#, None),
            ("-c", None),
            ("\\", None),
        ] {
            assert_eq!(schema(options).as_deref(), expected, "{options}");
        }
    }
}
