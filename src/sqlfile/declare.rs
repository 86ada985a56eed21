//! Reading a parameter's declaration: `:qty int required min=1 max=99 default=1`.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::dates::{Moving, Start};
use super::parameter::{Parameter, Pattern, Preset, Type};
use super::server::Nobody;
use super::words::{Text, Word, is_name, words};
use crate::problem::{Fault, suggestion};
use crate::value::Value;

/// The constraint words, with the types that take them.
pub(super) const CONSTRAINTS: [(&str, &[Type]); 14] = [
    ("required", &Type::ALL),
    (
        "multiple",
        &[
            Type::Text,
            Type::Int,
            Type::Number,
            Type::Decimal,
            Type::Date,
            Type::Datetime,
            Type::Email,
            Type::Url,
            Type::Uuid,
            Type::Json,
            Type::File,
        ],
    ),
    (
        "default",
        &[
            Type::Text,
            Type::Int,
            Type::Number,
            Type::Decimal,
            Type::Bool,
            Type::Date,
            Type::Datetime,
            Type::Email,
            Type::Url,
            Type::Uuid,
            Type::Json,
        ],
    ),
    (
        "in",
        &[
            Type::Text,
            Type::Int,
            Type::Number,
            Type::Decimal,
            Type::Date,
            Type::Datetime,
            Type::Email,
            Type::Url,
            Type::Uuid,
        ],
    ),
    ("min", &[Type::Int, Type::Number, Type::Decimal, Type::Date, Type::Datetime]),
    ("max", &[Type::Int, Type::Number, Type::Decimal, Type::Date, Type::Datetime, Type::File]),
    ("step", &[Type::Int, Type::Number, Type::Decimal]),
    ("minlength", &[Type::Text, Type::Email, Type::Url, Type::Password]),
    ("maxlength", &[Type::Text, Type::Email, Type::Url, Type::Password]),
    ("pattern", &[Type::Text, Type::Email, Type::Url]),
    ("accept", &[Type::File]),
    ("places", &[Type::Decimal]),
    ("autocomplete", &Type::ALL),
    ("label", &Type::ALL),
];

/// The most digits after the point: 64 bits hold 18 whole digits.
const MOST_PLACES: u32 = 15;

/// The largest compiled `pattern=`, so that a pattern of a few characters can't take all memory.
const PATTERN_BYTES: usize = 1 << 20;

/// Reads a declaration from its colon on. `None` when not even its type is known; other faults leave out the
/// constraint that they are in.
pub(super) fn declare(file: &Text, line: &str, faults: &mut Vec<Fault>) -> Option<Parameter> {
    let (name, rest) = line.split_at(line.find(char::is_whitespace).unwrap_or(line.len()));
    if !is_name(&name[1..]) {
        faults.push(
            file.fault(format!("`{name}` can't be a parameter's name"), name)
                .help("names have letters, digits and `_`, and begin with a letter"),
        );
        return None;
    }
    let words = words(file, rest, faults);
    let Some(kind) = words.first().filter(|word| word.value.is_none()) else {
        faults.push(
            file.fault(format!("`{name}` has no type"), name).help(format!("write `-- {name} text`; {}", types())),
        );
        return None;
    };
    let Some(kind) = Type::named(kind.key) else {
        faults.push(
            file.fault(format!("`{}` is not a type", kind.whole), kind.whole).label(near_type(kind.key)).help(types()),
        );
        return None;
    };
    let mut parameter = Parameter::new(&name[1..], kind);
    parameter.place = Some(file.place(line.trim_end()));
    Declaration { file, faults, parameter: &mut parameter }.constraints(name, &words[1..]);
    Some(parameter)
}

fn types() -> String {
    format!("types are {}", Type::ALL.map(Type::name).join(" "))
}

fn near_type(word: &str) -> String {
    suggestion(word, Type::ALL.iter().map(|kind| kind.name()))
}

/// A declaration whose name and type are known.
struct Declaration<'a, 's> {
    file: &'a Text<'s>,
    faults: &'a mut Vec<Fault>,
    parameter: &'a mut Parameter,
}

