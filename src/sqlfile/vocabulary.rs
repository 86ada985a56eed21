//! Every word that means something in a query file, for the handbook: its test looks for each of them.

use super::compute::FUNCTIONS;
use super::declare::CONSTRAINTS;
use super::directive_lines::Keyword;
use super::heading::{KINDS, OPTIONS};
use super::parameter::Type;
use super::server::ServerValue;

/// All words as an author writes them: `:many`, `more=`, `int`, `required`, `redirect:`, `slug(`, `@now`.
pub fn vocabulary() -> Vec<String> {
    let bare = ["required", "multiple"];
    let constraints = CONSTRAINTS.iter().map(|(name, _)| match bare.contains(name) {
        true => (*name).to_string(),
        false => format!("{name}="),
    });
    let directives = Keyword::ALL.iter().map(|keyword| match keyword {
        Keyword::Logout => "logout".to_string(),
        keyword => format!("{}:", keyword.name()),
    });
    let mut words: Vec<String> = KINDS.iter().map(ToString::to_string).collect();
    words.extend(OPTIONS.iter().map(|name| format!("{name}=")));
    words.extend(Type::ALL.iter().map(|kind| kind.name().to_string()));
    words.extend(constraints);
    words.extend(directives);
    words.extend(FUNCTIONS.iter().map(|(name, ..)| format!("{name}(")));
    words.extend(["today", "month", "minute", "now"].map(String::from));
    words.extend(ServerValue::ALL.iter().map(|value| format!("@{}", value.name())));
    words
}
