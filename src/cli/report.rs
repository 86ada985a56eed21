//! Shows faults: as rustc shows them for people, as JSON for editors.

use annotate_snippets::{AnnotationKind, Group, Level as SnippetLevel, Renderer, Snippet};
use serde_json::json;

use crate::problem::{Fault, Level};

/// Prints the faults to stderr and, last, how many there are.
pub(super) fn print(faults: &[Fault]) {
    let renderer = if use_color() { Renderer::styled() } else { Renderer::plain() };
    for fault in faults {
        eprintln!("{}\n", text(fault, &renderer));
    }
    if let Some(summary) = summary(faults) {
        eprintln!("{summary}");
    }
}

/// `2 errors, 1 warning`; `None` when there is no fault.
pub(super) fn summary(faults: &[Fault]) -> Option<String> {
    let errors = faults.iter().filter(|fault| fault.level == Level::Error).count();
    let warnings = faults.len() - errors;
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => None,
        (0, _) => Some(count(warnings, "warning")),
        (_, 0) => Some(count(errors, "error")),
        _ => Some(format!("{}, {}", count(errors, "error"), count(warnings, "warning"))),
    }
}

/// Whether some fault keeps the site from being served.
pub(super) fn any_error(faults: &[Fault]) -> bool {
    faults.iter().any(|fault| fault.level == Level::Error)
}

/// Each fault as a JSON object, for editors.
pub(super) fn json(faults: &[Fault]) -> String {
    let list: Vec<_> = faults
        .iter()
        .map(|fault| {
            json!({
                "level": match fault.level { Level::Error => "error", Level::Warning => "warning" },
                "message": fault.message,
                "file": fault.place.as_ref().map(|place| &*place.file),
                "line": fault.place.as_ref().map(|place| place.line),
                "column": fault.place.as_ref().map(|place| place.column),
                "width": fault.place.as_ref().map(|place| place.width),
                "text": fault.place.as_ref().map(|place| place.text.as_str()),
                "label": fault.label,
                "help": fault.help,
            })
        })
        .collect();
    serde_json::to_string_pretty(&list).unwrap_or_default()
}

/// One fault with its line and `^^^`.
pub(super) fn text(fault: &Fault, renderer: &Renderer) -> String {
    let level = match fault.level {
        Level::Error => SnippetLevel::ERROR,
        Level::Warning => SnippetLevel::WARNING,
    };
    let title = level.primary_title(fault.message.as_str());
    let mut groups = Vec::new();
    let mut group = match &fault.place {
        Some(place) => {
            let start = byte_of(&place.text, place.column - 1);
            let end = byte_of(&place.text, place.column - 1 + place.width).max(start);
            let annotation = AnnotationKind::Primary.span(start..end).label(fault.label.as_str());
            let snippet = Snippet::source(place.text.as_str())
                .path(&*place.file)
                .line_start(place.line as usize)
                .annotation(annotation);
            title.element(snippet)
        }
        None => Group::with_title(title),
    };
    if !fault.help.is_empty() {
        group = group.element(SnippetLevel::HELP.message(fault.help.as_str()));
    }
    groups.push(group);
    renderer.render(&groups)
}

/// The byte at which a character of a line begins.
fn byte_of(text: &str, character: u32) -> usize {
    text.char_indices().nth(character as usize).map_or(text.len(), |(at, _)| at)
}

fn use_color() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal()
}
