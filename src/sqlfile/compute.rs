//! Computed values: `-- @slug = slug(:title)`. A closed list of functions that give the same on every database.

use std::ops::Range;
use std::sync::Arc;

use super::Dialect;
use super::arguments::Arguments;
use super::dates::Moving;
use super::functions::apply;
use super::script::Script;
use super::server::{ServerValue, Surroundings};
use super::tokens::{Token, TokenKind, tokenize};
use super::words::{Text, is_name};
use crate::problem::{Fault, Place, Problem, suggestion};
use crate::value::{Kind, Value};

/// A value that the server computes before the queries run.
#[derive(Clone, Debug)]
pub struct Computed {
    /// The name without its at-sign.
    pub name: Arc<str>,
    /// How it is computed.
    pub expression: Expression,
    /// Where it is declared.
    pub place: Place,
}

/// How a value is computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A written text or number.
    Literal(Value),
    /// `:name`.
    Parameter(Arc<str>),
    /// `@name`: a server value, or one computed before.
    Server(Arc<str>),
    /// `today - 30 days`.
    Moment(Moving),
    /// `slug(:title)`.
    Call(Function, Vec<Expression>),
}

/// The functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `slug(text)`: lower-case ASCII letters, digits and dashes, for addresses.
    Slug,
    /// `fold(text)`: lower case without accents, for comparing and searching.
    Fold,
    /// `trim(text)`: without white space at both ends.
    Trim,
    /// `split(text, ',')`: a list of the trimmed parts that are not empty.
    Split,
    /// `random(n)`: n letters and digits that nobody can guess.
    Random,
    /// `uuid()`: a random UUID.
    Uuid,
    /// `given(:name)`: whether the parameter was sent, even if empty.
    Given,
    /// `has_role('editor')`: whether the visitor has the role.
    HasRole,
    /// `new_token()`: a text of 128 random bits, for links that nobody can guess.
    NewToken,
    /// `token_hash(text)`: the hash by which a token is kept and found again.
    TokenHash,
    /// `totp_secret()`: what an authenticator app and the server share.
    TotpSecret,
    /// `recovery_codes()`: codes with spaces between, each of which stands in for the second factor once.
    RecoveryCodes,
    /// `recovery_hash(@codes)`: what is kept of a recovery code, or of each in a list.
    RecoveryHash,
    /// `password_hash(:password)`: what a database keeps of a password.
    PasswordHash,
    /// `password_ok(:email, :password)`: whether it is the password of that account; `password_ok(:password)`: of the
    /// user who is logged in.
    PasswordOk,
    /// `code_ok(:code)`: whether it is the second factor of the user who has told their password, or is logged in.
    CodeOk,
    /// `passkey_ok(:credential)`: the id of the user whose passkey answered the session's challenge, else null.
    PasskeyOk,
    /// `new_passkey(:credential)`: a passkey that was made for the session's challenge, as a JSON object, else null.
    NewPasskey,
    /// `ask_provider(:provider)`: what a visitor is sent to a provider of logins with, as a JSON object.
    AskProvider,
    /// `provider_user(:provider, :state, :code, :iss)`: who came back from a provider, as a JSON object.
    ProviderUser,
    /// `prefix_end(text)`: the smallest text after all texts that begin so: `name >= :q and name < @end`.
    PrefixEnd,
}

impl Function {
    /// Whether it is worked out before the transaction, because it takes long, counts how often it was tried, or looks
    /// up what only the server may see.
    pub fn is_proof(self) -> bool {
        use Function::{AskProvider, CodeOk, NewPasskey, PasskeyOk, PasswordHash, PasswordOk, ProviderUser};
        matches!(self, PasswordHash | PasswordOk | CodeOk | PasskeyOk | NewPasskey | AskProvider | ProviderUser)
    }

