//! Links that search Jaeger for what runs here.

use std::io::{self, Write};

use approzium::attribution::{Attribution, keys};
use clap::builder::NonEmptyStringValueParser;
use opentelemetry::Key;
use opentelemetry_sdk::{Resource, resource::SdkProvidedResourceDetector};
use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;

/// What is asked of Jaeger, and where it is.
#[derive(Debug, clap::Args)]
pub(super) struct Question {
    /// Print links that search Jaeger for what runs here: the address of its pages, like
    /// `http://localhost:16686`
    #[arg(long, value_name = "URL", value_parser = pages)]
    jaeger: Option<Url>,

    /// The service to search, without which Jaeger searches nothing [default: OTEL_SERVICE_NAME,
    /// else service.name in OTEL_RESOURCE_ATTRIBUTES]
    #[arg(long, value_name = "NAME", requires = "jaeger", value_parser = NonEmptyStringValueParser::new())]
    service: Option<String>,

    /// Print a link to what failed with this too: an SQLSTATE like `42703`, or
    /// `permission_denied`, `unavailable`, `timeout`, `cancelled`
    #[arg(long, value_name = "TYPE", requires = "jaeger", value_parser = NonEmptyStringValueParser::new())]
    error_type: Option<String>,
}

impl Question {
    /// The answer, if there was a question.
    pub(super) fn search(&self, attribution: &Attribution) -> Option<Search> {
        let pages = self.jaeger.as_ref()?;
        let Some(service) = self.service.clone().or_else(service_of_environment) else {
            return Some(Search::Impossible {
                why_not: "Jaeger searches one service: add --service NAME, or set OTEL_SERVICE_NAME",
            });
        };
        let tags = tags(attribution);
        let link = |tags: &[_], more: &[_]| link(pages, &service, tags, more).into();
        let failed = self.error_type.as_ref().map(|error_type| {
            let error_type = ("error.type".to_owned(), error_type.clone());
            [tags.as_slice(), &[error_type]].concat()
        });
        Some(Search::Links {
            everything: link(&tags, &[]),
            slow: link(&tags, &[("minDuration", SLOW)]),
            failed: failed.map(|tags| link(&tags, &[])),
            service,
            tags: tags.into_iter().map(|(key, _)| key).collect(),
        })
    }
}

/// In Jaeger's notation.
const SLOW: &str = "1s";

/// What Jaeger's parser of searches takes for the time when they begin, if none is given: the page
/// would else say an hour, its own default, and show two days.
const LOOKBACK: &str = "2d";

/// Enough for a bad night, and still drawn at once.
const LIMIT: &str = "200";

/// Pages of Jaeger, or why there are none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Search {
    Links {
        service: String,
        /// The keys that are searched for.
        tags: Vec<String>,
        everything: String,
        slow: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
    },
    Impossible {
        why_not: &'static str,
    },
}

impl Search {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Search::Impossible { why_not } => writeln!(out, "\nno link: {why_not}"),
            Search::Links {
                service,
                tags,
                everything,
                slow,
                failed,
            } => {
                let by = match tags.as_slice() {
                    [] => "neither identity nor place is known: all of the service".to_owned(),
                    tags => format!("by {}", tags.join(", ")),
                };
                writeln!(out, "\nin Jaeger, service {service}, {by}")?;
                writeln!(out, "everything\n  {everything}")?;
                writeln!(out, "what took {SLOW} or longer\n  {slow}")?;
                match failed {
                    Some(failed) => writeln!(out, "what failed so\n  {failed}"),
                    // A search compares whole values, and has none for "any".
                    None => writeln!(
                        out,
                        "what failed\n  add --error-type: an SQLSTATE like 42703, or \
                         permission_denied, unavailable, timeout, cancelled.\n  \
                         Searches compare whole values, and Jaeger's store in memory does not \
                         find error=true."
                    ),
                }
            }
        }
    }
}

/// Who and where, as they stand on the spans of a connection: whole values, which is all that a
/// search compares.
fn tags(attribution: &Attribution) -> Vec<(String, String)> {
    let who = attribution.iam().map(|iam| match iam.role() {
        Some(role) => (keys::IAM_ROLE, role),
        None => (keys::IAM_ARN, iam.arn()),
    });
    let who = who.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let place = attribution.span_attributes();
    let place = place
        .iter()
        .map(|at| (at.key.to_string(), at.value.as_str().into_owned()));
    who.into_iter().chain(place).collect()
}

fn link(pages: &Url, service: &str, tags: &[(String, String)], more: &[(&str, &str)]) -> Url {
    let mut link = pages.clone();
    let path = format!("{}/search", pages.path().trim_end_matches('/'));
    link.set_path(&path);
    {
        let mut query = link.query_pairs_mut();
        query.append_pair("service", service);
        if !tags.is_empty() {
            let tags = tags.iter().cloned();
            let tags: Map<_, _> = tags.map(|(key, value)| (key, Value::from(value))).collect();
            query.append_pair("tags", &Value::Object(tags).to_string());
        }
        query.extend_pairs(more);
        query.append_pair("lookback", LOOKBACK);
        query.append_pair("limit", LIMIT);
    }
    // A plus is a space to those who decode forms alone.
    let query = link.query().map(|query| query.replace('+', "%20"));
    link.set_query(query.as_deref());
    link
}

