//! What the functions of computed values do.

use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::compute::{Function, LONGEST_RANDOM};
use super::server::Surroundings;
use crate::accounts::{token, totp};
use crate::problem::Problem;
use crate::value::Value;

/// Applies a function. Null gives null wherever a text is expected.
pub(super) fn apply(function: Function, values: &[Value], around: &dyn Surroundings) -> Result<Value, Problem> {
    let first = values.first().cloned().unwrap_or_default();
    let on_text = |make: fn(&str) -> String| match &first {
        Value::Null => Value::Null,
        value => Value::from(make(&value.to_string())),
    };
    Ok(match function {
        Function::Slug => on_text(slug),
        Function::Fold => on_text(fold),
        Function::Trim => on_text(|text| text.trim().to_string()),
        Function::Split => split(&first, &values.get(1).cloned().unwrap_or_default().to_string()),
        Function::Random => Value::from(random(first.as_int().unwrap_or(0))?),
        Function::Uuid => Value::from(uuid::Uuid::new_v4().to_string()),
        Function::HasRole => Value::Bool(around.has_role(&first.to_string())),
        Function::PrefixEnd => match &first {
            Value::Null => Value::Null,
            value => prefix_end(&value.to_string()).map_or(Value::Null, Value::from),
        },
        Function::Given => Value::Bool(!first.is_null()),
        Function::NewToken => Value::from(token::new()),
        Function::TokenHash => on_text(token::hash),
        Function::TotpSecret => Value::from(totp::secret()),
        Function::RecoveryCodes => Value::from(totp::recovery_codes().join(" ")),
        Function::RecoveryHash => each_text(&first, totp::recovery_hash),
        // Worked out before: see `Arguments::proof`.
        Function::PasswordHash
        | Function::PasswordOk
        | Function::CodeOk
        | Function::PasskeyOk
        | Function::AskProvider
        | Function::ProviderUser
        | Function::NewPasskey => Value::Null,
    })
}

/// A text, or each text of a list, changed.
fn each_text(value: &Value, change: fn(&str) -> String) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::List(items) => Value::List(items.iter().map(|item| each_text(item, change)).collect::<Arc<[Value]>>()),
        single => Value::from(change(&single.to_string())),
    }
}

/// Lower-case text without accents (NFKD without combining marks).
fn fold(text: &str) -> String {
    text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

/// Letters and digits of ASCII, everything else one dash.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in fold(text).replace('ß', "ss").replace('æ', "ae").replace('œ', "oe").replace('ø', "o").chars() {
        match c {
            _ if c.is_ascii_alphanumeric() => slug.push(c),
            // An apostrophe joins: "don't" is "dont".
            '\'' | '\u{2019}' => {}
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.trim_end_matches('-').to_string()
}

fn split(value: &Value, separator: &str) -> Value {
    let text = value.to_string();
    let parts: Vec<&str> = match separator {
        "" => vec![text.as_str()],
        separator => text.split(separator).collect(),
    };
    Value::List(parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(Value::from).collect())
}

/// Letters and digits from the system's source of random numbers, each equally likely.
fn random(count: i64) -> Result<String, Problem> {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let count = usize::try_from(count.clamp(0, LONGEST_RANDOM)).unwrap_or(0);
    let mut text = String::with_capacity(count);
    let mut bytes = [0u8; 64];
    while text.len() < count {
        getrandom::fill(&mut bytes).map_err(|error| Problem::broken(format!("no random numbers: {error}")))?;
        // 248 is the largest multiple of 62 in a byte; greater bytes would favour the first letters.
        let letters = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(LETTERS[usize::from(byte % 62)]));
        text.extend(letters.take(count - text.len()));
    }
    Ok(text)
}

/// The smallest text that is greater than every text with this prefix, compared by code points; null when every text
/// may have it.
fn prefix_end(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}
