//! Jaeger's query API, and links into its pages.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::Value;

use crate::{Error, Result, http};

/// A Jaeger that can be asked, this crate's or anybody's.
#[derive(Clone, Debug)]
pub struct Query {
    url: String,
    http: reqwest::Client,
}

/// A trace as Jaeger returns it.
#[derive(Clone, Debug)]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub id: String,
    /// In Jaeger's order.
    pub spans: Vec<Span>,
}

/// A span of a [`Trace`].
#[derive(Clone, Debug)]
pub struct Span {
    /// 16 hexadecimal digits.
    pub id: String,
    /// The parent's id; none for a root.
    pub parent: Option<String>,
    /// Its name.
    pub name: String,
    /// The service of its resource.
    pub service: String,
    /// Attributes, with Jaeger's own `span.kind`, `error`, `otel.status_code` among them.
    pub tags: BTreeMap<String, String>,
    /// Attributes of its resource.
    pub resource: BTreeMap<String, String>,
    /// Microseconds since the epoch.
    pub start: u64,
    /// Microseconds.
    pub duration: u64,
}

impl Query {
    /// By the address of its pages: `http://127.0.0.1:16686`.
    pub fn new(url: &str) -> Self {
        Query {
            url: url.trim_end_matches('/').to_owned(),
            http: http::client(),
        }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The services that have sent spans.
    pub async fn services(&self) -> Result<Vec<String>> {
        let data = self.get(self.page("/api/services", &[])).await?;
        Ok(strings(&data))
    }

    /// The traces of a service in which one span has all the tags, at most 200.
    ///
    /// A tag here is an attribute. What Jaeger shows as `error=true` is a status, and its store in
    /// memory (2.13) never finds that: search for `error.type` or `db.response.status_code`.
    pub async fn traces(&self, service: &str, tags: &[(&str, &str)]) -> Result<Vec<Trace>> {
        let tags = tags_parameter(tags);
        let parameters = [
            ("service", service),
            ("tags", tags.as_str()),
            ("limit", "200"),
        ];
        let data = self.get(self.page("/api/traces", &parameters)).await?;
        Ok(data.as_array().into_iter().flatten().map(trace).collect())
    }

    /// The traces that the page of a search lists: the same parameters, asked of the API.
    pub async fn searched(&self, link: &str) -> Result<Vec<Trace>> {
        let link = Url::parse(link).map_err(|error| Error::failed(link, error))?;
        let mut asked = self.page("/api/traces", &[]);
        asked.set_query(link.query());
        let data = self.get(asked).await?;
        Ok(data.as_array().into_iter().flatten().map(trace).collect())
    }

    /// One trace, if it has arrived.
    pub async fn trace(&self, id: &str) -> Result<Option<Trace>> {
        let data = self.trace_data(id).await?;
        let traces = data.as_ref().and_then(Value::as_array);
        Ok(traces.and_then(|traces| traces.first()).map(trace))
    }

    /// One trace with all that Jaeger knows of it, if it has arrived, as JSON.
    pub async fn trace_json(&self, id: &str) -> Result<Option<String>> {
        let data = self.trace_data(id).await?;
        Ok(data.as_ref().map(Value::to_string))
    }

    async fn trace_data(&self, id: &str) -> Result<Option<Value>> {
        let url = self.page(&format!("/api/traces/{id}"), &[]);
        let response = self.http.get(url.clone()).send().await;
        let response = response.map_err(|error| Error::failed(&url, error))?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let mut answer = http::json(&url, response).await?;
        Ok(Some(answer["data"].take()))
    }

    /// The page of a search. A link that names no times finds two days, whatever its `lookback`
    /// makes the page say.
    pub fn search_link(&self, service: &str, tags: &[(&str, &str)]) -> String {
        let tags = tags_parameter(tags);
        let parameters = [
            ("service", service),
            ("tags", tags.as_str()),
            ("lookback", "2d"),
            ("limit", "200"),
        ];
        self.page("/search", &parameters).into()
    }

    /// The page of a trace, one of its spans found and shown.
    pub fn trace_link(&self, trace: &str, span: Option<&str>) -> String {
        let found: Vec<(&str, &str)> = span.map(|span| ("uiFind", span)).into_iter().collect();
        self.page(&format!("/trace/{trace}"), &found).into()
    }

    pub(super) fn page(&self, path: &str, parameters: &[(&str, &str)]) -> Url {
        let page = format!("{}{path}", self.url);
        let parsed = match parameters {
            [] => Url::parse(&page),
            parameters => Url::parse_with_params(&page, parameters),
        };
        parsed.expect("Jaeger's address is a URL")
    }

    async fn get(&self, url: Url) -> Result<Value> {
        Ok(self.answer(url).await?["data"].take())
    }

    /// The whole of what Jaeger says.
    pub(super) async fn answer(&self, url: Url) -> Result<Value> {
        let response = self.http.get(url.clone()).send().await;
        http::json(&url, response.map_err(|error| Error::failed(&url, error))?).await
    }
}

impl Trace {
    /// The spans of that name.
    pub fn named<'a, 'b>(&'a self, name: &'b str) -> impl Iterator<Item = &'a Span> + use<'a, 'b> {
        self.spans.iter().filter(move |span| span.name == name)
    }

