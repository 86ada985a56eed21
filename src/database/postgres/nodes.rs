//! What a parsed statement names: reads the text of PostgreSQL's stored trees (`pg_node_tree`), in which it keeps views,
//! defaults, rules and the bodies of `begin atomic` functions.
//!
//! The text is written by `outfuncs.c` and taken apart here as `read.c` does: `{TAG :field value …}`, lists in round
//! brackets, a backslash before characters that would end a word. Fields that don't matter are passed over, but not
//! nodes: one whose tag is not in [`KNOWN`] makes the whole [unknown](Facts::unknown), because a later PostgreSQL may
//! name tables or functions in it in a way that this file doesn't see.

use std::collections::{BTreeMap, BTreeSet};

/// What is done to the rows of a table: bits as in `pg_trigger.tgtype`.
pub(super) type Ops = u8;
/// Rows are added.
pub(super) const INSERT: Ops = 4;
/// Rows are removed.
pub(super) const DELETE: Ops = 8;
/// Rows are changed.
pub(super) const UPDATE: Ops = 16;
/// Any of these.
pub(super) const ANY: Ops = INSERT | DELETE | UPDATE;

/// What stands in one or several trees; tables, functions, operators and types by their object identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Tables and views that are read.
    pub(super) reads: BTreeSet<u32>,
    /// Tables and views that are written, and how.
    pub(super) writes: BTreeMap<u32, Ops>,
    /// Functions that are called, aggregates and those behind operators included.
    pub(super) functions: BTreeSet<u32>,
    /// Operators that sorting, grouping and comparing use.
    pub(super) operators: BTreeSet<u32>,
    /// Types that a text is converted to, and domains.
    pub(super) types: BTreeSet<u32>,
    /// Whether `current_timestamp` or one of its kind is asked.
    pub(super) clock: bool,
    /// Whether rows are locked (`for update`).
    pub(super) locks: bool,
    /// Whether a sequence is counted up.
    pub(super) counts: bool,
    /// A node that this file doesn't know.
    pub(super) unknown: Option<String>,
}

impl Facts {
    /// What stands in a tree.
    pub(super) fn of(tree: &str) -> Facts {
        let mut facts = Facts::default();
        facts.read(tree);
        facts
    }

    /// Adds what stands in another tree.
    pub(super) fn read(&mut self, tree: &str) {
        let mut reader = Reader { facts: self, frames: Vec::new() };
        for word in Words(tree) {
            reader.word(word);
        }
    }
}

/// Every node that this file knows, of PostgreSQL 14 to 18, in lower case.
const KNOWN: &str = " query rangetblentry rte rtepermissioninfo alias var const param aggref groupingfunc windowfunc \
    subscriptingref funcexpr namedargexpr opexpr distinctexpr nullifexpr scalararrayopexpr boolexpr sublink fieldselect \
    fieldstore relabeltype coerceviaio arraycoerceexpr convertrowtypeexpr collateexpr collate case caseexpr when casewhen \
    casetestexpr array arrayexpr row rowexpr rowcompare rowcompareexpr coalesce coalesceexpr minmax minmaxexpr \
    sqlvaluefunction xmlexpr nulltest booleantest coercetodomain coercetodomainvalue settodefault currentofexpr \
    nextvalueexpr inferenceelem targetentry rangetblref joinexpr fromexpr onconflictexpr mergeaction sortgroupclause \
    groupingset windowclause rowmarkclause withcheckoption commontableexpr ctesearchclause ctecycleclause \
    setoperationstmt rangetblfunction tablefunc tablesampleclause jsonformat jsonreturning jsonvalueexpr \
    jsonconstructorexpr jsonispredicate jsonbehavior jsonexpr jsontablepath jsontablepathscan jsontablesiblingjoin \
    mergesupportfunc returningexpr ";

/// Fields that hold a function, wherever they stand.
const FUNCTIONS: &str = " funcid opfuncid aggfnoid winfnoid startInRangeFunc endInRangeFunc tsmhandler ";

/// Fields that hold an operator, or a list of them.
const OPERATORS: &str = " opno opnos eqop sortop cycle_mark_neop ";

/// The last of the kinds of `SQLVALUEFUNCTION` that tell the time; those behind it tell users and names.
const LAST_TIME: u32 = 8;

fn listed(list: &str, name: &str) -> bool {
    list.contains(&format!(" {name} "))
}

/// A word of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word<'t> {
    /// `{`, with the tag behind it to come.
    Begin,
    /// `}`
    End,
    /// `(` or `)`
    Bracket,
    /// Anything else, as it is written.
    Text(&'t str),
}

/// The words of a tree.
struct Words<'t>(&'t str);

impl<'t> Iterator for Words<'t> {
    type Item = Word<'t>;

