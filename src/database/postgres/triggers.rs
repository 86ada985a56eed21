//! Triggers that tell of what other programs write, for sites that want them (`database.watch_other_programs`).
//!
//! Each of the site's tables and partitions gets one trigger for each statement, TRUNCATE included. It names its table,
//! with the tables above and below it, in a NOTIFY on the channel of the nodes, which reaches them when the other
//! program commits. The connections of nodes are passed over: they tell by themselves, outside of their
//! transactions. Whoever sets another program's `application_name` to a node's is passed over as well.
//!
//! PostgreSQL hands triggers on to new partitions only if they fire for each row. So a node looks from time to time for
//! tables without one, and when the schema is another one than before, or a trigger was missing, takes all
//! tables for changed. What another program writes to a new partition before that look is known only after it.
//!
//! Other programs pay for it as the documentation of NOTIFY says: their commits wait for each other, and they can't use
//! `prepare transaction` after a write.

use std::sync::Arc;

use super::Plan;
use super::Role;
use super::failure::Trouble;
use super::link::Link;
use crate::value::Value;

/// The names of the triggers, without the channel's end; dependencies pass them over.
pub(super) const NAME: &str = "tableside_tell_";

/// Only one node at a time; whoever finds a table in use comes again.
const BEGIN: &str = "begin isolation level read committed read write; set local lock_timeout = '2s'; \
    select pg_catalog.pg_advisory_xact_lock(8386095523106153830)";

/// What a look at the tables found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tended {
    /// Changes when a table or partition comes, goes or moves.
    fingerprint: String,
    /// Whether triggers were added.
    added: bool,
    /// Why some could not be.
    trouble: Option<String>,
}

impl Tended {
    /// Whether anything may have been written that no trigger told of since the last look.
    pub(super) fn missed(&self, before: Option<&Tended>) -> bool {
        self.added || before.is_some_and(|before| before.fingerprint != self.fingerprint)
    }

    /// What the operator is to be told, if it wasn't told before.
    pub(super) fn trouble(&self, before: Option<&Tended>) -> Option<&str> {
        let before = before.and_then(|before| before.trouble.as_deref());
        self.trouble.as_deref().filter(|trouble| before != Some(trouble))
    }
}

/// Puts triggers where they are missing, or takes them away if they are not wanted.
pub(super) async fn tend(plan: &Arc<Plan>, channel: &str, wanted: bool) -> Result<Tended, Trouble> {
    let mut link = Link::open(plan, Role::Keeper).await?;
    let trigger = trigger_of(channel);
    let mut tended = Tended::default();
    if !wanted {
        remove(&mut link, &trigger).await?;
        return Ok(tended);
    }
    let missing = tables(&mut link, &trigger, false).await?;
    if !missing.is_empty() {
        link.simple(&format!("{BEGIN}; {}; commit", function(channel, &trigger))).await?;
    }
    for table in missing {
        let made = format!(
            "create or replace trigger {trigger} after insert or update or delete or truncate on {table} \
             for each statement execute function tableside.{trigger}()"
        );
        match link.simple(&format!("{BEGIN}; {made}; commit")).await {
            Ok(_) => tended.added = true,
            Err(Trouble::Server(error)) => {
                link.simple("rollback").await?;
                let cause = error.message;
                tended.trouble =
                    Some(format!("no trigger on {table} ({cause}): what other programs write there is not noticed"));
            }
            Err(trouble) => return Err(trouble),
        }
    }
    tended.fingerprint = texts(&mut link, FINGERPRINT).await?.pop().unwrap_or_default();
    Ok(tended)
}

async fn remove(link: &mut Link, trigger: &str) -> Result<(), Trouble> {
    for table in tables(link, trigger, true).await? {
        link.simple(&format!("{BEGIN}; drop trigger if exists {trigger} on {table}; commit")).await?;
    }
    let known = format!("select 1 from pg_catalog.pg_proc where proname = '{trigger}'");
    if !texts(link, &known).await?.is_empty() {
        link.simple(&format!("drop function if exists tableside.{trigger}()")).await?;
    }
    Ok(())
}

