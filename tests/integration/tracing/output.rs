//! The bytes that a subscriber writes.

use std::{
    fmt, io,
    sync::{Arc, Mutex},
};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use tracing::Level;
use tracing_subscriber::filter::Targets;

#[derive(Clone, Default)]
pub(super) struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    /// What a `fmt` layer takes.
    pub(super) fn writer(&self) -> impl Fn() -> Output + Send + Sync + 'static {
        let output = self.clone();
        move || output.clone()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Each line as the JSON object that it must be.
    pub(super) fn objects(&self) -> Vec<Value> {
        self.text().lines().map(object).collect()
    }

    /// The one line with that message.
    #[track_caller]
    pub(super) fn object(&self, message: &str) -> Value {
        let mut objects = self.objects();
        objects.retain(|object| {
            [&object["message"], &object["fields"]["message"]]
                .iter()
                .any(|said| **said == message)
        });
        assert_eq!(objects.len(), 1, "{message} in {}", self.text());
        objects.remove(0)
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines of the application and of the library, without those of this test's other half.
pub(super) fn ours() -> Targets {
    Targets::new()
        .with_target("integration", Level::TRACE)
        .with_target("approzium::query", Level::TRACE)
}

/// One JSON object, with no key twice.
#[track_caller]
pub(super) fn object(line: &str) -> Value {
    let parsed: Result<Unique, _> = serde_json::from_str(line);
    let Unique(map) = parsed.unwrap_or_else(|error| panic!("{error} in {line}"));
    Value::Object(map)
}

struct Unique(Map<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Unique(Map::new()))
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Unique, A::Error> {
        while let Some((key, value)) = entries.next_entry::<String, Value>()? {
            let before = self.0.insert(key.clone(), value);
            assert!(before.is_none(), "{key} twice");
        }
        Ok(self)
    }
}
