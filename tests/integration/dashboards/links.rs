//! The links of Jaeger's pages. That they lead where they say is seen in a browser, in `thread`.

use std::collections::BTreeSet;

use reqwest::Url;
use serde_json::{Value, json};

use super::read;

/// What a query's span says of who ran it and where, by one value each.
const KEYS: [&str; 6] = [
    "approzium.iam_arn",
    "approzium.iam_role",
    "approzium.k8s.pod.name",
    "approzium.ecs.task.id",
    "approzium.ec2.instance_id",
    "approzium.request_id",
];

#[test]
fn role_place_and_request_are_links_to_a_search_for_themselves() {
    let settings: Value = serde_json::from_str(&read("jaeger-ui.json")).unwrap();
    let patterns = settings["linkPatterns"].as_array().unwrap();
    let mut linked = BTreeSet::new();
    for pattern in patterns {
        let text = |key: &str| pattern[key].as_str().unwrap().to_owned();
        let key = text("key");
        let link = text("url")
            .replace("#{approzium.service}", "shop")
            .replace(&format!("#{{{key}}}"), "value");
        assert!(!link.contains('#'), "{key}: {link}");
        let page = Url::parse("http://localhost:16686").unwrap();
        let page = page.join(&link).unwrap();
        let parameter = |name: &str| {
            let mut pairs = page.query_pairs();
            pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        assert_eq!(parameter("service").as_deref(), Some("shop"), "{key}");
        let tags: Value = serde_json::from_str(&parameter("tags").unwrap()).unwrap();
        assert_eq!(tags, json!({ &key: "value" }));
        linked.insert(key);
    }
    assert_eq!(linked, KEYS.map(str::to_owned).into());
}
