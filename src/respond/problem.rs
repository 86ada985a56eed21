//! The status of each kind of problem, and the page of last resort.

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::flow::{Answer, allow, escape_html};
use crate::problem::{Kind, Problem};

/// The status of a kind of problem.
pub fn status(kind: &Kind) -> StatusCode {
    match kind {
        Kind::Malformed | Kind::BadParameters(_) => StatusCode::BAD_REQUEST,
        Kind::LoginNeeded => StatusCode::UNAUTHORIZED,
        Kind::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Kind::PaymentNeeded => StatusCode::PAYMENT_REQUIRED,
        Kind::NotAllowed => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::NoSuchMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
        Kind::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::AddressTooLong => StatusCode::URI_TOO_LONG,
        Kind::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Kind::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Kind::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::UnknownMethod => StatusCode::NOT_IMPLEMENTED,
        // An unknown end has no `Retry-After`: a program that tries again might do it twice.
        Kind::Busy | Kind::Unknown => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Sets what a problem's answer must carry beside its page, whoever made the page: status, `Allow`, `Retry-After`,
/// `WWW-Authenticate`.
pub fn mark(mut answer: Answer, problem: &Problem) -> Answer {
    answer.status = status(&problem.kind);
    match &problem.kind {
        Kind::NoSuchMethod(methods) => answer.header(ALLOW, allow(methods)),
        // What programs may send (RFC 9110, 15.5.2); browsers don't ask for it.
        Kind::LoginNeeded => answer.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        Kind::Busy => answer.header(RETRY_AFTER, HeaderValue::from_static("1")),
        Kind::TooMany(seconds) => answer.header(RETRY_AFTER, HeaderValue::from(*seconds)),
        _ => answer,
    }
}

/// The answer to a problem when the site has no page of its own for it: small, and silent about the inside. With `json`
/// it is `{"errors": {field: [messages]}}`, the empty name standing for the request as a whole.
pub fn problem(problem: &Problem, json: bool) -> Answer {
    let answer = if json { Answer::json(document(problem)) } else { Answer::html(page(problem)) };
    mark(answer, problem)
}

fn document(problem: &Problem) -> String {
    let mut errors = serde_json::Map::new();
    let mut add = |field: &str, message: &str| {
        if let Some(list) = errors.entry(field).or_insert_with(|| serde_json::json!([])).as_array_mut() {
            list.push(message.into());
        }
    };
    match &problem.kind {
        Kind::Invalid(fields) | Kind::BadParameters(fields) if !fields.is_empty() => {
            fields.0.iter().for_each(|(field, message)| add(field, message))
        }
        _ => add("", &problem.public),
    }
    serde_json::json!({ "errors": errors }).to_string()
}

fn page(problem: &Problem) -> String {
    let status = status(&problem.kind);
    let title = status.canonical_reason().unwrap_or("Error");
    let mut messages = format!("<p>{}</p>", escape_html(&problem.public));
    if let Kind::Invalid(fields) = &problem.kind {
        let lines = fields.0.iter().map(|(field, message)| match field.is_empty() {
            true => format!("<li>{}</li>", escape_html(message)),
            false => format!("<li>{}: {}</li>", escape_html(field), escape_html(message)),
        });
        messages += &format!("<ul>{}</ul>", lines.collect::<String>());
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>:root{{color-scheme:light dark}}body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;\
         margin:18vh auto 0;padding:0 1.5rem}}h1{{font-size:1.6rem;margin:0}}small{{opacity:.6}}</style>\n\
         <main><small>{}</small><h1>{title}</h1>{messages}</main>\n</html>\n",
        status.as_u16()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Content;

    fn text(answer: &Answer) -> String {
        match &answer.content {
            Content::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_page_of_last_resort_says_nothing_of_the_inside() {
        let secret = Problem::broken("disk /srv/secret is full");
        for json in [false, true] {
            let answer = problem(&secret, json);
            assert_eq!(answer.status, 500);
            assert!(!text(&answer).contains("secret"));
        }
    }

    #[test]
    fn what_visitors_sent_is_escape_html() {
        let answer = problem(&Problem::invalid("<b>", "\"<script>\""), false);
        assert!(text(&answer).contains("<li>&lt;b&gt;: &quot;&lt;script&gt;&quot;</li>"));
        assert_eq!(answer.status, 422);
    }

    #[test]
    fn programs_get_errors_by_field() {
        let mut fields = crate::problem::FieldErrors::one("qty", "Too many.");
        fields.add("qty", "Not even.");
        let answer = problem(&Problem::invalid_fields(fields), true);
        assert_eq!(text(&answer), r#"{"errors":{"qty":["Too many.","Not even."]}}"#);
        let answer = problem(&Problem::new(Kind::NoSuchMethod(vec!["GET", "HEAD"]), "Not so."), true);
        assert_eq!(text(&answer), r#"{"errors":{"":["Not so."]}}"#);
        assert_eq!(answer.headers.get(&ALLOW).unwrap(), "GET, HEAD");
    }
}