    fn next(&mut self) -> Option<Word<'t>> {
        self.0 = self.0.trim_start_matches([' ', '\n', '\t']);
        let (word, length) = match self.0.as_bytes().first()? {
            b'{' => (Word::Begin, 1),
            b'}' => (Word::End, 1),
            b'(' | b')' => (Word::Bracket, 1),
            _ => {
                let length = text_length(self.0);
                (Word::Text(&self.0[..length]), length)
            }
        };
        self.0 = &self.0[length..];
        Some(word)
    }
}

/// The bytes up to a blank or a bracket that no backslash escapes.
fn text_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b' ' | b'\n' | b'\t' | b'(' | b')' | b'{' | b'}' => return at,
            _ => {}
        }
    }
    text.len()
}

/// A node that is being read.
#[derive(Default)]
struct Frame<'t> {
    tag: &'t str,
    field: &'t str,
    /// Whether the next word is the field's value, even if it looks like a field: a table may be called `:opno`.
    expects_value: bool,
    /// Of a table entry: its table.
    table: u32,
    /// Of a query: 1 select, 2 update, 3 insert, 4 delete, 5 merge.
    command: u32,
    /// Of a query: the place of what it writes among its tables, from 1.
    target: usize,
    /// Of a query: its tables in order; 0 for what is none.
    tables: Vec<u32>,
    /// Of a query: whether it has `on conflict`.
    on_conflict: bool,
    /// Of a query: whether it has `returning`.
    returning: bool,
}

struct Reader<'f, 't> {
    facts: &'f mut Facts,
    frames: Vec<Frame<'t>>,
}

