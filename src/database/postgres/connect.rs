//! Opening a connection: the way to a server, TLS, who asks, and the settings that every connection has.
//!
//! PostgreSQL documentation, chapters "Frontend/Backend Protocol" ("Start-up", "SASL Authentication") and "Server
//! Configuration" ("Client Connection Defaults").

use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::address::{Host, TlsMode};
use super::failure::Trouble;
use super::wire::{Duplex, Wire};
use super::{Plan, Role};
use crate::database::Failure;

/// How long one server may take to accept a connection, where the URL tells nothing.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Silence after which the system asks whether the other side still lives.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What a new connection is told, beside the wire.
pub(super) struct Opened {
    /// The way to talk.
    pub(super) wire: Wire,
    /// With what another connection asks to cancel.
    pub(super) key: CancelKey,
}

/// The right to cancel what a connection runs.
#[derive(Clone, Debug)]
pub(super) struct CancelKey {
    host: Host,
    /// The server process of the connection.
    pub(super) process: i32,
    secret: i32,
}

/// Opens a connection to the first server that accepts and takes writes.
///
/// # Errors
/// [`Trouble`] of the last server that was tried.
pub(super) async fn open(plan: &Plan, role: Role) -> Result<Opened, Trouble> {
    let mut trouble = Trouble::Lost("the database URL names no server".to_string());
    for host in &plan.address.hosts {
        let time = plan.address.connect_time.filter(|time| !time.is_zero()).unwrap_or(CONNECT_TIME);
        match tokio::time::timeout(time, start(plan, role, host)).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(problem)) => trouble = problem,
            Err(_) => trouble = Trouble::Lost(format!("{} did not answer in time", name_of(host))),
        }
    }
    Err(trouble)
}

/// Asks the server to stop what the connection runs. Nothing tells whether it did.
pub(super) async fn cancel(plan: &Plan, key: &CancelKey) -> Result<(), Trouble> {
    let ask = async {
        let mut stream = reach(plan, &key.host).await?;
        let mut message = BytesMut::new();
        frontend::cancel_request(key.process, key.secret, &mut message);
        stream.write_all(&message).await?;
        stream.flush().await?;
        // The server closes once the signal is sent.
        let _ = stream.read(&mut [0]).await;
        Ok(())
    };
    tokio::time::timeout(CONNECT_TIME, ask).await.unwrap_or_else(|_| Err(Trouble::Lost("no answer".to_string())))
}

async fn start(plan: &Plan, role: Role, host: &Host) -> Result<Opened, Trouble> {
    let mut wire = Wire::new(reach(plan, host).await?, plan.limits.value_bytes.max(1 << 20));
    let settings = settings(plan, role);
    frontend::startup_message(settings.iter().map(|(name, value)| (*name, &**value)), &mut wire.outgoing)?;
    wire.flush().await?;
    authenticate(plan, &mut wire).await?;
    let mut key = CancelKey { host: host.clone(), process: 0, secret: 0 };
    loop {
        match wire.receive().await? {
            Message::BackendKeyData(body) => (key.process, key.secret) = (body.process_id(), body.secret_key()),
            Message::ReadyForQuery(_) => break,
            _ => return Err(unexpected()),
        }
    }
    if plan.address.hosts.len() > 1 && follows(&mut wire).await? {
        return Err(Trouble::Lost(format!("{} only repeats what another server does", name_of(host))));
    }
    Ok(Opened { wire, key })
}

/// Whether the server takes no writes, because it follows another one.
async fn follows(wire: &mut Wire) -> Result<bool, Trouble> {
    frontend::query("select pg_catalog.pg_is_in_recovery()", &mut wire.outgoing)?;
    wire.flush().await?;
    let mut follows = false;
    loop {
        match wire.receive().await? {
            Message::DataRow(body) => follows = body.buffer().ends_with(b"t"),
            Message::ReadyForQuery(_) => return Ok(follows),
            _ => {}
        }
    }
}

/// What each connection sets, so that neither the server's configuration nor the role's changes how a site behaves.
fn settings(plan: &Plan, role: Role) -> Vec<(&'static str, String)> {
    let address = &plan.address;
    let text = str::to_string;
    // All that a site asks at once shall see one snapshot, also where no transaction is begun for it.
    let is_whole = role == Role::Site && plan.makes_one_transaction();
    let isolation = if is_whole { "repeatable read" } else { "read committed" };
    let mut settings = vec![
        ("user", address.user.clone()),
        ("database", address.database.clone()),
        ("application_name", application_name(plan, role)),
        ("client_encoding", text("UTF8")),
        ("TimeZone", text("UTC")),
        ("DateStyle", text("ISO, YMD")),
        ("IntervalStyle", text("postgres")),
        ("extra_float_digits", text("1")),
        ("bytea_output", text("hex")),
        ("standard_conforming_strings", text("on")),
        ("default_transaction_isolation", text(isolation)),
    ];
    // The server's own functions stand behind the author's tables.
    if !address.options.as_deref().is_some_and(|options| options.contains("search_path")) {
        settings.push(("search_path", text("\"$user\", public, tableside")));
    }
    settings.extend(address.options.iter().map(|options| ("options", options.clone())));
    if role == Role::Site {
        let time = |time: Duration| time.as_millis().max(1).to_string();
        settings.extend([
            // Only a transaction that says so may write: a statement whose `begin` failed can't commit by itself.
            ("default_transaction_read_only", text("on")),
            ("statement_timeout", time(plan.statement_time)),
            ("idle_in_transaction_session_timeout", time(plan.statement_time)),
            ("lock_timeout", time(plan.limits.busy_time)),
        ]);
    }
    settings
}