fn trigger_of(channel: &str) -> String {
    let end = channel.rsplit('_').next().unwrap_or_default();
    format!("{NAME}{end}")
}

/// The site's tables and partitions that have the trigger, or have it not.
async fn tables(link: &mut Link, trigger: &str, having: bool) -> Result<Vec<String>, Trouble> {
    let not = if having { "" } else { "not" };
    let sql = format!(
        "select pg_catalog.format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class c \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ('r', 'p') and c.relpersistence <> 't' and c.relname !~ '^_' \
         and n.nspname = any(pg_catalog.current_schemas(false)) and {not} exists \
         (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and t.tgname = '{trigger}') order by 1"
    );
    texts(link, &sql).await
}

async fn texts(link: &mut Link, sql: &str) -> Result<Vec<String>, Trouble> {
    let rows = link.simple(sql).await?;
    Ok(rows.cells.iter().filter_map(Value::as_str).map(str::to_string).collect())
}

const FINGERPRINT: &str = "select pg_catalog.md5(pg_catalog.concat(\
    (select pg_catalog.string_agg(c.oid::text, ',' order by c.oid) from pg_catalog.pg_class c \
     where c.relkind in ('r', 'p', 'v', 'm') and c.relnamespace::regnamespace::text = any(pg_catalog.current_schemas(false)::text[])), \
    (select pg_catalog.string_agg(pg_catalog.concat(inhrelid, ' ', inhparent), ',' order by inhrelid, inhparent) \
     from pg_catalog.pg_inherits)))";

/// What the triggers call. Tables are named as queries of the site may name them: with the schema, and without.
fn function(channel: &str, trigger: &str) -> String {
    FUNCTION
        .replace("TRIGGER", trigger)
        .replace("LIKE_CHANNEL", &channel.replace('_', "\\_"))
        .replace("CHANNEL", channel)
}

const FUNCTION: &str = "create or replace function tableside.TRIGGER() returns trigger language plpgsql \
    set search_path = pg_catalog, pg_temp as $$
declare
    told text;
begin
    if current_setting('application_name') like '%#LIKE_CHANNEL.%' then
        return null;
    end if;
    with recursive above (id) as (
        select tg_relid union select i.inhparent from pg_inherits i join above on i.inhrelid = above.id
    ), below (id) as (
        select tg_relid union select i.inhrelid from pg_inherits i join below on i.inhparent = below.id
    ), named (name) as (
        select unnest(array[c.relname::text, n.nspname || '.' || c.relname]) from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        where c.oid in (select id from above union select id from below)
    )
    select json_build_array('', 0, json_agg(name))::text into told from named;
    -- The server takes fewer than 8,000 bytes: then all tables are told.
    perform pg_notify('CHANNEL', case when octet_length(told) < 7900 then told else '[\"\", 0, null]' end);
    return null;
end
$$";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_told() {
        let look = |fingerprint: &str, added, trouble: Option<&str>| Tended {
            fingerprint: fingerprint.into(),
            added,
            trouble: trouble.map(str::to_string),
        };
        let first = look("a", false, Some("no"));
        assert!(!first.missed(None) && !first.missed(Some(&first)));
        assert!(look("b", false, None).missed(Some(&first)) && look("a", true, None).missed(Some(&first)));
        assert_eq!((first.trouble(None), first.trouble(Some(&first))), (Some("no"), None));
    }

    #[test]
    fn names_come_from_the_channel() {
        assert_eq!(trigger_of("tableside_0123abcd"), "tableside_tell_0123abcd");
        let text = function("tableside_0123abcd", "t");
        assert!(text.contains("tableside.t()") && text.contains("'%#tableside\\_0123abcd.%'"), "{text}");
    }
}
