//! The types of placeholders: what the server made of one, against what it is declared to take.
//!
//! The numbers are those of `pg_type`, which never change for built-in types (`src/include/catalog/pg_type.dat`).

use crate::value::{Declared, Kind};

pub(super) const BOOL: u32 = 16;
pub(super) const BYTEA: u32 = 17;
pub(super) const INT8: u32 = 20;
pub(super) const INT2: u32 = 21;
pub(super) const INT4: u32 = 23;
pub(super) const TEXT: u32 = 25;
pub(super) const OID: u32 = 26;
pub(super) const JSON: u32 = 114;
pub(super) const FLOAT4: u32 = 700;
pub(super) const FLOAT8: u32 = 701;
pub(super) const DATE: u32 = 1082;
pub(super) const TIMESTAMP: u32 = 1114;
pub(super) const TIMESTAMPTZ: u32 = 1184;
pub(super) const NUMERIC: u32 = 1700;
pub(super) const UUID: u32 = 2950;
pub(super) const JSONB: u32 = 3802;

/// `char`, `name`, `text`, `char(n)`, `varchar`.
const TEXTS: [u32; 5] = [18, 19, TEXT, 1042, 1043];

/// The first number that is given to a type of a database's own: enums, domains, extensions' types.
const FIRST_OWN: u32 = 16384;

/// Built-in types and the arrays of them.
const ARRAYS: [(u32, u32); 21] = [
    (BOOL, 1000),
    (BYTEA, 1001),
    (18, 1002),
    (19, 1003),
    (INT2, 1005),
    (INT4, 1007),
    (TEXT, 1009),
    (1042, 1014),
    (1043, 1015),
    (INT8, 1016),
    (FLOAT4, 1021),
    (FLOAT8, 1022),
    (OID, 1028),
    (TIMESTAMP, 1115),
    (DATE, 1182),
    (1083, 1183),
    (TIMESTAMPTZ, 1185),
    (NUMERIC, 1231),
    (JSON, 199),
    (JSONB, 3807),
    (UUID, 2951),
];

/// The type of an array's elements, where it is known here.
pub(super) fn element(array: u32) -> Option<u32> {
    ARRAYS.iter().find(|(_, of)| *of == array).map(|(element, _)| *element)
}

fn array_of(element: u32) -> Option<u32> {
    ARRAYS.iter().find(|(of, _)| *of == element).map(|(_, array)| *array)
}

/// The type that a placeholder is declared to have; 0 leaves it to the server.
pub(super) fn declared(declared: Declared) -> u32 {
    let one = match declared.kind {
        Kind::Any => return 0,
        Kind::Text => TEXT,
        Kind::Int => INT8,
        Kind::Real => FLOAT8,
        Kind::Bool => BOOL,
        Kind::Bytes => BYTEA,
        Kind::Date => DATE,
        Kind::Datetime => TIMESTAMPTZ,
        Kind::Uuid => UUID,
        Kind::Json => JSON,
    };
    if declared.list { array_of(one).unwrap_or(0) } else { one }
}

/// The types to try, in their order, instead of the one that the server took a placeholder for, because that one
/// doesn't hold all values of the declared kind. None keeps the server's.
pub(super) fn better(declared: Declared, inferred: u32) -> Vec<u32> {
    if !declared.list {
        return better_one(declared.kind, inferred).to_vec();
    }
    let elements = element(inferred).map_or(&[][..], |element| better_one(declared.kind, element));
    elements.iter().filter_map(|element| array_of(*element)).collect()
}

fn better_one(kind: Kind, inferred: u32) -> &'static [u32] {
    match kind {
        Kind::Int => match inferred {
            INT2 | INT4 | OID => &[INT8],
            // `day - $1` is taken for a difference of days, `data -> $1` for a key; both know only the shorter number.
            TEXT | DATE | TIMESTAMP | TIMESTAMPTZ | 1083 | 1186 => &[INT8, INT4],
            _ => &[],
        },
        Kind::Real if matches!(inferred, INT2 | INT4 | INT8 | OID | FLOAT4 | TEXT) => &[FLOAT8],
        Kind::Bool if inferred == TEXT => &[BOOL],
        Kind::Bytes if inferred == TEXT => &[BYTEA],
        Kind::Datetime if inferred == DATE => &[TIMESTAMPTZ],
        // A type of the database's own may compare otherwise than text does (`citext`).
        Kind::Text if !TEXTS.contains(&inferred) && inferred < FIRST_OWN => &[TEXT],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: Kind) -> Declared {
        Declared { kind, list: false }
    }

    #[test]
    fn narrow_types_are_widened() {
        assert_eq!(better(one(Kind::Int), INT4), [INT8]);
        assert_eq!(better(one(Kind::Int), DATE), [INT8, INT4]);
        assert!(better(one(Kind::Int), NUMERIC).is_empty());
        assert_eq!(better(one(Kind::Text), DATE), [TEXT]);
        assert!(better(one(Kind::Text), 1043).is_empty());
        assert!(better(one(Kind::Text), FIRST_OWN + 1).is_empty());
        assert!(better(one(Kind::Any), INT2).is_empty());
    }

    #[test]
    fn lists_go_by_their_elements() {
        let list = |kind| Declared { kind, list: true };
        assert_eq!(better(list(Kind::Int), 1007), [1016]);
        assert!(better(list(Kind::Int), INT4).is_empty());
        assert_eq!((declared(list(Kind::Text)), declared(one(Kind::Any))), (1009, 0));
    }
}
