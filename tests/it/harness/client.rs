//! A small HTTP/1.1 client over a plain socket: keeps cookies and its connection, and sends bytes as they are given.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

use super::LONG;

/// A request to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// The method.
    pub(crate) method: String,
    /// The target as it stands in the first line; it may hold bytes that no address should have.
    pub(crate) target: Vec<u8>,
    /// The headers; `Host`, `Cookie` and `Content-Length` are added where they are missing.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub(crate) fn new(method: &str, target: &str) -> Request {
        Request { method: method.into(), target: target.into(), ..Request::default() }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets a body of a type.
    pub(crate) fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Request {
        Request { body: body.into(), ..self.header("Content-Type", content_type) }
    }

    /// Sets the fields of a form.
    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Request {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(fields);
        self.body("application/x-www-form-urlencoded", text.finish())
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }
}

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers in the order sent.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, whole.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of a name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A visitor: its cookies and its connection.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    /// Names and values.
    pub(crate) cookies: Vec<(String, String)>,
}

impl Client {
    /// A visitor of a server, without cookies.
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client { address, connection: None, cookies: Vec::new() }
    }

    /// A GET that must be answered.
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send(&Request::new("GET", target)).unwrap_or_else(|error| panic!("GET {target}: {error}"))
    }

    /// A form that must be answered.
    pub(crate) fn post(&mut self, target: &str, fields: &[(&str, &str)]) -> Answer {
        let request = Request::new("POST", target).form(fields);
        self.send(&request).unwrap_or_else(|error| panic!("POST {target}: {error}"))
    }

    /// Sends a request and reads its answer. A connection that the server closed meanwhile is opened again once,
    /// unless some of an answer came.
    ///
    /// # Errors
    /// The server can't be reached, hangs up, or says what is no HTTP.
    pub(crate) fn send(&mut self, request: &Request) -> std::io::Result<Answer> {
        let bytes = self.bytes(request);
        let kept = self.connection.is_some();
        let answer = match self.exchange(request, &bytes) {
            Err(error) if kept && closed(&error) && only_asks(request) => self.exchange(request, &bytes)?,
            other => other?,
        };
        self.keep_cookies(&answer);
        Ok(answer)
    }

    fn bytes(&self, request: &Request) -> Vec<u8> {
        let mut bytes = request.method.as_bytes().to_vec();
        bytes.push(b' ');
        bytes.extend_from_slice(&request.target);
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        let mut header = |name: &str, value: &str| bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        for (name, value) in &request.headers {
            header(name, value);
        }
        if !request.has("host") {
            header("Host", &self.address.to_string());
        }
        if !self.cookies.is_empty() && !request.has("cookie") {
            let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            header("Cookie", &pairs.join("; "));
        }
        let sends = !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") || !request.body.is_empty();
        if sends && !request.has("content-length") && !request.has("transfer-encoding") {
            header("Content-Length", &request.body.len().to_string());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&request.body);
        bytes
    }

    fn exchange(&mut self, request: &Request, bytes: &[u8]) -> std::io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(connect(self.address)?),
        };
        // A server may answer and close before it has read a body that is too large; its answer still counts.
        let written = connection.get_mut().write_all(bytes);
        let (answer, again) = match read_answer(&mut connection, request.method == "HEAD") {
            Ok(read) => read,
            Err(error) => return Err(written.err().unwrap_or(error)),
        };
        if again && written.is_ok() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    /// As a browser: a cookie with `Max-Age=0` goes, others come or are replaced.
    fn keep_cookies(&mut self, answer: &Answer) {
        for (_, value) in answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")) {
            let mut parts = value.split(';').map(str::trim);
            let Some((name, content)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            self.cookies.retain(|(known, _)| known != name);
            if !parts.any(|part| part.eq_ignore_ascii_case("max-age=0")) {
                self.cookies.push((name.into(), content.into()));
            }
        }
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, LONG)?;
    stream.set_read_timeout(Some(LONG))?;
    stream.set_write_timeout(Some(LONG))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn closed(error: &std::io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// Only what changes nothing may be sent a second time.
fn only_asks(request: &Request) -> bool {
    matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS")
}

/// Reads one answer, and tells whether the connection may be used again.
fn read_answer(connection: &mut impl BufRead, is_head: bool) -> std::io::Result<(Answer, bool)> {
    loop {
        let status = status(&line(connection)?)?;
        let headers = headers(connection)?;
        // 100 Continue and its siblings come before the answer (RFC 9110, 15.2).
        if (100..200).contains(&status) {
            continue;
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let bodiless = is_head || matches!(status, 204 | 304);
        let mut again = answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        if bodiless {
            return Ok((answer, again));
        }
        if answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            answer.body = chunks(connection)?;
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(|_| wrong("a Content-Length that is no number"))?;
            answer.body = vec![0; length];
            connection.read_exact(&mut answer.body)?;
        } else {
            connection.read_to_end(&mut answer.body)?;
            again = false;
        }
        return Ok((answer, again));
    }
}

fn line(connection: &mut impl BufRead) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    connection.read_until(b'\n', &mut bytes)?;
    if !bytes.ends_with(b"\n") {
        return Err(std::io::Error::new(ErrorKind::UnexpectedEof, "the server hung up"));
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_string())
}

fn status(line: &str) -> std::io::Result<u16> {
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|status| status.parse().ok());
    status.ok_or_else(|| wrong(&format!("no status line: {line:?}")))
}

fn headers(connection: &mut impl BufRead) -> std::io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = line(connection)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| wrong(&format!("no header: {line:?}")))?;
        headers.push((name.to_string(), value.trim().to_string()));
    }
}

fn chunks(connection: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(connection)?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16)
            .map_err(|_| wrong(&format!("no chunk size: {size:?}")))?;
        let from = body.len();
        body.resize(from + size, 0);
        connection.read_exact(&mut body[from..])?;
        line(connection)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn wrong(what: &str) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, what.to_string())
}