    /// The kind of what it gives; of a list, that of its items.
    pub(super) fn kind(self) -> Kind {
        match self {
            Function::Slug
            | Function::Fold
            | Function::Trim
            | Function::Split
            | Function::Random
            | Function::NewToken
            | Function::TokenHash
            | Function::TotpSecret
            | Function::RecoveryCodes
            | Function::RecoveryHash
            | Function::PasswordHash
            | Function::PrefixEnd => Kind::Text,
            Function::Uuid => Kind::Uuid,
            Function::Given | Function::HasRole | Function::PasswordOk | Function::CodeOk => Kind::Bool,
            Function::PasskeyOk => Kind::Int,
            Function::NewPasskey | Function::AskProvider | Function::ProviderUser => Kind::Json,
        }
    }
}

/// The names of the functions with the number of their arguments.
pub(super) const FUNCTIONS: [(&str, Function, usize); 21] = [
    ("slug", Function::Slug, 1),
    ("fold", Function::Fold, 1),
    ("trim", Function::Trim, 1),
    ("split", Function::Split, 2),
    ("random", Function::Random, 1),
    ("uuid", Function::Uuid, 0),
    ("given", Function::Given, 1),
    ("has_role", Function::HasRole, 1),
    ("prefix_end", Function::PrefixEnd, 1),
    ("new_token", Function::NewToken, 0),
    ("token_hash", Function::TokenHash, 1),
    ("totp_secret", Function::TotpSecret, 0),
    ("recovery_codes", Function::RecoveryCodes, 0),
    ("recovery_hash", Function::RecoveryHash, 1),
    ("password_hash", Function::PasswordHash, 1),
    ("password_ok", Function::PasswordOk, 2),
    ("code_ok", Function::CodeOk, 1),
    ("passkey_ok", Function::PasskeyOk, 1),
    ("new_passkey", Function::NewPasskey, 1),
    ("ask_provider", Function::AskProvider, 1),
    ("provider_user", Function::ProviderUser, 4),
];

/// The most letters of `random(n)`.
pub(super) const LONGEST_RANDOM: i64 = 1000;

/// How deep functions may stand in functions.
const DEEPEST: usize = 8;

/// Reads a line such as `@slug = slug(:title)`. A fault points at the word that is wrong.
pub(super) fn read_computed<'s>(text: &Text<'s>, line: &'s str, faults: &mut Vec<Fault>) -> Option<Computed> {
    let example = "write it so: -- @slug = slug(:title)";
    let (name, expression) = line.trim().strip_prefix('@')?.split_once('=').or_else(|| {
        faults.push(text.fault("this computed value has no `=`", line.trim()).help(example));
        None
    })?;
    let name = name.trim();
    if !is_name(name) {
        faults.push(text.fault(format!("`{name}` is no name"), line.trim()).help(example));
        return None;
    }
    if ServerValue::named(name).is_some() {
        faults.push(text.fault(format!("`@{name}` is the server's own"), name).help("choose another name"));
        return None;
    }
    let expression = expression.trim();
    match Expression::read(expression) {
        Ok(expression) => Some(Computed { name: name.into(), expression, place: text.place(line.trim()) }),
        Err(wrong) => {
            let part = expression.get(wrong.range).filter(|part| !part.is_empty()).unwrap_or(line.trim());
            faults.push(text.fault(wrong.message, part).help(wrong.help));
            None
        }
    }
}

/// What is wrong with the text of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WrongExpression {
    /// The message for the author.
    pub(super) message: String,
    /// What to do; may be empty.
    pub(super) help: String,
    /// The bytes of the expression's text that are meant.
    pub(super) range: Range<usize>,
}

impl Expression {
    /// Reads an expression: the text after `-- @name =`.
    pub(super) fn read(text: &str) -> Result<Expression, WrongExpression> {
        let whole = |message: String| WrongExpression { message, help: String::new(), range: 0..text.len() };
        if let Some(moment) = Moving::read(text) {
            return moment.map(Expression::Moment).map_err(whole);
        }
        let tokens: Vec<Token> = tokenize(text, Dialect::Sqlite).into_iter().filter(Token::is_significant).collect();
        let mut reader = Reader { text, tokens: &tokens, at: 0, depth: 0 };
        let expression = reader.expression()?;
        match reader.tokens.get(reader.at) {
            None => Ok(expression),
            Some(token) => Err(reader.wrong(*token, "this is too much".into(), String::new())),
        }
    }

