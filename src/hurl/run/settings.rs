//! The `[Options]` of one entry, evaluated.

use std::time::Duration;

use super::scope::Scope;
use crate::hurl::syntax::{Given, Hole, MAX_COUNT, Setting, VariableValue, Wrong};
use crate::hurl::value::{Value, Variables};

/// How long one request may take, from connecting to the last byte, unless `max-time` says otherwise.
const MAX_TIME: Duration = Duration::from_secs(30);
/// How many redirects are followed unless `max-redirs` says otherwise.
const MAX_REDIRECTS: u64 = 50;

/// How one entry is to be run.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) follow: bool,
    pub(super) max_redirects: u64,
    pub(super) skip: bool,
    pub(super) repeat: u64,
    pub(super) retry: u64,
    pub(super) retry_interval: Duration,
    pub(super) delay: Duration,
    pub(super) max_time: Duration,
    /// `name:password` for basic authentication.
    pub(super) user: Option<String>,
    pub(super) compressed: bool,
    pub(super) path_as_is: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            follow: false,
            max_redirects: MAX_REDIRECTS,
            skip: false,
            repeat: 1,
            retry: 0,
            retry_interval: Duration::from_secs(1),
            delay: Duration::ZERO,
            max_time: MAX_TIME,
            user: None,
            compressed: false,
            path_as_is: false,
        }
    }
}

impl Settings {
    /// Evaluates the options in their order; `variable` sets variables for the rest of the file.
    pub(super) fn evaluate(
        options: &[Setting],
        variables: &mut Variables,
        folder: &std::path::Path,
    ) -> Result<Settings, Wrong> {
        let mut settings = Settings::default();
        for option in options {
            if let Setting::Variable(name, value) = option {
                let value = Scope { variables, folder }.variable(value)?;
                variables.set(name, value);
            } else {
                settings.apply(option, Scope { variables, folder })?;
            }
        }
        Ok(settings)
    }

    fn apply(&mut self, option: &Setting, scope: Scope<'_>) -> Result<(), Wrong> {
        match option {
            Setting::Location(given) => self.follow = scope.boolean(given)?,
            Setting::MaxRedirects(given) => self.max_redirects = scope.count(given, -1)?,
            Setting::Skip(given) => self.skip = scope.boolean(given)?,
            Setting::Repeat(given) => self.repeat = scope.count(given, 0)?,
            Setting::Retry(given) => self.retry = scope.count(given, 0)?,
            Setting::RetryInterval(given) => self.retry_interval = scope.duration(given)?,
            Setting::Delay(given) => self.delay = scope.duration(given)?,
            Setting::MaxTime(given) => self.max_time = scope.duration(given)?,
            Setting::User(template) => self.user = Some(scope.text(template)?),
            Setting::Compressed(given) => self.compressed = scope.boolean(given)?,
            Setting::PathAsIs(given) => self.path_as_is = scope.boolean(given)?,
            Setting::Quiet | Setting::Variable(..) => {}
        }
        Ok(())
    }
}

impl Scope<'_> {
    fn variable(&self, value: &VariableValue) -> Result<Value, Wrong> {
        Ok(match value {
            VariableValue::Null => Value::Null,
            VariableValue::Boolean(boolean) => Value::Boolean(*boolean),
            VariableValue::Number(number) => Value::from(number),
            VariableValue::Text(template) => Value::Text(self.text(template)?),
        })
    }

    fn boolean(&self, given: &Given<bool>) -> Result<bool, Wrong> {
        match given {
            Given::Value(value) => Ok(*value),
            Given::Hole(hole) => match self.value(hole)? {
                Value::Boolean(value) => Ok(value),
                other => Err(mistaken(hole, "a boolean", &other)),
            },
        }
    }

    /// A whole number, written out or from a variable.
    pub(super) fn integer(&self, given: &Given<i64>) -> Result<i64, Wrong> {
        match given {
            Given::Value(value) => Ok(*value),
            Given::Hole(hole) => match self.value(hole)? {
                Value::Integer(value) => Ok(value),
                other => Err(mistaken(hole, "an integer", &other)),
            },
        }
    }

    /// A count of at least `least`; -1 is the largest.
    fn count(&self, given: &Given<i64>, least: i64) -> Result<u64, Wrong> {
        let count = self.integer(given)?;
        match given {
            Given::Hole(hole) if !(least..=MAX_COUNT).contains(&count) => {
                let wanted = format!("a count from {least} to {MAX_COUNT}");
                Err(mistaken(hole, &wanted, &Value::Integer(count)))
            }
            _ => Ok(u64::try_from(count).unwrap_or(MAX_COUNT.unsigned_abs())),
        }
    }

    fn duration(&self, given: &Given<Duration>) -> Result<Duration, Wrong> {
        match given {
            Given::Value(value) => Ok(*value),
            Given::Hole(hole) => match self.value(hole)? {
                Value::Integer(millis) if millis >= 0 => Ok(Duration::from_millis(millis.unsigned_abs())),
                other => Err(mistaken(hole, "milliseconds", &other)),
            },
        }
    }
}

fn mistaken(hole: &Hole, wanted: &str, found: &Value) -> Wrong {
    Wrong::new(hole.span, format!("expected {wanted}, found {}", found.shown()))
}
