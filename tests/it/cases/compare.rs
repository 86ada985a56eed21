//! Holds what a server or `check` said against what a case expects.

use serde_json::Value as Json;

use super::read::{Exchange, Expected, Fault, filled};
use crate::harness::{Answer, Ended};

/// Whether a text is the expected one, in which `…` stands for any text.
pub(super) fn fits(expected: &str, text: &str) -> bool {
    let mut pieces = expected.split('…');
    let first = pieces.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Says how an answer differs from what is expected.
pub(super) fn answer(exchange: &Exchange, answer: &Answer, captured: &[(String, String)]) -> Result<(), String> {
    let text = answer.text();
    if answer.status != exchange.status {
        return Err(format!("expected {}, got:", exchange.status));
    }
    for expected in &exchange.expected {
        let holds = match expected {
            Expected::Header(name, value) => {
                let value = filled(value, captured);
                let mut found = answer.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
                found.any(|(_, found)| fits(&value, found))
            }
            // On a server with other nodes every action leaves a cookie for its caches.
            Expected::NoHeader(name) => answer.header(name).is_none_or(|value| value.starts_with("fresh=")),
            Expected::Contains(part) => text.contains(&filled(part, captured)),
            Expected::Lacks(part) => !text.contains(&filled(part, captured)),
        };
        if !holds {
            return Err(format!("expected {expected:?}, got:"));
        }
    }
    let Some(body) = &exchange.answer_body else { return Ok(()) };
    let body = super::read::repeated(&filled(body, captured))?;
    let body = if body.trim() == "(nothing)" { "" } else { body.trim() };
    match fits(body, text.replace("\r\n", "\n").trim()) {
        true => Ok(()),
        false => Err(format!("expected the body\n{body}\ngot:")),
    }
}

/// Says how the faults that `check --json` found differ from the expected ones: all of them, in this order.
pub(super) fn faults(expected: &[Fault], found: &Ended) -> Result<(), String> {
    let list: Vec<Json> =
        serde_json::from_str(&found.stdout).map_err(|error| format!("{error}\n{}\n{}", found.stdout, found.stderr))?;
    let errors = list.iter().any(|fault| fault["level"] == "error");
    if found.code() != Some(i32::from(errors)) {
        return Err(format!("it ended with {:?}", found.status));
    }
    let told: Vec<(String, Vec<String>)> = list.iter().map(told).collect();
    let same = expected.len() == told.len()
        && expected.iter().zip(&told).all(|(expected, (head, details))| {
            let known = |detail: &String| details.iter().any(|found| fits(detail, found));
            fits(&expected.head, head) && expected.details.iter().all(known)
        });
    if same {
        return Ok(());
    }
    let lines = told.iter().map(|(head, details)| {
        let details: String = details.iter().map(|detail| format!("\n    {detail}")).collect();
        format!("  {head}{details}\n")
    });
    Err(format!("it found\n{}", lines.collect::<String>()))
}

/// A fault as the case file writes it.
fn told(fault: &Json) -> (String, Vec<String>) {
    let text = |name: &str| fault[name].as_str().unwrap_or("").to_string();
    let place = match fault["file"].as_str() {
        Some(file) => format!("{file}:{}:{}: ", fault["line"], fault["column"]),
        None => String::new(),
    };
    let number = |name: &str| usize::try_from(fault[name].as_u64().unwrap_or(1)).unwrap_or(1);
    let at: String = text("text").chars().skip(number("column") - 1).take(number("width")).collect();
    let details = [("at", at), ("label", text("label")), ("help", text("help"))];
    let details = details.into_iter().filter(|(_, detail)| !detail.is_empty());
    let details = details.map(|(name, detail)| format!("{name}: {detail}")).collect();
    (format!("{place}{}: {}", text("level"), text("message")), details)
}
