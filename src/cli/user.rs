//! `tableside user`: the accounts of a site. It works beside a running server, which sees each change at its next
//! request.

mod password;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;
use tokio::task::LocalSet;

use super::running::{self, Refusal};
use super::{Outcome, SettingArguments};
use crate::accounts::administration::{self, Account, Invitation, NewAccount};
use crate::accounts::{password as passwords, token};
use crate::clock::Clock;
use crate::database::migrations::{self, State, Wanted};
use crate::database::{Database, Transaction};
use crate::problem::Problem;
use crate::settings::Settings;
use crate::site::{self, Mode, Site, policy, rules};
use crate::sqlfile;

/// Add, change and show the accounts of a site.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tableside user add ann@example.org --role editor\n  \
                  tableside user role ann@example.org --add clerk --remove editor\n  \
                  tableside user invite bea@example.org --role clerk --site shop\n\nPasswords are typed, or read from \
                  standard input with --password-stdin.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an account. Its address counts as confirmed.
    Add(Add),
    /// Give and take roles.
    Role(Role),
    /// Set a password. Every sign-in of the account ends.
    Passwd(Passwd),
    /// Send an invitation, and print its link.
    Invite(Invite),
    /// List all accounts.
    List(List),
    /// Show one account.
    Show(Show),
    /// Delete an account, and what belongs to it.
    Delete(One),
    /// End every sign-in of an account.
    Logout(One),
    /// Remove the app, the recovery codes and the passkeys of an account: its password alone opens it then.
    ResetSecondFactor(One),
}

#[derive(Debug, Args)]
struct Place {
    /// The site's folder.
    #[arg(long = "site", value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    settings: SettingArguments,
}

#[derive(Debug, Args)]
struct One {
    /// The e-mail address of the account.
    #[arg(value_name = "EMAIL", value_parser = address)]
    email: Arc<str>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Add {
    #[command(flatten)]
    one: One,
    /// A role of the account; as often as needed.
    #[arg(long = "role", value_name = "ROLE", value_parser = role)]
    roles: Vec<Arc<str>>,
    /// The name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
struct Role {
    #[command(flatten)]
    one: One,
    /// A role to give; as often as needed.
    #[arg(long = "add", value_name = "ROLE", value_parser = role, required_unless_present = "taken")]
    given: Vec<Arc<str>>,
    /// A role to take; as often as needed.
    #[arg(long = "remove", value_name = "ROLE", value_parser = role)]
    taken: Vec<Arc<str>>,
}

#[derive(Debug, Args)]
struct Passwd {
    #[command(flatten)]
    one: One,
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
struct Invite {
    #[command(flatten)]
    one: One,
    /// A role that the account will have; as often as needed.
    #[arg(long = "role", value_name = "ROLE", value_parser = role)]
    roles: Vec<Arc<str>>,
    /// The site's address in the link, where it is not that of `site.url`.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    one: One,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Addresses are kept in lower case, as the built-in pages do.
fn address(text: &str) -> Result<Arc<str>, String> {
    let folded = text.trim().to_lowercase();
    if sqlfile::is_email(&folded) { Ok(folded.into()) } else { Err("this is no e-mail address".into()) }
}

fn role(text: &str) -> Result<Arc<str>, String> {
    if rules::RESERVED.contains(&text) {
        return Err(format!("`{text}` is a word of access rules, and no role"));
    }
    match policy::is_name(text) {
        true => Ok(text.into()),
        false => Err("a role is made of letters, digits, `_` and `-`".into()),
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Problem> {
    let done = match &arguments.verb {
        Verb::Add(verb) => add(verb),
        Verb::Role(verb) => change_roles(verb),
        Verb::Passwd(verb) => set_password(verb),
        Verb::Invite(verb) => invite(verb),
        Verb::List(verb) => list(verb),
        Verb::Show(verb) => show(verb),
        Verb::Delete(one) => delete(one),
        Verb::Logout(one) => log_out(one),
        Verb::ResetSecondFactor(one) => reset_second_factor(one),
    };
    match done {
        Ok(()) => Ok(Outcome::Success),
        Err(refusal) => refusal.tell(),
    }
}

fn add(verb: &Add) -> Result<(), Refusal> {
    let (email, roles) = (&verb.one.email, &verb.roles);
    let desk = Desk::open(&verb.one.place)?;
    let password_hash = desk.new_password(email, verb.password_stdin)?;
    let name = verb.name.as_deref().map(str::trim).filter(|name| !name.is_empty()).map(Arc::from);
    let new = NewAccount { email: email.clone(), name, password_hash, roles: roles.clone() };
    let now = desk.clock.now();
    desk.change(email, async move |transaction: &mut Transaction<'_>| {
        administration::add(transaction, &new, now).await
    })?;
    match roles.is_empty() {
        true => println!("{email} has an account"),
        false => println!("{email} has an account with the roles {}", roles.join(", ")),
    }
    Ok(())
}

fn change_roles(verb: &Role) -> Result<(), Refusal> {
    let email = verb.one.email.clone();
    let desk = Desk::open(&verb.one.place)?;
    let (given, taken, now) = (verb.given.clone(), verb.taken.clone(), desk.clock.now());
    let account = desk.change(&verb.one.email, async move |transaction: &mut Transaction<'_>| {
        administration::change_roles(transaction, &email, (&given, &taken), now).await?;
        administration::account(transaction, &email, now).await
    })?;
    match account.user.roles.is_empty() {
        true => println!("{} has no roles", verb.one.email),
        false => println!("{} has the roles {}", verb.one.email, account.user.roles.join(", ")),
    }
    Ok(())
}

fn set_password(verb: &Passwd) -> Result<(), Refusal> {
    let email = verb.one.email.clone();
    let desk = Desk::open(&verb.one.place)?;
    let hash = desk.new_password(&email, verb.password_stdin)?;
    let now = desk.clock.now();
    desk.change(&verb.one.email, async move |transaction: &mut Transaction<'_>| {
        administration::set_password(transaction, &email, &hash, now).await
    })?;
    println!("{} has a new password, and is logged out everywhere", verb.one.email);
    Ok(())
}

fn invite(verb: &Invite) -> Result<(), Refusal> {
    let email = &verb.one.email;
    let desk = Desk::open(&verb.one.place)?;
    let base = verb.url.as_deref().unwrap_or(&desk.settings.site_url).trim_end_matches('/');
    if !base.starts_with("https://") && !base.starts_with("http://") {
        let told = match base {
            "" => "the link needs the site's address: set `url` in the section [site], or give --url".to_string(),
            base => format!("`{base}` is no address of a site, such as https://shop.example"),
        };
        return Err(Problem::broken(told).into());
    }
    let token = token::new();
    let link: Arc<str> = format!("{base}/invite/{token}").into();
    let invitation = Invitation { email: email.clone(), roles: verb.roles.clone(), token: token.into(), link };
    let (link, now) = (invitation.link.clone(), desk.clock.now());
    desk.change(email, async move |transaction: &mut Transaction<'_>| {
        administration::invite(transaction, &invitation, now).await
    })?;
    match verb.json {
        true => println!("{}", json!({ "email": &**email, "link": &*link })),
        false => println!("{link}"),
    }
    Ok(())
}

fn delete(one: &One) -> Result<(), Refusal> {
    let (desk, email) = (Desk::open(&one.place)?, one.email.clone());
    let now = desk.clock.now();
    desk.change(&one.email, async move |transaction: &mut Transaction<'_>| {
        administration::delete(transaction, &email, now).await
    })?;
    println!("the account of {} is deleted", one.email);
    Ok(())
}

fn log_out(one: &One) -> Result<(), Refusal> {
    let (desk, email) = (Desk::open(&one.place)?, one.email.clone());
    let now = desk.clock.now();
    let count = desk.change(&one.email, async move |transaction: &mut Transaction<'_>| {
        administration::log_out(transaction, &email, now).await
    })?;
    println!("{} is logged out; sign-ins ended: {count}", one.email);
    Ok(())
}

