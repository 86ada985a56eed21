//! The rows of the table `outbox` that are mails.

use crate::database::{Failure, Snapshot};
use crate::value::{Kind, Rows, Value};

/// One message that waits, or waited, to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its number: later messages have higher ones.
    pub id: i64,
    /// Whom it is for: an e-mail address.
    pub recipient: String,
    /// Its template's name below `mail/`, without an extension.
    pub template: String,
    /// What the template is filled with: a JSON object.
    pub data: String,
    /// When it was written.
    pub created_at: String,
}

const NEWEST: &str = "select id, recipient, template, data, created_at from outbox \
                      where channel = 'email' order by id desc limit $1";
const FIND: &str = "select id, recipient, template, data, created_at from outbox where channel = 'email' and id = $1";
const LATEST: &str = "select id, recipient, template, data, created_at from outbox \
                      where channel = 'email' and lower(recipient) = lower($1) order by id desc limit 1";

/// The newest messages, the last one first.
///
/// # Errors
/// What the database says.
pub async fn newest(snapshot: &mut Snapshot<'_>, count: usize) -> Result<Vec<Row>, Failure> {
    let most = Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(read(&snapshot.query(NEWEST, &[Kind::Int.one()], &[most], count).await?))
}

/// The message of a number.
///
/// # Errors
/// What the database says.
pub async fn find(snapshot: &mut Snapshot<'_>, id: i64) -> Result<Option<Row>, Failure> {
    Ok(read(&snapshot.query(FIND, &[Kind::Int.one()], &[Value::Int(id)], 1).await?).pop())
}

/// The last message to an address.
///
/// # Errors
/// What the database says.
pub async fn latest(snapshot: &mut Snapshot<'_>, recipient: &str) -> Result<Option<Row>, Failure> {
    Ok(read(&snapshot.query(LATEST, &[Kind::Text.one()], &[Value::from(recipient)], 1).await?).pop())
}

fn read(rows: &Rows) -> Vec<Row> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let row = |cells: &[Value]| match cells {
        [Value::Int(id), recipient, template, data, created_at] => Some(Row {
            id: *id,
            recipient: text(recipient),
            template: text(template),
            data: text(data),
            created_at: text(created_at),
        }),
        _ => None,
    };
    (0..rows.len()).filter_map(|index| row(rows.row(index))).collect()
}
