//! The one request that a proof signs, as both sides write it.

/// The body, and with it the whole question.
pub(super) const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
/// Signed, so pinned.
pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

pub(super) const X_AMZ_DATE: &str = "x-amz-date";
/// Names the Authenticator that a proof is for. Not an `x-amz-` name: those are AWS's to give
/// meaning to.
pub(super) const X_APPROZIUM_AUDIENCE: &str = "x-approzium-audience";
/// The Authenticator's random bytes of this session stream, in lower-case hexadecimal.
pub(super) const X_APPROZIUM_NONCE: &str = "x-approzium-nonce";

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 1–128 characters of `[A-Za-z0-9._:-]`: what an audience may be, on both sides.
pub(crate) fn is_audience(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}
