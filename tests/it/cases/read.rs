//! Reads a case file: sections that begin with `===`.

use crate::harness::Request;

/// A whole case.
#[derive(Debug, Default)]
pub(super) struct Case {
    /// The site's files: path and text.
    pub(super) files: Vec<(String, String)>,
    /// Symbolic links: where they stand and where they lead.
    pub(super) links: Vec<(String, String)>,
    /// `serve`, unless the case says `dev`.
    pub(super) verb: String,
    /// Further arguments of the server.
    pub(super) arguments: Vec<String>,
    /// Further arguments of the server and of `check`: which database.
    pub(super) settings: Vec<String>,
    /// What `check` must find; `None` when the case doesn't say.
    pub(super) faults: Option<Vec<Fault>>,
    /// The same on PostgreSQL, where that differs.
    pub(super) faults_on_postgres: Option<Vec<Fault>>,
    /// Requests with their answers, in order.
    pub(super) exchanges: Vec<Exchange>,
}

/// A fault that is expected.
#[derive(Debug)]
pub(super) struct Fault {
    /// `file:line:column: level: message`.
    pub(super) head: String,
    /// `at: …`, `label: …` and `help: …`.
    pub(super) details: Vec<String>,
}

/// One request and what must be answered.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// The line in the case file.
    pub(super) line: usize,
    /// The request's first line, for messages.
    pub(super) first_line: String,
    /// Whose cookies are sent.
    pub(super) visitor: String,
    headers: Vec<(String, String)>,
    body: String,
    /// The status.
    pub(super) status: u16,
    /// What is expected of headers and body.
    pub(super) expected: Vec<Expected>,
    /// The whole body, with wildcards.
    pub(super) answer_body: Option<String>,
    /// Parts of the body that later requests use.
    pub(super) captures: Vec<Capture>,
}

/// One line of what is expected.
#[derive(Debug)]
pub(super) enum Expected {
    /// `Name: value`, the value with wildcards.
    Header(String, String),
    /// `!Name`
    NoHeader(String),
    /// `contains: text`
    Contains(String),
    /// `lacks: text`
    Lacks(String),
}

/// `capture: name = before…after`
#[derive(Debug)]
pub(super) struct Capture {
    /// The name, used as `{{name}}`.
    pub(super) name: String,
    before: String,
    after: String,
}

impl Capture {
    /// The text between the two, where they first stand.
    pub(super) fn find(&self, text: &str) -> Option<String> {
        let from = text.find(&self.before)? + self.before.len();
        let length = text[from..].find(&self.after)?;
        Some(text[from..from + length].to_string())
    }
}

impl Exchange {
    /// The request, with what was captured put in.
    pub(super) fn request(&self, captured: &[(String, String)]) -> Result<Request, String> {
        let first_line = filled(&self.first_line, captured);
        let (method, target) = first_line.split_once(' ').ok_or("a request begins with its method and path")?;
        let mut request = Request { target: bytes(target)?, ..Request::new(method, "") };
        for (name, value) in &self.headers {
            request.headers.push((name.clone(), repeated(&filled(value, captured))?));
        }
        let body = repeated(&filled(&self.body, captured))?;
        let content_type = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let multipart = content_type.is_some_and(|(_, value)| value.starts_with("multipart/"));
        // The lines of a multipart body end as RFC 2046 says.
        request.body = bytes(&if multipart { body.replace('\n', "\r\n") } else { body })?;
        if content_type.is_none() && !request.body.is_empty() {
            request = request.header("Content-Type", "application/x-www-form-urlencoded");
        }
        Ok(request)
    }
}