impl Declaration<'_, '_> {
    /// Reads all constraints. `places` counts for the values of the others, so it comes first, and `default` must
    /// meet all others, so it comes last.
    fn constraints(&mut self, name: &str, words: &[Word]) {
        let known: Vec<&Word> = words
            .iter()
            .enumerate()
            .filter(|(at, word)| self.is_known(word, &words[..*at]))
            .map(|(_, word)| word)
            .collect();
        let places = known.iter().any(|word| word.key == "places");
        if self.parameter.kind == Type::Decimal && !places {
            let help = format!("write `-- {name} decimal places=2`; it binds a whole number of the smallest unit");
            self.faults.push(self.file.fault("a `decimal` needs its `places=`", name).help(help));
        }
        let order = |word: &Word| match word.key {
            "places" => 0,
            "default" => 2,
            _ => 1,
        };
        for wanted in 0..=2 {
            for word in known.iter().filter(|word| order(word) == wanted) {
                if let Err(message) = self.constraint(word) {
                    self.faults.push(self.file.fault(message, word.whole));
                }
            }
        }
        self.check_order(name);
    }

    /// Whether the word is a constraint of this type, written once, with a value where one belongs.
    fn is_known(&mut self, word: &Word, before: &[Word]) -> bool {
        let kind = self.parameter.kind;
        let needs_value = !matches!(word.key, "required" | "multiple");
        let fault = match CONSTRAINTS.iter().find(|(name, _)| *name == word.key) {
            None => self
                .file
                .fault(format!("`{}` is not a constraint", word.key), word.whole)
                .label(suggestion(word.key, CONSTRAINTS.map(|(name, _)| name))),
            Some((name, kinds)) if !kinds.contains(&kind) => {
                self.file.fault(format!("`{name}` means nothing for the type `{}`", kind.name()), word.whole)
            }
            Some((name, _)) if before.iter().any(|earlier| earlier.key == *name) => {
                self.file.fault(format!("`{name}` stands here twice"), word.whole)
            }
            Some((name, _)) if needs_value && word.value.as_ref().is_none_or(|value| value.is_empty()) => {
                self.file.fault(format!("`{name}` needs a value"), word.whole).help(format!("write `{name}=…`"))
            }
            Some((name, _)) if !needs_value && word.value.is_some() => {
                self.file.fault(format!("`{name}` takes no value"), word.whole)
            }
            Some(_) => return true,
        };
        self.faults.push(fault);
        false
    }

    fn constraint(&mut self, word: &Word) -> Result<(), String> {
        let value = word.value.as_deref().unwrap_or("");
        match word.key {
            "required" => self.parameter.required = true,
            "multiple" => self.parameter.multiple = true,
            "min" => self.parameter.min = Some(self.preset(value)?),
            "max" if self.parameter.kind == Type::File => self.parameter.max_bytes = Some(read_size(value)?),
            "max" => self.parameter.max = Some(self.preset(value)?),
            "step" => self.parameter.step = Some(self.step(value)?),
            "minlength" => self.parameter.minlength = Some(read_count(value)?),
            "maxlength" => self.parameter.maxlength = Some(read_count(value)?),
            "pattern" => self.parameter.pattern = Some(read_pattern(value)?),
            "in" => self.parameter.choices = self.list(value)?,
            "accept" => self.parameter.accept = read_accept(value)?,
            "autocomplete" => self.parameter.autocomplete = Some(value.into()),
            "label" => self.parameter.label = Some(value.into()),
            "places" => {
                self.parameter.places = read_count(value)?;
                if self.parameter.places > MOST_PLACES {
                    self.parameter.places = MOST_PLACES;
                    return Err(format!("`places` is at most {MOST_PLACES}"));
                }
            }
            _ => self.parameter.default = Some(self.default(value)?),
        }
        Ok(())
    }

    /// A moving moment, or a fixed value of the parameter's type.
    fn preset(&self, value: &str) -> Result<Preset, String> {
        let form = match self.parameter.kind {
            Type::Date => Some(Start::Today),
            Type::Datetime => Some(Start::Now),
            _ => None,
        };
        if let (Some(form), Some(moving)) = (form, Moving::read(value)) {
            return match moving? {
                moving if moving.start == form => Ok(Preset::Moving(moving)),
                _ if form == Start::Today => Err("a date is counted from `today`".into()),
                _ => Err("a datetime is counted from `now`".into()),
            };
        }
        Ok(Preset::Fixed(self.fixed(value)?))
    }