impl<'t> Reader<'_, 't> {
    fn word(&mut self, word: Word<'t>) {
        match word {
            Word::Begin => {
                self.note_child();
                self.frames.push(Frame::default());
            }
            Word::End => {
                if let Some(frame) = self.frames.pop() {
                    self.close(&frame);
                }
            }
            Word::Bracket => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.expects_value = false;
                }
            }
            Word::Text(text) => self.text(text),
        }
    }

    /// A node begins inside of a field.
    fn note_child(&mut self) {
        let Some(frame) = self.frames.last_mut() else { return };
        frame.expects_value = false;
        match frame.field {
            "onConflict" => frame.on_conflict = true,
            "returningList" => frame.returning = true,
            _ => {}
        }
    }

    fn text(&mut self, text: &'t str) {
        let Some(frame) = self.frames.last_mut() else { return };
        if frame.tag.is_empty() {
            frame.tag = text;
            if !listed(KNOWN, &text.to_ascii_lowercase()) {
                self.facts.unknown.get_or_insert_with(|| text.to_string());
            }
            self.tagged(text);
        } else if let Some(field) = text.strip_prefix(':').filter(|_| !frame.expects_value) {
            frame.field = field;
            frame.expects_value = true;
        } else {
            frame.expects_value = false;
            if let Ok(number) = text.parse() {
                self.number(number);
            }
        }
    }

    /// What a node says by being there.
    fn tagged(&mut self, tag: &str) {
        match tag {
            "ROWMARKCLAUSE" => self.facts.locks = true,
            "NEXTVALUEEXPR" => self.facts.counts = true,
            // JSON_VALUE and its kind convert texts to any type.
            "JSONEXPR" => self.facts.clock = true,
            _ => {}
        }
    }

    fn number(&mut self, number: u32) {
        let Some(frame) = self.frames.last_mut() else { return };
        match (frame.tag, frame.field) {
            ("QUERY", "commandType") => frame.command = number,
            ("QUERY", "resultRelation") => frame.target = number as usize,
            ("RANGETBLENTRY" | "RTE", "relid") => frame.table = number,
            ("SQLVALUEFUNCTION", "op") => self.facts.clock |= number <= LAST_TIME,
            (_, "resulttype") => {
                self.facts.types.insert(number);
            }
            _ if number == 0 => {}
            (_, field) if listed(FUNCTIONS, field) => {
                self.facts.functions.insert(number);
            }
            (_, field) if listed(OPERATORS, field) => {
                self.facts.operators.insert(number);
            }
            _ => {}
        }
    }

    fn close(&mut self, frame: &Frame<'_>) {
        match frame.tag {
            "RANGETBLENTRY" | "RTE" => match self.frames.last_mut() {
                Some(query) if query.tag == "QUERY" && query.field == "rtable" => query.tables.push(frame.table),
                _ if frame.table != 0 => drop(self.facts.reads.insert(frame.table)),
                _ => {}
            },
            "QUERY" => self.close_query(frame),
            _ => {}
        }
    }

    fn close_query(&mut self, query: &Frame<'_>) {
        let ops = match query.command {
            2 => UPDATE,
            3 if query.on_conflict => INSERT | UPDATE,
            3 => INSERT,
            4 => DELETE,
            5 => ANY,
            _ => 0,
        };
        let target = query.target.checked_sub(1).filter(|_| ops != 0);
        // A plain insert doesn't look at what is there.
        let blind = ops == INSERT && !query.returning;
        for (index, table) in query.tables.iter().copied().enumerate().filter(|(_, table)| *table != 0) {
            if target == Some(index) {
                *self.facts.writes.entry(table).or_default() |= ops;
            }
            if !(blind && target == Some(index)) {
                self.facts.reads.insert(table);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table entry as PostgreSQL 15 writes it, shortened.
    fn table(id: u32, name: &str) -> String {
        format!(
            "{{RANGETBLENTRY :alias <> :eref {{ALIAS :aliasname {name} :colnames (\"id\" \":opno\")}} :rtekind 0 :relid {id} :relkind r}}"
        )
    }

    fn query(command: u32, target: usize, tables: &[String], rest: &str) -> String {
        let tables = tables.join(" ");
        format!("{{QUERY :commandType {command} :resultRelation {target} :rtable ({tables}) {rest} :stmt_len 0}}")
    }

    #[test]
    fn targets_are_told_from_what_is_read() {
        let facts = Facts::of(&query(3, 1, &[table(7, "a"), table(8, "b")], ":onConflict <> :returningList <>"));
        assert_eq!((facts.writes, facts.reads), (BTreeMap::from([(7, INSERT)]), BTreeSet::from([8])));
        let facts = Facts::of(&query(3, 1, &[table(7, "a"), table(7, "a")], ""));
        assert_eq!((facts.writes, facts.reads), (BTreeMap::from([(7, INSERT)]), BTreeSet::from([7])));
        let conflict = ":onConflict {ONCONFLICTEXPR :action 2} :returningList <>";
        let facts = Facts::of(&query(3, 1, &[table(7, "a")], conflict));
        assert_eq!((facts.writes, facts.reads), (BTreeMap::from([(7, INSERT | UPDATE)]), BTreeSet::from([7])));
        let facts = Facts::of(&query(2, 2, &[table(7, "a"), table(8, "b")], ""));
        assert_eq!((facts.writes, facts.reads), (BTreeMap::from([(8, UPDATE)]), BTreeSet::from([7, 8])));
    }

    #[test]
    fn a_query_in_a_query_keeps_its_own_tables() {
        let inner = query(4, 1, &[table(9, "c")], "");
        let with = format!(":cteList ({{COMMONTABLEEXPR :ctename x :ctequery {inner} :ctecolnames (\"id\")}})");
        let outer =
            format!("({})", query(1, 0, &[table(7, "a"), "{RANGETBLENTRY :rtekind 6 :ctename x}".into()], &with));
        let facts = Facts::of(&outer);
        assert_eq!((facts.writes, facts.reads), (BTreeMap::from([(9, DELETE)]), BTreeSet::from([7, 9])));
    }

    #[test]
    fn names_that_look_like_fields_are_names() {
        let facts =
            Facts::of("{ALIAS :aliasname :funcid :colnames (\":funcid\" \"7\")} {FUNCEXPR :funcid 12 :args <>}");
        assert_eq!(facts.functions, BTreeSet::from([12]));
        let facts = Facts::of(r"{ALIAS :aliasname a\ \{QUERY\} :colnames <>}");
        assert_eq!(facts, Facts::default());
    }

    #[test]
    fn functions_operators_types_and_the_clock_are_found() {
        let tree = "{OPEXPR :opno 96 :opfuncid 65 :args ({FUNCEXPR :funcid 1299 :args <>} {AGGREF :aggfnoid 2147 :aggorder \
                    ({SORTGROUPCLAUSE :eqop 410 :sortop 412})} {COERCEVIAIO :arg {PARAM :paramid 2} :resulttype 1082} \
                    {ROWCOMPAREEXPR :opnos (o 10 11)} {CONST :constvalue 4 [ 1 0 0 0 ]})} {SQLVALUEFUNCTION :op 3}";
        let facts = Facts::of(tree);
        assert_eq!(facts.functions, BTreeSet::from([65, 1299, 2147]));
        assert_eq!(facts.operators, BTreeSet::from([10, 11, 96, 410, 412]));
        assert_eq!(facts.types, BTreeSet::from([1082]));
        assert!(facts.clock && !Facts::of("{SQLVALUEFUNCTION :op 11}").clock);
    }

    #[test]
    fn a_node_of_a_later_version_is_told() {
        assert_eq!(Facts::of("{QUERY :targetList ({NEWNODE :a 1})}").unknown.as_deref(), Some("NEWNODE"));
        assert!(Facts::of("{ROWMARKCLAUSE :rti 1}").locks);
    }
}
