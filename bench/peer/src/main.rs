//! The hand-written program that Tableside is measured against: the same small
//! shop as `bench/site`, written as somebody who knows axum, rusqlite and
//! askama well would write it for speed.
//!
//! - tokio's multi-thread runtime with as many workers as it was given cores;
//! - reading runs inline on the worker, on a connection of that thread with
//!   cached statements: a keyed look-up takes less time than handing it over;
//! - one writer thread with one connection; each write is committed by itself
//!   (`--together N` lets writes that wait share a commit);
//! - templates compiled in, rendered straight from the columns of the row;
//! - on PostgreSQL: a pool of deadpool-postgres, statements prepared once for each
//!   connection, the same template;
//! - static files by tower-http's `ServeDir`, and for information one from memory.
//!
//! It is not a framework: what `bench/site` doesn't have, it hasn't either.

mod access_log;
mod cart;
mod database;
mod escape;
mod pages;
mod postgres;
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;

use axum::Router;
use axum::http::header;
use axum::middleware;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower_http::services::ServeDir;

use access_log::AccessLog;
use database::{Readers, Writer};
use settings::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever makes the program stop before it serves.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What every handler may use.
struct Shop {
    readers: Readers,
    writer: Writer,
}

fn main() {
    let outcome = Settings::from_arguments(std::env::args().skip(1)).and_then(|settings| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(available_parallelism()?.get())
            .enable_all()
            .build()?
            .block_on(serve(settings))
    });
    if let Err(fault) = outcome {
        eprintln!("peer: {fault}");
        std::process::exit(1);
    }
}

/// Opens the database, listens, and serves until SIGTERM or SIGINT.
async fn serve(settings: Settings) -> Result<(), Fault> {
    let mut routes = match settings.database.starts_with("postgres") {
        true => postgres::routes(&settings.database, &settings.site.join("public")).await?,
        false => {
            let file = Path::new(&settings.database);
            database::prepare(file, settings.synchronous)?;
            let readers = Readers::new(file);
            let writer = Writer::start(file, settings.synchronous, settings.together)?;
            routes(Arc::new(Shop { readers, writer }), &settings.site.join("public"))?
        }
    };
    if settings.access_log {
        let log = AccessLog::start();
        routes = routes.layer(middleware::from_fn_with_state(log, access_log::record));
    }
    let listener = TcpListener::bind(&settings.listen).await?.tap_io(|connection| drop(connection.set_nodelay(true)));
    axum::serve(listener, routes).with_graceful_shutdown(stopped()?).await?;
    Ok(())
}

/// The shop's routes; every other path is a file of `public`.
fn routes(shop: Arc<Shop>, public: &Path) -> Result<Router, Fault> {
    let file = Bytes::from(std::fs::read(public.join("1k.txt"))?);
    let from_memory = get(async move || ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], file));
    let action = middleware::from_fn(cart::refuse_other_sites);
    Ok(Router::new()
        .route("/products/{slug}", get(pages::product))
        .route("/api/products/{slug}", get(pages::product_data))
        .route("/fortunes", get(pages::fortunes))
        .route("/stock", post(cart::set_stock).layer(action.clone()))
        .route("/cart", get(pages::cart).post(cart::add).layer(action))
        .with_state(shop)
        .route("/memory/1k.txt", from_memory)
        .fallback_service(ServeDir::new(public).precompressed_gzip()))
}

/// Resolves when the process is asked to stop.
fn stopped() -> Result<impl Future<Output = ()>, Fault> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