fn reset_second_factor(one: &One) -> Result<(), Refusal> {
    let (desk, email) = (Desk::open(&one.place)?, one.email.clone());
    let now = desk.clock.now();
    desk.change(&one.email, async move |transaction: &mut Transaction<'_>| {
        administration::reset_second_factor(transaction, &email, now).await
    })?;
    println!("{} logs in with the password alone", one.email);
    Ok(())
}

fn list(verb: &List) -> Result<(), Refusal> {
    let desk = Desk::open(&verb.place)?;
    let (mut accounts, now): (Vec<Account>, _) = (Vec::new(), desk.clock.now());
    loop {
        let after = accounts.last().map_or(0, |account| account.user.id);
        let next = desk.change("", async move |transaction: &mut Transaction<'_>| {
            Ok(administration::accounts(transaction, after, now).await?)
        })?;
        if next.is_empty() {
            break;
        }
        accounts.extend(next);
    }
    if verb.json {
        let list: Vec<_> = accounts.iter().map(as_json).collect();
        println!("{}", serde_json::to_string_pretty(&list).unwrap_or_default());
        return Ok(());
    }
    let mut rows = vec![["EMAIL", "NAME", "ROLES", "SINCE"].map(String::from)];
    rows.extend(accounts.iter().map(|Account { user, .. }| {
        let since = user.created_at.get(..10).unwrap_or("").to_string();
        [shown(&user.email), shown(user.name.as_deref().unwrap_or("")), user.roles.join(", "), since]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for [email, name, roles, since] in &rows {
        println!("{email:<0$}  {name:<1$}  {roles:<2$}  {since}", widths[0], widths[1], widths[2]);
    }
    Ok(())
}

fn show(verb: &Show) -> Result<(), Refusal> {
    let (desk, email) = (Desk::open(&verb.one.place)?, verb.one.email.clone());
    let now = desk.clock.now();
    let account = desk.change(&verb.one.email, async move |transaction: &mut Transaction<'_>| {
        administration::account(transaction, &email, now).await
    })?;
    if verb.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&account)).unwrap_or_default());
        return Ok(());
    }
    let Account { user, .. } = &account;
    let truth = |is: bool| if is { "yes" } else { "no" }.to_string();
    for (name, value) in [
        ("email", shown(&user.email)),
        ("name", shown(user.name.as_deref().unwrap_or(""))),
        ("roles", user.roles.join(", ")),
        ("since", user.created_at.to_string()),
        ("confirmed", truth(user.confirmed)),
        ("password", truth(account.has_password)),
        ("second factor", truth(account.second_factor)),
        ("passkeys", account.passkeys.to_string()),
        ("API tokens", account.tokens.to_string()),
        ("sign-ins", account.sign_ins.to_string()),
        ("last login", account.last_login.as_deref().unwrap_or("").to_string()),
    ] {
        println!("{}", format!("{name:<14}{value}").trim_end());
    }
    Ok(())
}

