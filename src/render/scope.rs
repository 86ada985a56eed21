//! What expressions stand for while a template is walked: a little more than [`Shape`], which callers give.

use std::sync::Arc;

use super::form::{FIELD_NAMES, FORM_NAMES, OPTION_NAMES};
use super::shape::Shape;

/// What an expression gives, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    /// Unknown; nothing below it is checked.
    Any,
    /// One value.
    Scalar,
    /// One row: the names of its columns, below a prefix that was already taken (`author.`).
    Row(Arc<[Arc<str>]>),
    /// The rows of a query.
    Rows(Arc<[Arc<str>]>),
    /// Items of one type.
    List(Box<Type>),
    /// A form with its fields.
    Form(Arc<[Arc<str>]>),
    /// Names, each with its type.
    Named(Arc<[(Arc<str>, Type)]>),
}

/// Why there is no such name below a value.
#[derive(Debug, PartialEq)]
pub(super) enum Missing {
    /// The names that are there.
    Unknown(Vec<String>),
    /// It is one value.
    Scalar,
    /// It is many rows, with these columns.
    ManyRows(Vec<String>),
    /// It is a list.
    List,
}

impl From<&Shape> for Type {
    fn from(shape: &Shape) -> Type {
        match shape {
            Shape::Any => Type::Any,
            Shape::Scalar => Type::Scalar,
            Shape::Row(columns) => Type::Row(columns.clone()),
            Shape::Rows(columns) => Type::Rows(columns.clone()),
            Shape::List => Type::List(Box::new(Type::Scalar)),
            Shape::Form(fields) => Type::Form(fields.clone()),
            Shape::Map(names) => Type::Named(names.iter().map(|(name, shape)| (name.clone(), shape.into())).collect()),
        }
    }
}

impl Type {
    /// Names of which each may be anything.
    pub(super) fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Type {
        Type::Named(names.into_iter().map(|name| (Arc::from(name), Type::Any)).collect())
    }

    /// The `loop` of a loop over items of this type.
    pub(super) fn loop_over(item: &Type) -> Type {
        const PLAIN: &[&str] = &[
            "index",
            "index0",
            "revindex",
            "revindex0",
            "first",
            "last",
            "length",
            "depth",
            "depth0",
            "cycle",
            "changed",
        ];
        let items = ["previtem", "nextitem"].map(|name| (Arc::from(name), item.clone()));
        Type::Named(PLAIN.iter().map(|name| (Arc::from(*name), Type::Any)).chain(items).collect())
    }

    /// What stands below a name (`value.name`).
    pub(super) fn attribute(&self, name: &str) -> Result<Type, Missing> {
        match self {
            Type::Any => Ok(Type::Any),
            Type::Scalar => Err(Missing::Scalar),
            Type::Row(columns) => column(columns, name),
            Type::Rows(columns) => match name {
                "more" => Ok(Type::Scalar),
                "first" => Ok(Type::Row(columns.clone())),
                _ => Err(Missing::ManyRows(texts(columns))),
            },
            Type::List(_) => Err(Missing::List),
            Type::Form(fields) => form_part(fields, name),
            Type::Named(names) => match names.iter().find(|(known, _)| &**known == name) {
                Some((_, found)) => Ok(found.clone()),
                None => Err(Missing::Unknown(names.iter().map(|(name, _)| name.to_string()).collect())),
            },
        }
    }

    /// What a loop over it gives, or a number in brackets.
    pub(super) fn item(&self) -> Type {
        match self {
            Type::Rows(columns) => Type::Row(columns.clone()),
            Type::List(item) => (**item).clone(),
            _ => Type::Any,
        }
    }

    /// The same items as a plain list, after sorting or selecting.
    pub(super) fn as_list(&self) -> Type {
        match self {
            Type::Rows(_) | Type::List(_) => Type::List(Box::new(self.item())),
            _ => Type::Any,
        }
    }

    /// What it is when it may be either.
    pub(super) fn or(self, other: Type) -> Type {
        if self == other { self } else { Type::Any }
    }
}

fn column(columns: &Arc<[Arc<str>]>, name: &str) -> Result<Type, Missing> {
    if columns.iter().any(|column| &**column == name) {
        return Ok(Type::Scalar);
    }
    let below: Vec<Arc<str>> =
        columns.iter().filter_map(|column| column.strip_prefix(name)?.strip_prefix('.').map(Arc::from)).collect();
    if below.is_empty() { Err(Missing::Unknown(texts(columns))) } else { Ok(Type::Row(below.into())) }
}

fn form_part(fields: &[Arc<str>], name: &str) -> Result<Type, Missing> {
    match name {
        "fields" => Ok(Type::List(Box::new(field()))),
        _ if FORM_NAMES.contains(&name) => Ok(Type::Scalar),
        _ if fields.iter().any(|known| &**known == name) => Ok(field()),
        _ => Err(Missing::Unknown(
            fields
                .iter()
                .map(|field| field.to_string())
                .chain(FORM_NAMES.iter().map(|name| name.to_string()))
                .collect(),
        )),
    }
}

fn field() -> Type {
    let options = Type::List(Box::new(Type::named(OPTION_NAMES.iter().copied())));
    let name = |name: &&'static str| (Arc::from(*name), if *name == "options" { options.clone() } else { Type::Any });
    Type::Named(FIELD_NAMES.iter().map(name).collect())
}

fn texts(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}
