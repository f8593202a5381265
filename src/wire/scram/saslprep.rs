//! Passwords normalised as PostgreSQL does it.

use stringprep::tables;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// A password after SASLprep (RFC 4013), or as it is where SASLprep refuses it.
///
/// A server keeps keys of what *its* SASLprep made of the password, so its reading of the RFC
/// decides: the prohibitions are checked before the normalisation instead of after it, and a
/// password of which nothing remains is left as it is. Source: `pg_saslprep` in PostgreSQL's
/// `src/common/saslprep.c`, the same in all versions that know SCRAM.
pub(super) fn prepare(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let prepared = match str::from_utf8(password) {
        Ok(text) if !text.is_ascii() => saslprep(text),
        _ => None,
    };
    prepared.unwrap_or_else(|| Zeroizing::new(password.to_vec()))
}

fn saslprep(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut mapped = Zeroizing::new(String::with_capacity(text.len()));
    for character in text.chars() {
        if tables::non_ascii_space_character(character) {
            mapped.push(' ');
        } else if !tables::commonly_mapped_to_nothing(character) {
            mapped.push(character);
        }
    }
    if mapped.is_empty() || mapped.contains(is_prohibited) || is_bidirectional_mix(&mapped) {
        return None;
    }
    // NFKC makes at most 11 times as many bytes of a text. They are reserved, as a buffer that
    // grows leaves its old one behind unwiped.
    let mut normalised = Zeroizing::new(Vec::with_capacity(11 * mapped.len()));
    let mut buffer = Zeroizing::new([0; 4]);
    for character in mapped.nfkc() {
        normalised.extend_from_slice(character.encode_utf8(buffer.as_mut_slice()).as_bytes());
    }
    Some(normalised)
}

/// RFC 4013, sections 2.3 and 2.5. Its spaces are gone already, and surrogates are no `char`s.
fn is_prohibited(character: char) -> bool {
    tables::ascii_control_character(character)
        || tables::non_ascii_control_character(character)
        || tables::private_use(character)
        || tables::non_character_code_point(character)
        || tables::inappropriate_for_plain_text(character)
        || tables::inappropriate_for_canonical_representation(character)
        || tables::change_display_properties_or_deprecated(character)
        || tables::tagging_character(character)
        || tables::unassigned_code_point(character)
}

/// RFC 3454, section 6: right-to-left text that holds left-to-right characters, or does not begin
/// and end right to left.
fn is_bidirectional_mix(text: &str) -> bool {
    text.contains(tables::bidi_r_or_al)
        && (text.contains(tables::bidi_l)
            || !text.starts_with(tables::bidi_r_or_al)
            || !text.ends_with(tables::bidi_r_or_al))
}