    /// Whether it depends on the time of the request.
    pub(super) fn reads_time(&self) -> bool {
        match self {
            Expression::Moment(_) => true,
            Expression::Call(_, arguments) => arguments.iter().any(Expression::reads_time),
            _ => false,
        }
    }

    /// Whether it gives a list.
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Expression::Call(Function::Split | Function::RecoveryHash, _))
    }

    /// Whether it is worked out before the transaction; see [`Function::is_proof`].
    pub fn is_proof(&self) -> bool {
        matches!(self, Expression::Call(function, _) if function.is_proof())
    }

    /// Whether it is what a database keeps of a password.
    pub(super) fn is_password_hash(&self) -> bool {
        matches!(self, Expression::Call(Function::PasswordHash, _))
    }

    /// Whether it gives something else each time.
    pub fn is_random(&self) -> bool {
        use Function::{NewToken, Random, RecoveryCodes, TotpSecret, Uuid};
        match self {
            Expression::Call(Random | Uuid | NewToken | TotpSecret | RecoveryCodes, _) => true,
            Expression::Call(_, arguments) => arguments.iter().any(Expression::is_random),
            _ => false,
        }
    }

    /// Whether it asks for the visitor's roles.
    pub(super) fn asks_roles(&self) -> bool {
        match self {
            Expression::Call(Function::HasRole, _) => true,
            Expression::Call(_, arguments) => arguments.iter().any(Expression::asks_roles),
            _ => false,
        }
    }

    /// Calls `see` for each `:name` (`false`) and `@name` (`true`) in it.
    pub(super) fn names(&self, see: &mut dyn FnMut(&Arc<str>, bool)) {
        match self {
            Expression::Parameter(name) => see(name, false),
            Expression::Server(name) => see(name, true),
            Expression::Call(_, arguments) => arguments.iter().for_each(|argument| argument.names(see)),
            Expression::Literal(_) | Expression::Moment(_) => {}
        }
    }

    /// Calls `see` for each name whose single value is used: all but what `given(:name)` asks.
    pub(super) fn single_names(&self, see: &mut dyn FnMut(&Arc<str>, bool)) {
        match self {
            Expression::Call(Function::Given | Function::RecoveryHash, _) => {}
            Expression::Call(_, arguments) => arguments.iter().for_each(|argument| argument.single_names(see)),
            other => other.names(see),
        }
    }

    /// Computes the value. `computed` holds the values before this one.
    pub(super) fn value(
        &self,
        script: &Script,
        given: &Arguments,
        computed: &[Value],
        around: &dyn Surroundings,
    ) -> Result<Value, Problem> {
        let place = |name: &str| script.parameters.iter().position(|parameter| *parameter.name == *name);
        match self {
            Expression::Literal(value) => Ok(value.clone()),
            Expression::Parameter(name) => {
                Ok(place(name).and_then(|index| given.values().get(index)).cloned().unwrap_or_default())
            }
            Expression::Server(name) => {
                let before = script.computed.iter().take(computed.len()).position(|value| value.name == *name);
                Ok(match (before, ServerValue::named(name)) {
                    (Some(index), _) => computed[index].clone(),
                    (None, Some(value)) => around.server(value),
                    (None, None) => Value::Null,
                })
            }
            Expression::Moment(moving) => match moving.text(around) {
                Some(text) => Ok(Value::from(text)),
                None => Err(Problem::broken("a computed moment leaves the calendar")),
            },
            Expression::Call(function, _) if function.is_proof() => Ok(given.proof(computed.len())),
            Expression::Call(Function::Given, arguments) => {
                let index = match arguments.first() {
                    Some(Expression::Parameter(name)) => place(name),
                    _ => None,
                };
                Ok(Value::Bool(index.is_some_and(|index| given.given(index))))
            }
            Expression::Call(function, arguments) => {
                let values = arguments.iter().map(|argument| argument.value(script, given, computed, around));
                apply(*function, &values.collect::<Result<Vec<Value>, Problem>>()?, around)
            }
        }
    }
}