    fn fixed(&self, value: &str) -> Result<Value, String> {
        let kind = self.parameter.kind.name();
        if self.parameter.kind == Type::Datetime
            && !value.ends_with('Z')
            && !value.get(16..).is_some_and(|end| end.contains(['+', '-']))
        {
            return Err("a datetime written here needs its offset, such as `2030-01-01T00:00Z`".into());
        }
        let article = if kind.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
        self.parameter.plain(value, &Nobody).ok_or_else(|| format!("`{value}` is not {article} `{kind}`"))
    }

    fn list(&self, value: &str) -> Result<Vec<Value>, String> {
        value.split(',').map(|choice| self.fixed(choice.trim())).collect()
    }

    fn step(&self, value: &str) -> Result<Value, String> {
        match self.fixed(value)? {
            Value::Int(step) if step > 0 => Ok(Value::Int(step)),
            Value::Real(step) if step > 0.0 => Ok(Value::Real(step)),
            _ => Err("`step` must be greater than 0".into()),
        }
    }

    /// A default must be a value that a visitor could send.
    fn default(&self, value: &str) -> Result<Preset, String> {
        let checked = |value: Value| match self.parameter.check(&value, &Nobody) {
            Ok(()) => Ok(value),
            Err(_) => Err(format!("`default={value}` is not a value that `:{}` allows", self.parameter.name)),
        };
        match self.parameter.multiple {
            true => {
                let values: Result<Vec<Value>, String> = self.list(value)?.into_iter().map(checked).collect();
                Ok(Preset::Fixed(Value::List(values?.into())))
            }
            false => match self.preset(value)? {
                // `min=today` moves with the day: what it allows is not known here.
                Preset::Fixed(value) if !self.moves() => Ok(Preset::Fixed(checked(value)?)),
                preset => Ok(preset),
            },
        }
    }

    fn moves(&self) -> bool {
        [&self.parameter.min, &self.parameter.max].iter().any(|limit| matches!(limit, Some(Preset::Moving(_))))
    }

    /// Limits that leave nothing between them.
    fn check_order(&mut self, name: &str) {
        let parameter = &self.parameter;
        let limits = match (&parameter.min, &parameter.max) {
            (Some(Preset::Fixed(Value::Int(min))), Some(Preset::Fixed(Value::Int(max)))) => min > max,
            (Some(Preset::Fixed(Value::Real(min))), Some(Preset::Fixed(Value::Real(max)))) => min > max,
            (Some(Preset::Fixed(Value::Text(min))), Some(Preset::Fixed(Value::Text(max)))) => min > max,
            _ => false,
        };
        let lengths = matches!((parameter.minlength, parameter.maxlength), (Some(min), Some(max)) if min > max);
        if limits || lengths {
            self.faults
                .push(self.file.fault(format!("`{name}` allows nothing: its least is greater than its most"), name));
        }
    }
}

fn read_count(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(|| format!("`{text}` is not a count"))
}

/// `5MB`, `200kB`, `1GiB`, or a number of bytes.
fn read_size(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(format!("`{text}` is not a size; write `5MB`, `200kB` or `1GiB`")),
    };
    let size = text[..end].parse::<u64>().ok().and_then(|count| count.checked_mul(unit)).filter(|size| *size > 0);
    size.ok_or_else(|| format!("`{text}` is not a size; write `5MB`, `200kB` or `1GiB`"))
}

/// Compiles a pattern alone first: only then are its alternatives its own when it is anchored.
fn read_pattern(source: &str) -> Result<Pattern, String> {
    let compile = |text: &str| -> Result<Regex, String> {
        RegexBuilder::new(text).size_limit(PATTERN_BYTES).build().map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or("").trim_start_matches("error: ").to_string();
            format!("this pattern can't be used: {reason}")
        })
    };
    compile(source)?;
    Ok(Pattern { source: source.into(), regex: compile(&format!(r"\A(?:{source})\z"))? })
}