/// As an application's SDK would name it.
fn service_of_environment() -> Option<String> {
    let detected = Resource::builder_empty()
        .with_detector(Box::new(SdkProvidedResourceDetector))
        .build();
    let name = detected.get(&Key::from_static_str("service.name"))?;
    let name = name.as_str().into_owned();
    (!name.is_empty() && !name.starts_with("unknown_service")).then_some(name)
}

/// The address of the pages; that of one of them is as good.
fn pages(text: &str) -> Result<Url, String> {
    let mut url: Url = text
        .parse()
        .map_err(|error| format!("write a URL like http://localhost:16686: {error}"))?;
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
        return Err("write a URL like http://localhost:16686".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a link is for others to see: leave the password out".to_owned());
    }
    url.set_query(None);
    url.set_fragment(None);
    if let Some(base) = url.path().strip_suffix("/search").map(str::to_owned) {
        url.set_path(&base);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use approzium::attribution::Collector;

    use super::*;

    async fn attribution(iam_arn: &str, variables: &[(&str, &str)]) -> Attribution {
        let nowhere = [("AWS_EC2_METADATA_DISABLED", "true")];
        Collector::builder()
            .root("/nonexistent")
            .environment(nowhere.iter().chain(variables).copied())
            .build()
            .collect()
            .await
            .with_verified_iam_arn(iam_arn)
    }

    fn question(url: &str, service: &str, error_type: Option<&str>) -> Question {
        Question {
            jaeger: Some(pages(url).unwrap()),
            service: Some(service.to_owned()),
            error_type: error_type.map(str::to_owned),
        }
    }

    const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/checkout/i-0abc";
    const POD: [(&str, &str); 2] = [
        ("K8S_POD_NAME", "checkout-7"),
        ("K8S_NAMESPACE_NAME", "shop"),
    ];

    #[tokio::test]
    async fn a_link_names_service_role_and_place_in_whole_values() {
        let attribution = attribution(ROLE, &POD).await;
        let found = question("http://jaeger:16686", "checkout", Some("42703"));
        let Some(Search::Links {
            everything,
            slow,
            failed,
            ..
        }) = found.search(&attribution)
        else {
            panic!("no links");
        };
        let tags = "%7B%22approzium.iam_role%22%3A%22checkout%22\
                    %2C%22approzium.k8s.namespace.name%22%3A%22shop%22\
                    %2C%22approzium.k8s.pod.name%22%3A%22checkout-7%22";
        let search = "http://jaeger:16686/search?service=checkout&tags=";
        assert_eq!(
            everything,
            format!("{search}{tags}%7D&lookback=2d&limit=200")
        );
        assert_eq!(
            slow,
            format!("{search}{tags}%7D&minDuration=1s&lookback=2d&limit=200")
        );
        assert_eq!(
            failed.unwrap(),
            format!("{search}{tags}%2C%22error.type%22%3A%2242703%22%7D&lookback=2d&limit=200")
        );
    }

    #[tokio::test]
    async fn a_user_is_searched_by_its_arn_and_what_is_unknown_by_nothing() {
        let user = "arn:aws:iam::123456789012:user/ada";
        let tags = tags(&attribution(user, &[]).await);
        assert_eq!(tags, [("approzium.iam_arn".to_owned(), user.to_owned())]);
        let nobody = attribution("no ARN", &[]).await;
        assert!(super::tags(&nobody).is_empty());
        let all = link(&pages("http://jaeger").unwrap(), "checkout", &[], &[]);
        let expected = "http://jaeger/search?service=checkout&lookback=2d&limit=200";
        assert_eq!(all.as_str(), expected);
    }

    #[test]
    fn whatever_a_name_holds_stays_one_value() {
        let service = r#"a b+c&d="é"#;
        let tags = [("key".to_owned(), r#"x"y\z & w"#.to_owned())];
        let link = link(&pages("https://jaeger/base/").unwrap(), service, &tags, &[]);
        assert_eq!(link.path(), "/base/search");
        assert!(!link.as_str().contains('+'), "{link}");
        let found: Vec<(String, String)> = link.query_pairs().into_owned().collect();
        assert_eq!(found[0], ("service".to_owned(), service.to_owned()));
        let parsed: Value = serde_json::from_str(&found[1].1).unwrap();
        assert_eq!(parsed, serde_json::json!({"key": r#"x"y\z & w"#}));
    }

    #[test]
    fn the_address_of_a_page_is_an_address_of_the_pages() {
        for (given, expected) in [
            ("http://localhost:16686", "http://localhost:16686/"),
            (
                "http://localhost:16686/search?service=a#b",
                "http://localhost:16686/",
            ),
            ("https://jaeger/base/search", "https://jaeger/base"),
        ] {
            assert_eq!(pages(given).unwrap().as_str(), expected);
        }
        for refused in [
            "localhost:16686",
            "jaeger",
            "file:///x",
            "http://ada:x@jaeger",
        ] {
            assert!(pages(refused).is_err(), "{refused}");
        }
    }
}
