//! A line for each request on standard output: method, path, status, bytes,
//! microseconds. Off by default; the benchmark measures it as a row of its own.

use std::io::{BufWriter, Stdout, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

/// How long a line may wait before it is written out.
const FLUSH: Duration = Duration::from_millis(500);

/// Lines gathered to be written together.
pub struct AccessLog {
    lines: Mutex<BufWriter<Stdout>>,
}

impl AccessLog {
    /// A log whose lines are written when there are 64 KiB of them, or twice a second.
    pub fn start() -> Arc<Self> {
        let lines = BufWriter::with_capacity(64 << 10, std::io::stdout());
        let log = Arc::new(Self { lines: Mutex::new(lines) });
        tokio::spawn(Arc::clone(&log).flush_regularly());
        log
    }

    fn with(&self, write: impl FnOnce(&mut BufWriter<Stdout>) -> std::io::Result<()>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that can't be written must not stop the shop.
        let _ = write(&mut lines);
    }

    async fn flush_regularly(self: Arc<Self>) {
        loop {
            tokio::time::sleep(FLUSH).await;
            self.with(|lines| lines.flush());
        }
    }
}

/// The middleware around every route.
pub async fn record(State(log): State<Arc<AccessLog>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let uri = request.uri().clone();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let bytes = response.body().size_hint().exact().unwrap_or(0);
    let time = started.elapsed().as_micros();
    log.with(|lines| writeln!(lines, "{method} {} {status} {bytes} {time}us", uri.path()));
    response
}