/// Puts captured values in place of `{{name}}`.
pub(super) fn filled(text: &str, captured: &[(String, String)]) -> String {
    captured.iter().rev().fold(text.to_string(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

/// `<<300 abc>>` stands for 300 times `abc`.
pub(super) fn repeated(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<<") {
        let (inside, left) = after.split_once(">>").ok_or("`<<` without `>>`")?;
        let (count, piece) = inside.split_once(' ').ok_or("`<<` needs a number and a text")?;
        out.push_str(before);
        out.push_str(&piece.repeat(count.parse().map_err(|_| format!("`{count}` is no number"))?));
        rest = left;
    }
    Ok(out + rest)
}

/// `\xNN` stands for one byte.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let text = repeated(text)?;
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\\x") {
        out.extend_from_slice(before.as_bytes());
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(byte.ok_or("`\\x` needs two hexadecimal digits")?);
        rest = &after[2..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// Reads a case file.
pub(super) fn case(text: &str) -> Result<Case, String> {
    let mut case = Case { verb: "serve".into(), ..Case::default() };
    for (line, heading, body) in sections(text) {
        let (word, rest) = heading.split_once(' ').unwrap_or((heading, ""));
        match word {
            "FILE" => case.files.push((rest.into(), format!("{}\n", body.trim_end_matches('\n')))),
            "LINK" => {
                let (path, target) = rest.split_once(' ').ok_or_else(|| format!("line {line}: LINK PATH TARGET"))?;
                case.links.push((path.into(), target.into()));
            }
            "SERVE" => case.arguments.extend(rest.split_whitespace().map(String::from)),
            "DEV" => {
                case.verb = "dev".into();
                case.arguments.extend(rest.split_whitespace().map(String::from));
            }
            "FAULTS" if rest == "postgres" => case.faults_on_postgres = Some(faults(&body)?),
            "FAULTS" => case.faults = Some(faults(&body)?),
            "REQUEST" => case.exchanges.push(request(line, rest, &body)?),
            "ANSWER" => {
                let exchange = case.exchanges.last_mut().ok_or("an ANSWER stands after a REQUEST")?;
                answer(exchange, &body).map_err(|why| format!("line {line}: {why}"))?;
            }
            _ => return Err(format!("line {line}: unknown section {heading:?}")),
        }
    }
    match case.exchanges.iter().find(|exchange| exchange.status == 0) {
        Some(open) => Err(format!("line {}: a REQUEST without an ANSWER", open.line)),
        None if case.exchanges.is_empty() && case.faults.is_none() => Err("the case expects nothing".into()),
        None => Ok(case),
    }
}

/// Line, heading and body of each section. What stands before the first is a description.
fn sections(text: &str) -> Vec<(usize, &str, String)> {
    let mut sections: Vec<(usize, &str, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix("=== "), sections.last_mut()) {
            (Some(heading), _) => sections.push((index + 1, heading.trim(), String::new())),
            (None, Some((_, _, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    sections
}

/// Head and body, which a blank line parts.
fn parts(text: &str) -> (&str, Option<&str>) {
    let text = text.trim_end_matches('\n');
    match text.split_once("\n\n") {
        Some((head, body)) => (head, Some(body)),
        None => (text, None),
    }
}

fn request(line: usize, rest: &str, text: &str) -> Result<Exchange, String> {
    let (head, body) = parts(text);
    let mut lines = head.lines();
    let first_line = lines.next().ok_or_else(|| format!("line {line}: an empty REQUEST"))?.to_string();
    let headers = lines.map(|header| {
        let (name, value) = header.split_once(':').ok_or_else(|| format!("line {line}: no header: {header:?}"))?;
        Ok((name.to_string(), value.trim().to_string()))
    });
    Ok(Exchange {
        line,
        first_line,
        visitor: rest.strip_prefix("as ").unwrap_or("").to_string(),
        headers: headers.collect::<Result<_, String>>()?,
        body: body.unwrap_or("").to_string(),
        ..Exchange::default()
    })
}

fn answer(exchange: &mut Exchange, text: &str) -> Result<(), String> {
    let (head, body) = parts(text);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or("");
    exchange.status = status.trim().parse().map_err(|_| format!("`{status}` is no status"))?;
    for line in lines {
        if let Some(name) = line.strip_prefix('!') {
            exchange.expected.push(Expected::NoHeader(name.trim().into()));
            continue;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no expectation: {line:?}"))?;
        let value = value.trim();
        match name {
            "contains" => exchange.expected.push(Expected::Contains(value.into())),
            "lacks" => exchange.expected.push(Expected::Lacks(value.into())),
            "capture" => exchange.captures.push(capture(value)?),
            _ => exchange.expected.push(Expected::Header(name.into(), value.into())),
        }
    }
    exchange.answer_body = body.map(str::to_string);
    Ok(())
}

fn capture(text: &str) -> Result<Capture, String> {
    let (name, around) = text.split_once('=').ok_or("a capture is `name = before…after`")?;
    let (before, after) = around.trim().split_once('…').ok_or("a capture has one …")?;
    Ok(Capture { name: name.trim().into(), before: before.into(), after: after.into() })
}

/// A line for each fault; lines that are set in belong to the one before.
fn faults(text: &str) -> Result<Vec<Fault>, String> {
    let mut faults: Vec<Fault> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match line.strip_prefix("  ") {
            None => faults.push(Fault { head: line.trim_end().into(), details: Vec::new() }),
            Some(detail) => {
                let fault = faults.last_mut().ok_or("a detail stands below its fault")?;
                fault.details.push(detail.trim().into());
            }
        }
    }
    Ok(faults)
}
