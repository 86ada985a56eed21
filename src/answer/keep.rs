//! What an answer that may be kept does around its queries, so that it is exact.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use super::parameters::{self, Pairs};
use super::reading::{Start, read};
use super::{Chosen, Keep, Tools};
use crate::cache::BESIDE;
use crate::cache::digest::Digest;
use crate::database::versions::{Stamp, TableSet, Versions};
use crate::flow::visitor::{Aspect, Visitor};
use crate::flow::{Answer, Making, Visit};
use crate::parcel::Parcel;
use crate::problem::Problem;
use crate::site::Match;
use crate::site::keeping::Keeping;
use crate::sqlfile::Results;

/// An answer in the making that may be kept.
pub(super) struct Keeper<'k> {
    versions: &'k Arc<Versions>,
    keeping: &'k Keeping,
    stamp: Cow<'k, Stamp>,
    keep: &'k Keep,
    /// What its rows come down to, once they are read.
    rows: Option<Digest>,
    /// Whether they are of use for the next reading.
    foresees: bool,
}

/// Who the visitor is was looked up beside the page's queries: a name that was committed a moment ago must not be older
/// for anybody after it.
pub(super) fn shows_who(versions: &Versions) {
    if versions.is_marked(&TableSet::all()) {
        versions.count_marked(&versions.known(["users"]));
    }
}

/// For an answer that is not kept, when its rows are read: it needn't wait, but what it shows must not be older for
/// anybody after it.
pub(super) fn shows_at_once(tools: &Tools<'_>, tables: &TableSet) {
    if let Some(database) = tools.database {
        database.versions().count_marked(tables);
    }
}

impl<'k> Keeper<'k> {
    /// `None` for what is not kept.
    pub(super) fn begin(tools: &Tools<'k>, keeping: &'k Keeping, keep: &'k Keep) -> Option<Keeper<'k>> {
        let (Keep::Yes { stamp, .. }, Some(database)) = (keep, tools.database) else { return None };
        let versions = database.versions();
        keeping.tables(versions).ok()?;
        let (stamp, foresees) = (Cow::Borrowed(stamp), !database.is_embedded());
        Some(Keeper { versions, keeping, stamp, keep, rows: None, foresees })
    }

    /// To be awaited when the rows are read: a writer may have committed what was read without having counted it, and
    /// who asks after this answer must not get an older one. What looked up single rows has read no others.
    pub(super) async fn settle(&mut self, results: &[Results]) {
        self.rows = Some(Digest::of(results));
        let rows = self.keeping.rows().iter().filter_map(|row| {
            let found = results.get(row.script)?.only_row(row.query, row.column)?;
            Some((&*row.table, found.as_int()?))
        });
        let mut rows = rows.peekable();
        if rows.peek().is_some() {
            self.stamp = Cow::Owned(self.stamp.of_rows(rows));
        }
        self.versions.await_settled(&self.stamp).await;
    }

    /// The answer that was kept before, if these rows are the same as then: what is made of them is the same, because
    /// all else that it is made of stands in its key. With it, until when it counts.
    fn same(&self) -> Option<(Arc<Parcel>, Option<Instant>)> {
        let Keep::Yes { before: Some(before), .. } = self.keep else { return None };
        let fresh = before.until.is_none_or(|until| Instant::now() < until);
        (fresh && self.rows == Some(before.rows)).then(|| (before.value.clone(), before.until))
    }

    /// The answer from before, where nothing of it need be made again.
    pub(super) fn again(&self, visitor: &Visitor, results: &Arc<Vec<Results>>) -> Option<Answer> {
        let (kept, until) = self.same()?;
        let mut answer = Answer::kept(kept);
        self.note(&mut answer, visitor, results.clone(), until);
        Some(answer)
    }

    /// Hands on what the cache needs of an answer that was made. `beside` tells that it shows the fingerprints of files.
    pub(super) fn hand_on(&self, answer: &mut Answer, visitor: &Visitor, results: Arc<Vec<Results>>, beside: bool) {
        self.note(answer, visitor, results, beside.then(|| Instant::now() + BESIDE));
    }

    /// What is of this moment alone is not kept.
    fn note(&self, answer: &mut Answer, visitor: &Visitor, results: Arc<Vec<Results>>, until: Option<Instant>) {
        if let (Some(rows), false) = (self.rows, visitor.has_read(Aspect::Moment)) {
            let (stamp, aspects) = (Stamp::clone(&self.stamp), visitor.aspects());
            let results = self.foresees.then_some(results);
            answer.keeping = Some(Box::new(Making { stamp, rows, results, aspects, until }));
        }
    }
}

/// Asks what an answer requires of this request, although the answer itself is kept: what somebody may see is never a
/// thing of the past.
///
/// # Errors
/// What the `:require` that doesn't hold says, and what the queries say that it stands on.
pub async fn require(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    (found, chosen): (&Match, Chosen<'_>),
    pairs: &Pairs,
) -> Result<(), Problem> {
    let rows = tools.site.settings.max_rows as usize;
    let scripts = chosen.scripts().iter().filter(|script| script.has_requires());
    let starts = scripts.map(|script| {
        let arguments = parameters::of_get(script, found, pairs, visitor)?;
        Ok(Start {
            script: script.clone(),
            arguments,
            selection: Some(script.select(&[])),
            rows,
            lent: None,
            before: None,
        })
    });
    let starts: Arc<[Start]> = starts.collect::<Result<_, Problem>>()?;
    read(tools, visit, visitor, &starts).await.map(drop)
}
