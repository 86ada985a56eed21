//! The HTTP client: one request, one connection, one time limit. It knows no Hurl.

use std::error::Error;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Request, Version};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::address::Address;
use super::request::Prepared;

/// The largest body of an answer that is read, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024 * 1024;

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) version: Version,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// As received: still compressed where the server compressed it.
    pub(super) body: Bytes,
    /// The address that was asked.
    pub(super) address: Address,
    pub(super) peer: IpAddr,
    /// From connecting to the last byte.
    pub(super) took: Duration,
}

/// Sends a request with the cookies of the jar and reads the answer. The error says in one sentence what the server
/// did instead of answering.
pub(super) async fn send(prepared: &Prepared, jar: Option<String>, limit: Duration) -> Result<Reply, String> {
    let request = wire(prepared, jar)?;
    let started = Instant::now();
    let exchange = async {
        let stream = connect(&prepared.address).await?;
        let peer = stream.peer_addr().map_err(|error| error.to_string())?.ip();
        let (head, body) = exchange(stream, request).await?;
        Ok(Reply {
            version: head.version,
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            address: prepared.address.clone(),
            peer,
            took: started.elapsed(),
        })
    };
    match tokio::time::timeout(limit, exchange).await {
        Ok(answered) => answered,
        Err(_) => Err(format!("the server did not answer within {} ms", limit.as_millis())),
    }
}

fn wire(prepared: &Prepared, jar: Option<String>) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder()
        .method(prepared.method.clone())
        .uri(&prepared.address.target)
        .body(Full::new(prepared.body.clone()))
        .map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    *headers = prepared.headers.clone();
    let written = headers.get(COOKIE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let cookies = [jar, Some(prepared.cookies.clone()), written];
    let cookies: Vec<String> = cookies.into_iter().flatten().filter(|cookies| !cookies.is_empty()).collect();
    if !cookies.is_empty() {
        let value = HeaderValue::try_from(cookies.join("; ")).map_err(|_| "a cookie has no control characters")?;
        headers.insert(COOKIE, value);
    }
    if !headers.contains_key(HOST) {
        let value = HeaderValue::try_from(prepared.address.authority()).map_err(|error| error.to_string())?;
        headers.insert(HOST, value);
    }
    Ok(request)
}

async fn connect(address: &Address) -> Result<TcpStream, String> {
    let mut failure = String::new();
    for socket in address.sockets()? {
        match TcpStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = format!("can't connect to {socket}: {error}"),
        }
    }
    Err(failure)
}

async fn exchange(stream: TcpStream, request: Request<Full<Bytes>>) -> Result<(http::response::Parts, Bytes), String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(|error| told(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| body_told(error.as_ref()))?;
        Ok((head, body.to_bytes()))
    };
    tokio::pin!(connection, exchange);
    tokio::select! {
        biased;
        done = &mut exchange => done,
        // The connection has handed over all it will ever have; what of it answers the request is read now.
        _ = &mut connection => exchange.await,
    }
}

fn told(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        "the server closed the connection before its answer was complete".to_string()
    } else if error.is_parse() {
        format!("what the server sent is not an HTTP answer: {error}")
    } else {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("the connection broke: {error}{cause}")
    }
}

fn body_told(error: &(dyn Error + 'static)) -> String {
    if error.is::<LengthLimitError>() {
        return format!("the answer is larger than {} MiB", MAX_BODY >> 20);
    }
    match error.downcast_ref::<hyper::Error>() {
        Some(error) => told(error),
        None => error.to_string(),
    }
}