fn read_accept(text: &str) -> Result<Vec<Arc<str>>, String> {
    text.split(',')
        .map(|wanted| match wanted.trim().to_lowercase() {
            wanted if wanted.len() > 1 && (wanted.starts_with('.') || wanted.contains('/')) => Ok(wanted.into()),
            wanted => Err(format!("`{wanted}` is neither a type such as `image/*` nor an extension such as `.pdf`")),
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn read(line: &str) -> (Option<Parameter>, Vec<String>) {
        let mut faults = Vec::new();
        let file = Text { path: "pages/a.sql".into(), source: line };
        let parameter = declare(&file, line, &mut faults);
        (parameter, faults.into_iter().map(|fault| fault.message).collect())
    }

    /// The parameter of a sound declaration.
    pub(in crate::sqlfile) fn declared(line: &str) -> Parameter {
        let (parameter, faults) = read(line);
        assert_eq!(faults, [""; 0], "{line}");
        parameter.expect(line)
    }

    #[test]
    fn a_declaration_says_it_all() {
        let parameter = declared(":price decimal required min=0.50 max=\"99.00\" places=2 default=1 step=0.5");
        assert_eq!(&*parameter.name, "price");
        assert_eq!(parameter.min, Some(Preset::Fixed(Value::Int(50))));
        assert_eq!(parameter.max, Some(Preset::Fixed(Value::Int(9900))));
        assert_eq!(parameter.step, Some(Value::Int(50)));
        assert!(parameter.required);
        let place = parameter.place.unwrap();
        assert_eq!((place.line, place.column), (1, 1));
        assert_eq!(declared(":f file max=5MB").max_bytes, Some(5_000_000));
        assert_eq!(declared(":s text in=\"new york, rome\"").choices, [Value::from("new york"), Value::from("rome")]);
    }

    #[test]
    fn wrong_declarations_are_told() {
        for (line, expected) in [
            (":q", "`:q` has no type"),
            (":q txt", "`txt` is not a type"),
            (":1 text", "`:1` can't be a parameter's name"),
            (":q text reqired", "`reqired` is not a constraint"),
            (":q text min=3", "`min` means nothing for the type `text`"),
            (":q int min=x", "`x` is not an `int`"),
            (":q int min=1 min=2", "`min` stands here twice"),
            (":q int min", "`min` needs a value"),
            (":q int required=yes", "`required` takes no value"),
            (":q int min=5 max=1", "`:q` allows nothing: its least is greater than its most"),
            (":q int max=5 default=6", "`default=6` is not a value that `:q` allows"),
            (":q text in=a,b default=c", "`default=c` is not a value that `:q` allows"),
            (":q decimal", "a `decimal` needs its `places=`"),
            (":q decimal places=99", "`places` is at most 15"),
            (":q number step=0", "`step` must be greater than 0"),
            (":q date min=now", "a date is counted from `today`"),
            (
                ":q datetime min=2024-01-01T00:00",
                "a datetime written here needs its offset, such as `2030-01-01T00:00Z`",
            ),
            (":q file max=5", ""),
            (":q file max=5XB", "`5XB` is not a size; write `5MB`, `200kB` or `1GiB`"),
            (":q file accept=png", "`png` is neither a type such as `image/*` nor an extension such as `.pdf`"),
            (":q text maxlength=-1", "`-1` is not a count"),
            (":q bool multiple", "`multiple` means nothing for the type `bool`"),
            (":q text default=\"a", "this quotation doesn't end"),
        ] {
            let (_, faults) = read(line);
            assert_eq!(faults.first().map_or("", String::as_str), expected, "{line}");
        }
    }

    #[test]
    fn patterns_that_cannot_be_kept_are_told() {
        for pattern in ["(", "a)|(b", "(?=a)", "(((a{100}){100}){100}){100}"] {
            let (_, faults) = read(&format!(":q text pattern={pattern}"));
            assert!(faults[0].starts_with("this pattern can't be used: "), "{pattern}: {faults:?}");
        }
    }

    #[test]
    fn a_required_checkbox_may_not_default_to_no() {
        assert_eq!(read(":ok bool required default=false").1.len(), 1);
    }
}
