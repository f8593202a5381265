//! Connection strings: one with a password is refused, whatever else stands in it, and not shown.

#![no_main]

use approzium::postgres::Config;
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "c4n4ry-of-a-password";

fuzz_target!(|text: &str| {
    if let Err(error) = text.parse::<Config>() {
        let said = error.to_string();
        assert!(
            said.len() < 4096 && !said.contains(char::is_control),
            "{said:?}"
        );
    }
    let scheme = ["postgresql://", "postgres://"]
        .into_iter()
        .find(|scheme| text.starts_with(scheme));
    match scheme {
        None => refused(&format!("password={SECRET} {text}")),
        Some(scheme) => {
            let mark = if text.contains('?') { '&' } else { '?' };
            refused(&format!("{text}{mark}password={SECRET}"));
            refused(&format!("{scheme}user:{SECRET}@{}", &text[scheme.len()..]));
        }
    }
});

fn refused(text: &str) {
    let error = text.parse::<Config>().expect_err("a password is refused");
    for said in [error.to_string(), format!("{error:?}")] {
        assert!(!said.contains(SECRET), "{said}");
    }
}
