//! Two ARNs, a line each: whom a record names, and whom STS names. They are the same only in the same
//! partition and account, under the same name.

#![no_main]

use approzium::{
    fuzzing::identity::caller,
    identity::{Arn, Principal},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (named, stated) = text.split_once('\n').unwrap_or((text, text));
    if let Ok(arn) = Arn::parse(named) {
        assert_eq!(arn.as_str(), named);
        let parts = [
            arn.partition(),
            arn.service(),
            arn.region(),
            arn.account(),
            arn.resource(),
        ];
        assert_eq!(format!("arn:{}", parts.join(":")), named);
    }
    let caller = Arn::parse(stated).and_then(|arn| caller(&arn));
    for principal in [Principal::parse(named), caller.clone()].iter().flatten() {
        let shown = principal.to_string();
        assert_eq!(Principal::parse(&shown).as_ref(), Ok(principal), "{shown}");
        assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let (Ok(named), Ok(caller)) = (Principal::parse(named), caller) else {
        return;
    };
    if named.matches(&caller) {
        assert!(caller.matches(&named));
        assert_eq!(named.partition(), caller.partition());
        assert_eq!(named.account(), caller.account());
        assert_eq!(named.role_name(), caller.role_name());
    }
});