/// Reads an expression token by token.
struct Reader<'t> {
    text: &'t str,
    tokens: &'t [Token],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn wrong(&self, token: Token, message: String, help: String) -> WrongExpression {
        WrongExpression { message, help, range: token.from..token.to }
    }

    fn expression(&mut self) -> Result<Expression, WrongExpression> {
        let Some(token) = self.tokens.get(self.at).copied() else {
            return Err(WrongExpression {
                message: "a value is missing".into(),
                help: "for example: -- @slug = slug(:title)".into(),
                range: self.text.len()..self.text.len(),
            });
        };
        self.at += 1;
        let word = token.text(self.text);
        match token.kind {
            TokenKind::Parameter => Ok(Expression::Parameter(word[1..].into())),
            TokenKind::Server => Ok(Expression::Server(word[1..].into())),
            TokenKind::Number => match word.parse::<i64>() {
                Ok(number) => Ok(Expression::Literal(Value::Int(number))),
                Err(_) => Err(self.wrong(token, format!("`{word}` is no whole number"), String::new())),
            },
            TokenKind::String if word.starts_with('\'') => {
                Ok(Expression::Literal(Value::from(word[1..word.len() - 1].replace("''", "'"))))
            }
            TokenKind::Word => self.word(token, word),
            _ => Err(self.wrong(token, format!("`{word}` means nothing here"), String::new())),
        }
    }

    /// A moment or a function with its arguments.
    fn word(&mut self, token: Token, word: &str) -> Result<Expression, WrongExpression> {
        let opens = self.tokens.get(self.at).is_some_and(|next| next.kind == TokenKind::Open);
        if !opens && let Some(Ok(moment)) = Moving::read(word) {
            return Ok(Expression::Moment(moment));
        }
        let Some((name, function, count)) = FUNCTIONS.iter().find(|(name, ..)| *name == word) else {
            let known = FUNCTIONS.iter().map(|(name, ..)| *name).chain(["today", "month", "minute", "now"]);
            return Err(self.wrong(token, format!("there is no function `{word}`"), suggestion(word, known)));
        };
        if !opens {
            return Err(self.wrong(token, format!("`{name}` needs brackets"), format!("write `{name}(…)`")));
        }
        if self.depth == DEEPEST {
            return Err(self.wrong(token, "functions stand too deep in each other".into(), String::new()));
        }
        self.at += 1;
        self.depth += 1;
        let arguments = self.arguments(token)?;
        self.depth -= 1;
        match check_arguments(*function, *count, &arguments) {
            Ok(()) => Ok(Expression::Call(*function, arguments)),
            Err(help) => Err(self.wrong(token, format!("`{name}` takes other values"), help)),
        }
    }

    fn arguments(&mut self, opening: Token) -> Result<Vec<Expression>, WrongExpression> {
        let mut arguments = Vec::new();
        if self.tokens.get(self.at).is_some_and(|token| token.kind == TokenKind::Close) {
            self.at += 1;
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            match self.tokens.get(self.at).map(|token| token.kind) {
                Some(TokenKind::Comma) => self.at += 1,
                Some(TokenKind::Close) => {
                    self.at += 1;
                    return Ok(arguments);
                }
                _ => return Err(self.wrong(opening, "a closing bracket is missing".into(), String::new())),
            }
        }
    }
}