fn as_json(account: &Account) -> serde_json::Value {
    let Account { user, .. } = account;
    json!({
        "id": user.id,
        "email": &*user.email,
        "name": user.name.as_deref(),
        "created_at": &*user.created_at,
        "confirmed": user.confirmed,
        "roles": user.roles.iter().map(|role| &**role).collect::<Vec<_>>(),
        "password": account.has_password,
        "second_factor": account.second_factor,
        "passkeys": account.passkeys,
        "tokens": account.tokens,
        "sign_ins": account.sign_ins,
        "last_login": account.last_login.as_deref(),
    })
}

/// What visitors wrote, without what would steer the terminal.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A site's accounts, open for changes.
struct Desk {
    database: Database,
    settings: Arc<Settings>,
    clock: Clock,
    runtime: tokio::runtime::Runtime,
}

impl Desk {
    fn open(place: &Place) -> Result<Desk, Refusal> {
        let loaded = site::load(&place.folder, &place.settings.settings, Mode::Serve, None)?;
        let settings = loaded.site.settings.clone();
        if !settings.has_users() {
            let told = "this site has no accounts: set `register` in a section [users] of site.toml to \"open\", \
                        \"invited\" or \"closed\"";
            return Err(Problem::broken(told).into());
        }
        let clock = Clock::system();
        let database = running::open_database(&loaded.site, &clock)?;
        make_tables(&loaded.site, &database)?;
        // Other servers on the same database hear of what is written here.
        database.listen(settings.watch_other_programs, |_| {})?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Problem::broken(format!("can't start: {error}")))?;
        Ok(Desk { database, settings, clock, runtime })
    }

    /// Asks for a new password, holds it against the rules, and gives its hash.
    fn new_password(&self, email: &str, from_stdin: bool) -> Result<Arc<str>, Problem> {
        let password = password::read(from_stdin)?;
        if let Some(fault) = passwords::fault(&password, Some(email), self.settings.password_length as usize) {
            return Err(Problem::broken(fault));
        }
        let hash = self.runtime.block_on(passwords::Hashing::new(1, 1).hash(password.into()));
        hash.map(Arc::from).map_err(|_| Problem::broken("there is not enough memory to hash a password"))
    }

    /// Runs one piece of work in a transaction.
    fn change<T, W>(&self, email: &str, work: W) -> Result<T, Problem>
    where
        T: Send + 'static,
        W: AsyncFnMut(&mut Transaction<'_>) -> Result<T, administration::Refusal> + Send + 'static,
    {
        let written = LocalSet::new().block_on(&self.runtime, async {
            let written = self.database.write(work).await;
            self.database.finish().await;
            written
        });
        written.map_err(|refusal| match refusal {
            administration::Refusal::Failure(failure) => failure.into(),
            refusal => Problem::broken(format!("{email}: {refusal}")),
        })
    }
}

/// Makes the tables of accounts on a database that has none yet. What the site itself still has to migrate is left to
/// `serve` and `migrate apply`.
fn make_tables(site: &Site, database: &Database) -> Result<(), Refusal> {
    let faults = |fault: Box<_>| Refusal::Faults(vec![*fault]);
    if migrations::has_own(database, true).map_err(faults)? {
        return Ok(());
    }
    let status = migrations::status(database, &site.migrations).map_err(faults)?;
    let is_new = |number: u32| {
        let new = |state: &State| matches!(state, State::Pending | State::OutOfOrder);
        status.iter().any(|row| row.number == number && new(&row.state))
    };
    let mut list = site.migrations.list.clone();
    list.retain(|migration| !is_new(migration.number));
    migrations::apply(database, Wanted { list: &list, accounts: true }).map_err(faults)?;
    Ok(())
}
