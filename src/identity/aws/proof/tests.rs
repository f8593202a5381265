use ::time::macros::datetime;
use proptest::prelude::*;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

fn proof() -> AwsProof {
    AwsProof {
        access_key_id: "ASIAIOSFODNN7EXAMPLE".into(),
        amz_date: "20260102T030405Z".into(),
        region: "eu-central-1".into(),
        security_token: "token+/=".into(),
        audience: "db.example.com:6001".into(),
        signature: "0123456789abcdef".repeat(4),
    }
}

fn parse(proof: &AwsProof) -> Result<CheckedProof, Rejection> {
    let audiences = Audiences::new(["other", "db.example.com:6001"]).unwrap();
    CheckedProof::parse(proof, &[0xab; 32], &audiences, NOW, &Skew::default())
}

#[test]
fn writes_the_one_request() {
    let checked = parse(&proof()).unwrap();
    let nonce = "ab".repeat(32);
    assert_eq!(
        checked.headers(checked.region().sts_host()),
        [
            (
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8"
            ),
            ("host", "sts.eu-central-1.amazonaws.com"),
            ("x-amz-date", "20260102T030405Z"),
            ("x-amz-security-token", "token+/="),
            ("x-approzium-audience", "db.example.com:6001"),
            ("x-approzium-nonce", &nonce),
        ]
    );
    assert_eq!(
        checked.authorization(),
        format!(
            "AWS4-HMAC-SHA256 \
             Credential=ASIAIOSFODNN7EXAMPLE/20260102/eu-central-1/sts/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;\
             x-approzium-audience;x-approzium-nonce, \
             Signature={}",
            "0123456789abcdef".repeat(4)
        )
    );
}

#[test]
fn without_a_token_none_is_signed() {
    let checked = parse(&AwsProof {
        security_token: String::new(),
        ..proof()
    })
    .unwrap();
    let names: Vec<_> = checked.headers("h").into_iter().map(|(n, _)| n).collect();
    assert_eq!(
        names,
        [
            "content-type",
            "host",
            "x-amz-date",
            "x-approzium-audience",
            "x-approzium-nonce"
        ]
    );
    assert!(checked.authorization().contains(
        "SignedHeaders=content-type;host;x-amz-date;x-approzium-audience;x-approzium-nonce,"
    ));
}

#[test]
fn refuses_parts_that_are_not_of_their_form() {
    type Change = fn(&mut AwsProof);
    let changes: &[(&str, Change)] = &[
        ("key empty", |p| p.access_key_id.clear()),
        ("key short", |p| p.access_key_id = "A".repeat(15)),
        ("key long", |p| p.access_key_id = "A".repeat(129)),
        ("key with a scope", |p| p.access_key_id.push_str("/x")),
        ("key with a comma", |p| p.access_key_id.push(',')),
        ("key with a line", |p| p.access_key_id.push('\n')),
        ("date empty", |p| p.amz_date.clear()),
        ("date short", |p| p.amz_date = "20260102T03040Z".into()),
        ("date in lower case", |p| {
            p.amz_date = "20260102t030405z".into();
        }),
        ("date with a sign", |p| {
            p.amz_date = "+0260102T030405Z".into()
        }),
        ("date with a zone", |p| p.amz_date.push_str("+00")),
        ("date in ISO", |p| p.amz_date = "2026-01-02T03:04".into()),
        ("date that is none", |p| {
            p.amz_date = "20260230T030405Z".into()
        }),
        ("date with a line", |p| {
            p.amz_date = "20260102T030405\n".into()
        }),
        ("date in other digits", |p| {
            p.amz_date = "२०26010T0304Z".into();
        }),
        ("token of 8 KiB and 1", |p| {
            p.security_token = "x".repeat(8193);
        }),
        ("token with a line", |p| {
            p.security_token = "a\r\nx: y".into()
        }),
        ("token with a space", |p| p.security_token = "a b".into()),
        ("token with NUL", |p| p.security_token = "a\0".into()),
        ("token not ASCII", |p| p.security_token = "é".into()),
        ("signature short", |p| {
            p.signature.pop();
        }),
        ("signature long", |p| p.signature.push('0')),
        ("signature in upper case", |p| {
            p.signature = "A".repeat(64);
        }),
        ("signature with more headers", |p| {
            p.signature.push_str(",SignedHeaders=host");
        }),
        ("audience empty", |p| p.audience.clear()),
        ("audience long", |p| p.audience = "x".repeat(129)),
        ("audience with a line", |p| p.audience = "other\n".into()),
        ("audience with a space", |p| p.audience = "oth er".into()),
    ];
    for (name, change) in changes {
        let mut changed = proof();
        change(&mut changed);
        let rejection = parse(&changed).unwrap_err();
        assert_eq!(rejection.reason(), "proof_malformed", "{name}");
        assert!(!rejection.is_retryable());
    }
}