/// Whether a function takes these arguments.
///
/// # Errors
/// How it is written.
fn check_arguments(function: Function, count: usize, arguments: &[Expression]) -> Result<(), String> {
    let counts = arguments.len() == count || function == Function::PasswordOk && arguments.len() == 1;
    let fits = counts
        && match (function, arguments) {
            (Function::Given, [argument]) => matches!(argument, Expression::Parameter(_)),
            (Function::HasRole, [argument]) => matches!(argument, Expression::Literal(Value::Text(_))),
            (Function::Random, [Expression::Literal(Value::Int(length))]) => (1..=LONGEST_RANDOM).contains(length),
            (Function::Random, _) => false,
            (Function::Split, [text, Expression::Literal(Value::Text(separator))]) => {
                !separator.is_empty() && !text.is_list()
            }
            (Function::Split, _) => false,
            (Function::RecoveryHash, _) => true,
            (_, arguments) if arguments.iter().any(Expression::is_proof) => false,
            (_, arguments) => !arguments.iter().any(Expression::is_list),
        };
    let example = match function {
        Function::Given => "write `given(:bio)`".into(),
        Function::HasRole => "write `has_role('editor')`".into(),
        Function::Random => format!("write `random(20)`, with a length from 1 to {LONGEST_RANDOM}"),
        Function::Split => "write `split(:tags, ',')`".into(),
        Function::Uuid => "write `uuid()`".into(),
        Function::NewToken => "write `new_token()`".into(),
        Function::TotpSecret => "write `totp_secret()`".into(),
        Function::RecoveryCodes => "write `recovery_codes()`".into(),
        Function::RecoveryHash => "write `recovery_hash(@codes)`".into(),
        Function::PasswordOk => "write `password_ok(:email, :password)` or `password_ok(:password)`".into(),
        Function::PasswordHash => "write `password_hash(:password)`".into(),
        Function::CodeOk => "write `code_ok(:code)`".into(),
        Function::PasskeyOk => "write `passkey_ok(:credential)`".into(),
        Function::NewPasskey => "write `new_passkey(:credential)`".into(),
        Function::AskProvider => "write `ask_provider(:provider)`".into(),
        Function::ProviderUser => "write `provider_user(:provider, :state, :code, :iss)`".into(),
        Function::Slug | Function::Fold | Function::Trim | Function::TokenHash | Function::PrefixEnd => {
            "give it one text".into()
        }
    };
    if fits { Ok(()) } else { Err(example) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlfile::server::tests::Fixed;

    fn computed(text: &str) -> Value {
        let expression = Expression::read(text).unwrap();
        expression.value(&Script::empty(), &Arguments::default(), &[], &Fixed::default()).unwrap()
    }

    #[test]
    fn slugs_are_plain() {
        assert_eq!(computed("slug('  Crème brûlée & Straße! ')"), Value::from("creme-brulee-strasse"));
        assert_eq!(computed("slug('Don''t')"), Value::from("dont"));
        assert_eq!(computed("slug('???')"), Value::from(""));
    }

    #[test]
    fn folding_makes_texts_comparable() {
        assert_eq!(computed("fold('ÉCOLE Ångström')"), Value::from("ecole angstrom"));
    }

    #[test]
    fn lists_are_trimmed() {
        let list = Value::List([Value::from("a"), Value::from("b c")].into());
        assert_eq!(computed("split(' a, ,b c,', ',')"), list);
    }

    #[test]
    fn moments_are_counted_from_now() {
        assert_eq!(computed("today - 30 days"), Value::from("2024-04-06"));
        assert_eq!(computed("today"), Value::from("2024-05-06"));
    }

    #[test]
    fn random_texts_have_their_length() {
        assert_eq!(computed("random(40)").to_string().len(), 40);
        assert_ne!(computed("random(20)"), computed("random(20)"));
        assert_eq!(computed("uuid()").to_string().len(), 36);
    }

    #[test]
    fn a_prefix_ends_before_the_next_letter() {
        assert_eq!(computed("prefix_end('ab')"), Value::from("ac"));
        assert_eq!(computed("prefix_end('a\u{10FFFF}')"), Value::from("b"));
        assert_eq!(computed("prefix_end('')"), Value::Null);
    }

    #[test]
    fn faults_point_at_the_word() {
        let wrong = Expression::read("slgu(:title)").unwrap_err();
        assert_eq!((wrong.range, wrong.help.as_str()), (0..4, "did you mean `slug`?"));
        assert!(Expression::read("").is_err());
        assert!(Expression::read("slug(:a").is_err());
        assert!(Expression::read("slug(:a, 1)").is_err());
        assert!(Expression::read("given('x')").is_err());
        assert!(Expression::read("today - 3 apples").is_err());
        for text in [
            "random(0)",
            "random(1001)",
            "random(:n)",
            "has_role(:role)",
            "split(:a, '')",
            "split(split(:a, ','), ',')",
            "slug(x'00')",
            "slug(1.5)",
            "slug(:a) :b",
            "uuid",
            "uuid(1)",
            "'a",
            "slug(:a, )",
            "?",
            "trim('\u{0}'",
        ] {
            assert!(Expression::read(text).is_err(), "{text}");
        }
        assert!(Expression::read(&"slug(".repeat(100_000)).is_err());
    }
}