    /// The one span of that name.
    ///
    /// # Panics
    /// If there is none, or more than one; shows the whole trace.
    pub fn only(&self, name: &str) -> &Span {
        let found: Vec<&Span> = self.named(name).collect();
        match found[..] {
            [span] => span,
            _ => panic!("{} spans named {name:?} in\n{}", found.len(), self.tree()),
        }
    }

    /// The children of a span.
    pub fn children<'a>(&'a self, parent: &'a Span) -> impl Iterator<Item = &'a Span> {
        self.spans
            .iter()
            .filter(move |span| span.parent.as_deref() == Some(parent.id.as_str()))
    }

    /// Drawn as a tree, one line a span, in order of time.
    pub fn tree(&self) -> String {
        let mut drawn = String::new();
        let known = |id: &str| self.spans.iter().any(|span| span.id == id);
        let mut roots: Vec<&Span> = self
            .spans
            .iter()
            .filter(|span| !span.parent.as_deref().is_some_and(known))
            .collect();
        roots.sort_by_key(|span| span.start);
        for root in roots {
            self.draw(root, 0, &mut drawn);
        }
        drawn
    }

    fn draw(&self, span: &Span, depth: usize, drawn: &mut String) {
        let milliseconds = span.duration as f64 / 1000.0;
        let failed = if span.failed() { "  ERROR" } else { "" };
        drawn.push_str(&format!(
            "{:indent$}{}  {milliseconds:.1} ms  [{}]{failed}\n",
            "",
            span.name,
            span.service,
            indent = depth * 2
        ));
        let mut children: Vec<&Span> = self.children(span).collect();
        children.sort_by_key(|child| child.start);
        for child in children {
            self.draw(child, depth + 1, drawn);
        }
    }
}

impl Span {
    /// An attribute as text.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.get(key).map(String::as_str)
    }

    /// Whether its status is an error.
    pub fn failed(&self) -> bool {
        self.tag("error") == Some("true")
    }
}

/// All of them must be on one span; Jaeger compares whole values.
fn tags_parameter(tags: &[(&str, &str)]) -> String {
    let map: serde_json::Map<String, Value> = tags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
        .collect();
    Value::Object(map).to_string()
}

fn trace(value: &Value) -> Trace {
    let processes = &value["processes"];
    let spans = value["spans"].as_array().into_iter().flatten();
    Trace {
        id: text(&value["traceID"]),
        spans: spans
            .map(|span| {
                let process = &processes[text(&span["processID"])];
                Span {
                    id: text(&span["spanID"]),
                    parent: span["references"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .find(|reference| reference["refType"] == "CHILD_OF")
                        .map(|reference| text(&reference["spanID"])),
                    name: text(&span["operationName"]),
                    service: text(&process["serviceName"]),
                    tags: tags(&span["tags"]),
                    resource: tags(&process["tags"]),
                    start: span["startTime"].as_u64().unwrap_or_default(),
                    duration: span["duration"].as_u64().unwrap_or_default(),
                }
            })
            .collect(),
    }
}

fn tags(value: &Value) -> BTreeMap<String, String> {
    let tags = value.as_array().into_iter().flatten();
    tags.map(|tag| (text(&tag["key"]), text(&tag["value"])))
        .collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
