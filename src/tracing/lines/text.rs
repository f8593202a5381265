//! Lines for people.

use ::opentelemetry::{KeyValue, Value};

use super::Additions;

const RESET: &str = "\u{1b}[0m";
const BOLD: &str = "\u{1b}[1m";
const DIMMED: &str = "\u{1b}[2m";
const ITALIC: &str = "\u{1b}[3m";
const DIMMED_ITALIC: &str = "\u{1b}[2;3m";

/// How a formatter of fields writes them, and whether in colour.
#[derive(Clone, Copy, Debug)]
pub(in crate::tracing) enum Style {
    /// `key="value"`, as `DefaultFields` does.
    Default { ansi: bool },
    /// `key: "value"`, as `Pretty` does.
    Pretty { ansi: bool },
}

impl Style {
    /// Adds fields to those that are there.
    pub(in crate::tracing) fn append(self, fields: &[&KeyValue], to: &mut String) {
        let separator = match self {
            Style::Default { .. } => " ",
            Style::Pretty { .. } => ", ",
        };
        for field in fields {
            // Formats leave a space before fields.
            if !to.is_empty() && !to.ends_with(' ') {
                to.push_str(separator);
            }
            self.write(field, to);
        }
    }

    fn write(self, field: &KeyValue, to: &mut String) {
        let key = field.key.as_str();
        to.push_str(&match self {
            Style::Default { ansi: false } => format!("{key}="),
            Style::Default { ansi: true } => format!("{ITALIC}{key}{RESET}{DIMMED}={RESET}"),
            Style::Pretty { ansi: false } => format!("{key}: "),
            Style::Pretty { ansi: true } => format!("{BOLD}{key}{RESET}: "),
        });
        to.push_str(&match &field.value {
            // In quotes, and with nothing that could break a line or a terminal.
            Value::String(text) => format!("{:?}", text.as_str()),
            other => other.to_string(),
        });
    }
}

/// Puts everything at the end of the line.
pub(super) fn complete(line: &mut String, additions: &Additions, ansi: bool) {
    line.truncate(line.trim_end_matches('\n').len());
    let others: Vec<_> = additions.others().collect();
    Style::Default { ansi }.append(&others, line);
    line.push('\n');
}

/// Puts everything on a line of its own, before the empty line at the end.
pub(super) fn complete_paragraph(lines: &mut String, additions: &Additions, ansi: bool) {
    let others: Vec<_> = additions.others().collect();
    if others.is_empty() {
        return;
    }
    lines.truncate(lines.trim_end_matches('\n').len());
    lines.push_str(&match ansi {
        true => format!("\n    {DIMMED_ITALIC}by{RESET} "),
        false => "\n    by ".to_owned(),
    });
    Style::Pretty { ansi }.append(&others, lines);
    lines.push_str("\n\n");
}