#[test]
fn a_token_of_8_kib_is_taken() {
    let checked = parse(&AwsProof {
        security_token: "x".repeat(8192),
        ..proof()
    });
    assert!(checked.is_ok());
}

#[test]
fn the_region_is_one_of_the_table_s() {
    for region in [
        "",
        "eu-central-1\n",
        "EU-CENTRAL-1",
        "aws-global",
        "evil.example/x",
    ] {
        let rejection = parse(&AwsProof {
            region: region.into(),
            ..proof()
        })
        .unwrap_err();
        assert_eq!(rejection, Rejection::UnknownRegion, "{region:?}");
    }
}

#[test]
fn the_audience_is_one_of_the_list_s() {
    for audience in ["db.example.com", "OTHER", "another", "db.example.com:6002"] {
        let rejection = parse(&AwsProof {
            audience: audience.into(),
            ..proof()
        })
        .unwrap_err();
        assert_eq!(rejection, Rejection::Audience, "{audience}");
    }
    for names in [vec![], vec![""], vec!["fine", "not fine"], vec!["a\n"]] {
        assert!(Audiences::new(names.clone()).is_err(), "{names:?}");
    }
}

#[test]
fn the_date_is_bounded_on_both_sides() {
    for (date, expected) in [
        ("20260102T025905Z", None),
        ("20260102T025904Z", Some(Rejection::Expired)),
        ("20260102T030905Z", None),
        ("20260102T030906Z", Some(Rejection::NotYetValid)),
        ("00010101T000000Z", Some(Rejection::Expired)),
        ("99991231T235959Z", Some(Rejection::NotYetValid)),
    ] {
        let rejection = parse(&AwsProof {
            amz_date: date.into(),
            ..proof()
        })
        .err();
        assert_eq!(rejection, expected, "{date}");
    }
}

#[test]
fn prints_neither_token_nor_signature() {
    let proof = proof();
    let shown = format!("{proof:?}{:?}", parse(&proof).unwrap());
    assert!(shown.contains("ASIAIOSFODNN7EXAMPLE"));
    assert!(!shown.contains("token+/=") && !shown.contains(&proof.signature));
}

proptest! {
    /// Whatever a peer writes, no byte of it begins a new header or a new field.
    #[test]
    fn nothing_is_injected(
        access_key_id in ".{0,40}",
        amz_date in "2026010[12]T0[0-9]{5}Z|.{0,20}",
        security_token in ".{0,40}",
        audience in "other|.{0,40}",
        signature in "[0-9a-f]{64}|.{0,80}",
    ) {
        let proof = AwsProof {
            access_key_id, amz_date, security_token, audience, signature, ..proof()
        };
        if let Ok(checked) = parse(&proof) {
            let fields = checked.authorization();
            prop_assert_eq!(fields.matches(',').count(), 2);
            prop_assert_eq!(fields.matches('=').count(), 3);
            for (_, value) in checked.headers("h") {
                prop_assert!(value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            }
        }
    }
}
