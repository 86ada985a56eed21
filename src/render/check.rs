//! Faults of templates, in words: names and columns that nobody gives, and calls of what doesn't exist.

use std::collections::HashSet;

use super::functions;
use super::links::{Hazard, HazardKind};
use super::scope::{Missing, Type};
use crate::problem::{Fault, Place, suggestion};

/// Most names that a help text lists.
const MAX_LISTED: usize = 24;

/// `did you mean …?` and the names that there are.
fn help<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, introduction: &str) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    let near = suggestion(word, known.iter().copied());
    known.sort_unstable();
    known.dedup();
    let rest = if known.len() > MAX_LISTED { ", …" } else { "" };
    let list = known.iter().take(MAX_LISTED).copied().collect::<Vec<_>>().join(", ");
    match (near.is_empty(), known.is_empty()) {
        (_, true) => near,
        (true, false) => format!("{introduction}: {list}{rest}"),
        (false, false) => format!("{near} {introduction}: {list}{rest}"),
    }
}

/// A name that neither the context nor a template gives.
pub(super) fn unknown_name(word: &str, known: &[&str], place: Place) -> Fault {
    let help = help(word, known.iter().copied(), "known here are");
    Fault::error(format!("nothing here is called `{word}`"), place).label("unknown name").help(help)
}

/// A column, field or key that a value doesn't have. `base` is how the value reads, where that is short.
pub(super) fn unknown_below(base: Option<String>, word: &str, missing: Missing, place: Place) -> Fault {
    let base = base.map_or("this".to_string(), |base| format!("`{base}`"));
    match missing {
        Missing::Unknown(known) => {
            let help = help(word, known.iter().map(String::as_str), "it has");
            Fault::error(format!("{base} has no `{word}`"), place).label("unknown name").help(help)
        }
        Missing::Scalar => Fault::error(format!("{base} is one value and has no `{word}`"), place)
            .label("nothing stands below a value"),
        Missing::ManyRows(columns) if columns.iter().any(|column| column == word) => {
            Fault::error(format!("{base} has many rows, so it has no `{word}` of its own"), place)
                .label("a column of each row")
                .help("loop over the rows, or take the first with `.first`")
        }
        Missing::ManyRows(_) | Missing::List => {
            let what = if missing == Missing::List { "is a list" } else { "has many rows" };
            let fault = Fault::error(format!("{base} {what} and has no `{word}`"), place).label("unknown name");
            match word {
                "length" | "len" | "count" | "size" => fault.help("write `|length` for how many there are"),
                "last" => fault.help("write `|last`"),
                _ if missing == Missing::List => fault.help("loop over the items"),
                _ => fault.help("it has `.more` and `.first`; loop over it for its rows"),
            }
        }
    }
}

/// A block that nothing shows.
pub(super) fn unplaced_block(word: &str, placed: &[&str], place: Place) -> Fault {
    let near = suggestion(word, placed.iter().copied());
    let fault = Fault::warning(format!("no layout shows the block `{word}`"), place).label("never part of the page");
    if near.is_empty() {
        fault.help("only a request for this block alone (HTMX) would show it")
    } else {
        fault.help(near)
    }
}

/// A macro that an imported template doesn't have.
pub(super) fn not_in_module(word: &str, module: &str, known: &HashSet<&str>, place: Place) -> Fault {
    let help = help(word, known.iter().copied(), "it has");
    Fault::error(format!("`{module}` has no macro `{word}`"), place).label("unknown macro").help(help)
}

/// A filter that doesn't exist.
pub(super) fn unknown_filter(word: &str, place: Place) -> Fault {
    let known = functions::FILTERS.iter().chain(functions::SITE_FILTERS).copied();
    Fault::error(format!("there is no filter `{word}`"), place).label("unknown filter").help(suggestion(word, known))
}

/// A test that doesn't exist.
pub(super) fn unknown_test(word: &str, place: Place) -> Fault {
    let known = functions::TESTS.iter().copied();
    Fault::error(format!("there is no test `{word}`"), place).label("unknown test").help(suggestion(word, known))
}

/// A function or macro that doesn't exist.
pub(super) fn unknown_function(word: &str, macros: &[&str], place: Place) -> Fault {
    let known = functions::FUNCTIONS.iter().chain(functions::SITE_FUNCTIONS).chain(macros).copied();
    let near = suggestion(word, known);
    let filter = functions::FILTERS.iter().chain(functions::SITE_FILTERS).any(|known| *known == word);
    let help = if filter { format!("`{word}` is a filter: write `value|{word}`") } else { near };
    Fault::error(format!("there is no function `{word}`"), place).label("unknown function").help(help)
}

/// A method on a value: values have none.
pub(super) fn no_methods(word: &str, place: Place) -> Fault {
    let filter = functions::FILTERS.contains(&word);
    let help = if filter { format!("write `value|{word}`") } else { "use a filter: `value|upper`".to_string() };
    Fault::error(format!("values have no method `{word}`"), place).label("not a function").help(help)
}

/// A row, or a whole result, printed as if it were a value.
pub(super) fn printed_whole(base: Option<String>, found: &Type, place: Place) -> Fault {
    let base = base.map_or("this".to_string(), |base| format!("`{base}`"));
    let (what, help) = match found {
        Type::Row(columns) => ("a row", format!("print one of its columns: {}", columns.join(", "))),
        Type::Rows(_) => ("a result of many rows", "loop over it, or print it with `|json`".to_string()),
        Type::Form(_) => ("a form", "print its parts: `.attrs`, `.hidden`, and the fields".to_string()),
        _ => ("no single value", String::new()),
    };
    Fault::error(format!("{base} is {what}, which prints nothing useful"), place).help(help)
}

/// An expression where escaping for HTML does not protect.
pub(super) fn hazard(hazard: Hazard) -> Fault {
    match hazard.kind {
        HazardKind::Unquoted => Fault::warning("a value stands in an attribute without quotes", hazard.place)
            .label("a space in it would begin another attribute")
            .help("put quotes around it"),
        HazardKind::Script => Fault::warning("a value stands in a script", hazard.place)
            .label("escaped for HTML, not for JavaScript")
            .help("write `|json`, without quotes around it"),
    }
}

/// `== none`: null is undefined to templates, so such a comparison would not do what it says.
pub(super) fn compared_with_none(negated: bool, place: Place) -> Fault {
    let (message, help) = match negated {
        false => ("`== none` never holds", "write `is none`"),
        true => ("`!= none` always holds", "write `is not none`"),
    };
    Fault::error(message, place).label("null equals nothing").help(help)
}