/// The name that the operator reads in `pg_stat_activity`; other nodes find this one by its end.
fn application_name(plan: &Plan, role: Role) -> String {
    let name = &plan.address.application_name;
    match plan.nodes.get() {
        Some(nodes) if role != Role::Keeper => {
            let end = nodes.identity.suffix();
            let most = LONGEST_NAME.saturating_sub(end.len());
            let start = name.char_indices().take_while(|(at, c)| at + c.len_utf8() <= most && *c != '#');
            format!("{}{end}", start.map(|(_, c)| c).collect::<String>())
        }
        _ => name.clone(),
    }
}

/// Bytes of a name at most; the server cuts longer ones off.
const LONGEST_NAME: usize = 63;

/// Opens the way to one server, with TLS if it is asked for.
async fn reach(plan: &Plan, host: &Host) -> Result<Box<dyn Duplex>, Trouble> {
    let explain = |error: std::io::Error| Trouble::Lost(format!("{}: {error}", name_of(host)));
    match host {
        Host::Unix(file) => Ok(Box::new(connect_socket(file).await.map_err(explain)?)),
        Host::Tcp(name, port) => {
            let stream = TcpStream::connect((&**name, *port)).await.map_err(explain)?;
            stream.set_nodelay(true)?;
            let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3);
            socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            encrypt(plan, name, stream).await
        }
    }
}

async fn connect_socket(file: &Path) -> std::io::Result<UnixStream> {
    UnixStream::connect(file).await
}

async fn encrypt(plan: &Plan, name: &str, mut stream: TcpStream) -> Result<Box<dyn Duplex>, Trouble> {
    let Some(settings) = &plan.tls else { return Ok(Box::new(stream)) };
    let mut message = BytesMut::new();
    frontend::ssl_request(&mut message);
    stream.write_all(&message).await?;
    // One byte and no more: what stands behind it before TLS begins is not the server's (CVE-2021-23222).
    match stream.read_u8().await? {
        b'S' => {}
        _ if plan.address.tls == TlsMode::Prefer => return Ok(Box::new(stream)),
        _ => return Err(refused(&format!("{name} has no TLS, which `sslmode` asks for"))),
    }
    let server = ServerName::try_from(name.to_string()).map_err(|error| Trouble::Lost(error.to_string()))?;
    let stream = TlsConnector::from(std::sync::Arc::clone(settings)).connect(server, stream).await;
    Ok(Box::new(stream.map_err(|error| Trouble::Lost(format!("TLS with {name}: {error}")))?))
}

/// Answers how the server wants to know who asks.
async fn authenticate(plan: &Plan, wire: &mut Wire) -> Result<(), Trouble> {
    loop {
        match wire.receive().await? {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword => {
                frontend::password_message(password(plan)?, &mut wire.outgoing)?;
            }
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(plan.address.user.as_bytes(), password(plan)?, body.salt());
                frontend::password_message(hash.as_bytes(), &mut wire.outgoing)?;
            }
            Message::AuthenticationSasl(body) => {
                if !body.mechanisms().any(|mechanism| Ok(mechanism == SCRAM_SHA_256))? {
                    return Err(refused("the server offers no way to log in that is known here"));
                }
                authenticate_scram(password(plan)?, wire).await?;
                continue;
            }
            _ => return Err(refused("the server wants a way to log in that is not known here")),
        }
        wire.flush().await?;
    }
}

/// SCRAM-SHA-256 (RFC 7677), by which the server shows, too, that it knows the password.
async fn authenticate_scram(password: &[u8], wire: &mut Wire) -> Result<(), Trouble> {
    let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut wire.outgoing)?;
    wire.flush().await?;
    let Message::AuthenticationSaslContinue(body) = wire.receive().await? else { return Err(unexpected()) };
    scram.update(body.data())?;
    frontend::sasl_response(scram.message(), &mut wire.outgoing)?;
    wire.flush().await?;
    let Message::AuthenticationSaslFinal(body) = wire.receive().await? else { return Err(unexpected()) };
    scram.finish(body.data())?;
    Ok(())
}

fn password(plan: &Plan) -> Result<&[u8], Trouble> {
    let missing = || refused("the server wants a password, and the database URL has none");
    plan.address.password.as_deref().map(str::as_bytes).ok_or_else(missing)
}

/// What trying again doesn't mend.
fn refused(message: &str) -> Trouble {
    Trouble::Refused(Failure::broken(message))
}

/// A message that has no place here.
pub(super) fn unexpected() -> Trouble {
    Trouble::Lost("the database answered what was not asked".to_string())
}

fn name_of(host: &Host) -> String {
    match host {
        Host::Tcp(name, port) => format!("{name}:{port}"),
        Host::Unix(file) => file.display().to_string(),
    }
}
