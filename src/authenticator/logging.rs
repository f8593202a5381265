//! Where the binary's log goes: standard error, as text or as one JSON object a line.

mod lines;

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    os::fd::AsFd as _,
    panic,
    sync::OnceLock,
    time::Duration,
};

use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{LevelFilter, ParseError},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use self::lines::Lines;
use crate::error::printable;

/// The target of audit lines, none of which may be lost unheard.
pub(crate) const AUDIT: &str = "approzium::audit";

/// Of this process, which has one standard error.
static LINES: OnceLock<Lines> = OnceLock::new();

/// How long the last lines are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: fields at the top level, the request's id in each line of a request.
    Json,
}

/// What `log_level` may say: a level, or directives such as `info,approzium::audit=off`. Unless they
/// name it, audit lines are written whatever the level.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, String> {
    // A word of its own would be the name of a target: a misspelt level is one that nobody has.
    let words = level.split(',');
    for word in words.filter(|word| !word.contains(['=', ':', '[', '{', '}', ']'])) {
        word.parse::<LevelFilter>().map_err(|_| {
            let word = printable(word);
            format!("{word:?} is no level: error, warn, info, debug, trace or off, or target=level")
        })?;
    }
    let filter = EnvFilter::try_new(level).map_err(|error| error.to_string())?;
    if level.contains(AUDIT) {
        return Ok(filter);
    }
    let audit = format!("{AUDIT}=info").parse();
    Ok(filter.add_directive(audit.map_err(|error: ParseError| error.to_string())?))
}

/// Begins to log. A program that has a subscriber already keeps it.
pub(crate) fn init(filter: EnvFilter, format: LogFormat) -> io::Result<()> {
    let lines = match LINES.get() {
        Some(lines) => lines.clone(),
        None => {
            // As it is: who holds the lock of `io::stderr` may wait for ever.
            let out = io::stderr().as_fd().try_clone_to_owned().map(File::from)?;
            let lines = Lines::to(out)?;
            LINES.get_or_init(|| lines).clone()
        }
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(lines);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
    };
    let begun = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
    if begun.is_ok() {
        // The usual one writes to standard error by itself, and waits for its reader.
        panic::set_hook(Box::new(|bug| {
            let place = bug.location().map(ToString::to_string);
            let said = bug.payload_as_str().map(printable);
            ::tracing::error!(place, said, "a bug: what was under way here has ended");
        }));
    }
    Ok(())
}

/// Has a line logged that must not be lost, and returns when it is written, or was not for so long.
/// In a program that has a subscriber of its own that one sees to it.
pub(crate) async fn surely(log: impl FnOnce(), within: Duration) -> io::Result<()> {
    match LINES.get() {
        Some(lines) => lines.surely(log, within).await,
        None => {
            log();
            Ok(())
        }
    }
}

/// Says why the process ends, after whatever was logged before.
pub(crate) fn say(text: &str) {
    match LINES.get() {
        Some(lines) => lines.hand_over(text.as_bytes(), false),
        // Whoever closed standard error does not want to know.
        None => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Waits for the last lines.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(PATIENCE);
    }
}

/// Lines that were lost.
pub(crate) fn lost() -> u64 {
    LINES.get().map_or(0, Lines::lost)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Which of four lines are logged.
    fn logged(level: &str) -> [bool; 4] {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        let writer = move || Sink(sink.clone());
        let layer = tracing_subscriber::fmt::layer().with_writer(writer);
        let subscriber =
            tracing_subscriber::registry().with(layer.with_filter(filter(level).unwrap()));
        ::tracing::subscriber::with_default(subscriber, || {
            ::tracing::info!(target: AUDIT, "audit info");
            ::tracing::debug!(target: AUDIT, "audit debug");
            ::tracing::info!("other info");
            ::tracing::error!("other error");
        });
        let written = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        ["audit info", "audit debug", "other info", "other error"]
            .map(|line| written.contains(line))
    }

    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn audit_lines_are_written_whatever_the_level_but_for_their_own() {
        assert_eq!(logged("info"), [true, false, true, true]);
        assert_eq!(logged("warn"), [true, false, false, true]);
        assert_eq!(logged("off"), [true, false, false, false]);
        assert_eq!(logged("error,approzium=info"), [true, false, true, true]);
        assert_eq!(
            logged("info,approzium::audit=off"),
            [false, false, true, true]
        );
        assert_eq!(
            logged("off,approzium::audit=debug"),
            [true, true, false, false]
        );
    }

    #[test]
    fn a_misspelt_level_is_no_target() {
        for level in ["inof", "info,wran", "in\nfo"] {
            let problem = filter(level).unwrap_err();
            assert!(
                problem.contains("is no level") && !problem.contains('\n'),
                "{problem}"
            );
        }
        assert!(filter("info,approzium=bogus").is_err());
        for level in [
            "INFO",
            "3",
            "info,h2=off,approzium::authenticator[{x}]=trace",
        ] {
            assert!(filter(level).is_ok(), "{level}");
        }
    }
}
