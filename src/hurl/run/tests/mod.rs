//! Files run against real servers over real sockets.

mod server;

use std::path::Path;

use super::{Report, run};
use crate::hurl::{Variables, parse};

/// Runs a file against a server; `{{host}}` is its address. Files beside it lie in `folder`.
async fn run_in(folder: &Path, host: &str, source: &str) -> Report {
    let file = parse("test.hurl", source).unwrap_or_else(|fault| panic!("{} {:?}", fault.message, fault.place));
    run(&file, &Variables::new().with("host", host), folder).await
}

/// Runs a file against the site; every assert in it must hold.
async fn passes(source: &str) -> Report {
    let host = server::site().await;
    let report = run_in(Path::new("."), &host, source).await;
    assert!(report.passed(), "{:#?}", report.failures);
    report
}

/// Runs a file against a server; its only failure has `message` and stands on `line`.
async fn fails(host: &str, source: &str, message: &str, line: u32) {
    let report = run_in(Path::new("."), host, source).await;
    let [failure] = &report.failures[..] else { panic!("{:#?} of\n{source}", report.failures) };
    let place = failure.place.as_ref().unwrap();
    assert!(failure.message.contains(message), "{} (wanted: {message})\n{source}", failure.message);
    assert_eq!(place.line, line, "{}\n{source}", failure.message);
}

/// Asserts on `GET path` that must hold, each on its own line.
async fn holds(path: &str, asserts: &[&str]) {
    passes(&format!("GET {{{{host}}}}{path}\nHTTP 200\n[Asserts]\n{}\n", asserts.join("\n"))).await;
}

/// Asserts on `GET path` that must fail, each with its message.
async fn breaks(path: &str, asserts: &[(&str, &str)]) {
    let host = server::site().await;
    for (assert, message) in asserts {
        let source = format!("GET {{{{host}}}}{path}\nHTTP 200\n[Asserts]\n{assert}\n");
        fails(&host, &source, message, 4).await;
    }
}

/// A run may be spawned on any runtime.
#[test]
fn a_run_is_send() {
    fn is_send(_: impl Send) {}
    let file = parse("test.hurl", "").unwrap();
    is_send(run(&file, &Variables::new(), Path::new(".")));
}

#[tokio::test]
async fn a_visit_goes_from_entry_to_entry() {
    let report = passes(
        r#"
GET {{host}}/account
HTTP 401

POST {{host}}/login
[Form]
email: ada@example.org
HTTP/1.1 303
Location: account?from=login
Set-Cookie: session=abc; Path=/; HttpOnly; SameSite=Lax
[Captures]
session: cookie "session"
[Asserts]
cookie "session" == "abc"
cookie "session[HttpOnly]" exists
cookie "session[Secure]" not exists
cookie "session[SameSite]" == "Lax"
cookie "session[Max-Age]" not exists

GET {{host}}/account
[Cookies]
theme: dark
HTTP 200
`hello, session={{session}}; theme=dark`

GET {{host}}/logout
HTTP 303

GET {{host}}/account
HTTP 401
"#,
    )
    .await;
    assert_eq!((report.entries, report.asserts), (5, 14));
}

#[tokio::test]
async fn a_page_is_asked_by_xpath() {
    holds(
        "/",
        &[
            r#"header "content-type" == "text/html; charset=utf-8""#,
            r#"xpath "string(//title)" == "Stickers & more""#,
            r#"xpath "normalize-space(//h1)" == "Stickers""#,
            r#"xpath "//table/tr" count == 2"#,
            r#"xpath "count(//td)" == 2"#,
            r#"xpath "//td" exists"#,
            r#"xpath "//th" not exists"#,
            r#"xpath "boolean(//p[@class='price'])" == true"#,
            r#"xpath "string(//input[@name='token']/@value)" startsWith "t-""#,
            r#"regex "<p class=price>([0-9.]+)" toFloat > 12"#,
            r#"regex /nothing (here)/ not exists"#,
            r#"body contains "€""#,
            r#"body contains `value='t-1'`"#,
            r#"duration < 30000"#,
            r#"version == "1.1""#,
            r#"ip == "127.0.0.1""#,
            r#"url matches /^http:\/\/127\.0\.0\.1:\d+\/$/"#,
            r#"redirects count == 0"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn a_feed_is_asked_by_xpath() {
    holds(
        "/feed.xml",
        &[
            r#"xpath "string(//_:feed/_:title)" == "News""#,
            r#"xpath "//_:entry" count == 2"#,
            r#"xpath "//*[local-name()='entry'][2]" exists"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn json_is_asked_by_jsonpath() {
    holds(
        "/api",
        &[
            r#"jsonpath "$.id" == 7"#,
            r#"jsonpath "$.id" == 7.0"#,
            r#"jsonpath "$.id" != "7""#,
            r#"jsonpath "$.id" isInteger"#,
            r#"jsonpath "$.price" isFloat"#,
            r#"jsonpath "$.price" >= 12.5"#,
            r#"jsonpath "$.price" not > 12.5"#,
            r#"jsonpath "$.big" isNumber"#,
            r#"jsonpath "$.name" isString"#,
            r#"jsonpath "$.name" < "Dog""#,
            r#"jsonpath "$.tags" count == 2"#,
            r#"jsonpath "$.tags[*]" includes "b""#,
            r#"jsonpath "$.tags" contains "a""#,
            r#"jsonpath "$.tags" not contains "c""#,
            r#"jsonpath "$.tags" isCollection"#,
            r#"jsonpath "$.tags" nth 1 == "b""#,
            r#"jsonpath "$.tags[0]" == "a""#,
            r#"jsonpath "$.none" == null"#,
            r#"jsonpath "$.none" exists"#,
            r#"jsonpath "$.nobody" not exists"#,
            r#"jsonpath "$.yes" == true"#,
            r#"jsonpath "$.yes" isBoolean"#,
            r#"jsonpath "$.at" isIsoDate"#,
            r#"jsonpath "$.name" not isIsoDate"#,
            r#"jsonpath "$.empty" isEmpty"#,
            r#"jsonpath "$.empty" count == 0"#,
            r#"jsonpath "$.text" jsonpath "$.x" == 1"#,
            r#"jsonpath "$.html" xpath "string(//b)" == "1 & 2""#,
            r#"jsonpath "$.html" htmlUnescape == "<b>1 & 2</b>""#,
            r#"jsonpath "$.uuid" isUuid"#,
            r#"jsonpath "$" isObject"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn filters_follow_each_other() {
    holds(
        "/text",
        &[
            r#"body split "\n" count == 3"#,
            r#"body split "\n" nth -2 == "two""#,
            r#"body split "\n" first replace "o" "0" == "0ne""#,
            r#"body replaceRegex /[aeiou]/ "." == ".n.\ntw.\n""#,
            r#"body regex "(t.o)" urlEncode == "two""#,
            r#"body urlEncode == "one%0Atwo%0A""#,
            r#"body urlEncode urlDecode == "one\ntwo\n""#,
            r#"body utf8Encode base64Encode == "b25lCnR3bwo=""#,
            r#"body utf8Encode base64Encode base64Decode utf8Decode contains "two""#,
            r#"bytes toHex startsWith "6f6e65""#,
            r#"sha256 == hex,c3f9c8c283a2b1f2f1896f27a01cbe3cddc0c9d93f752e4639035a0f5b36f6e8;"#,
            r#"status toFloat toString == "200.0""#,
            r#"status toString toInt == 200"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn bytes_and_encodings_are_undone() {
    holds("/bytes", &["bytes count == 7", "bytes == hex,00ff48656c6c6f;", "bytes contains base64,SGVs;"]).await;
    holds("/latin1", &["body == \"café\""]).await;
    holds("/gzip", &["body == \"packed\"", "bytes count == 6", "rawbytes count > 6", "rawbytes startsWith hex,1f8b;"])
        .await;
    breaks(
        "/bytes",
        &[
            ("body == \"x\"", "not text in UTF-8"),
            ("jsonpath \"$\" exists", "not text in UTF-8"),
            ("bytes == hex,00;", "expected bytes <00> of length <1>, found bytes <00ff48656c6c6f> of length <7>"),
        ],
    )
    .await;
    breaks("/zstd", &[("body == \"x\"", "encoded as `zstd`")]).await;
    breaks("/bomb", &[("body count == 1", "larger than 64 MiB")]).await;
}

#[tokio::test]
async fn asserts_that_fail_say_what_was_found() {
    breaks(
        "/api",
        &[
            ("jsonpath \"$.id\" == 8", "expected integer <8>, found integer <7>"),
            ("jsonpath \"$.id\" not == 7", "expected not integer <7>, found integer <7>"),
            ("jsonpath \"$.id\" contains \"7\"", "that can't be asked of integer <7>"),
            ("jsonpath \"$.id\" not contains \"7\"", "that can't be asked of integer <7>"),
            ("jsonpath \"$.id\" matches /7/", "that can't be asked of"),
            ("jsonpath \"$.id\" > \"6\"", "that can't be asked of"),
            ("jsonpath \"$.nobody\" == 1", "expected integer <1>, found nothing"),
            ("jsonpath \"$.nobody\" != 1", "found nothing"),
            ("jsonpath \"$.nobody\" count == 1", "nothing that this filter could work on"),
            ("jsonpath \"$.id\" count == 1", "works on a list, bytes or nodes, not on integer <7>"),
            ("jsonpath \"$.tags\" nth 2 == 1", "no item 2 in a list of 2"),
            ("jsonpath \"$.name\" toInt == 1", "is not an integer"),
            ("jsonpath \"$.empty\" first == 1", "no item 0 in a list of 0"),
            ("jsonpath \"$[\" exists", "this JSONPath is not valid"),
            ("xpath \"//a\" exists", "the body is not valid XML"),
            ("xpath \"{{nobody}}\" exists", "the body is not valid XML"),
            ("regex \"{{nobody}}\" exists", "no variable `nobody` yet"),
            ("regex \"(\" exists", "this regular expression is not valid"),
            ("jsonpath \"$.name\" matches \"(\"", "this regular expression is not valid"),
            ("header \"Nobody\" exists", "expected something, found nothing"),
            ("body == file,nobody.txt;", "can't read `nobody.txt`"),
        ],
    )
    .await;
    breaks("/", &[("xpath \"//p[\" exists", "this XPath is not valid"), ("xpath \"//p\" == \"x\"", "found 1 nodes")])
        .await;
    breaks("/broken.json", &[("jsonpath \"$\" exists", "the body is not JSON")]).await;
}

#[tokio::test]
async fn every_failing_assert_of_an_entry_is_told_and_the_run_ends() {
    let host = server::site().await;
    let source = "GET {{host}}/text\nHTTP 200\nX-Gone: 1\nContent-Type: text/html\n[Asserts]\nstatus == 200\nstatus == 201\n\
                  body == 1\n`one`\n\nGET {{host}}/text\nHTTP 500\n";
    let report = run_in(Path::new("."), &host, source).await;
    let lines: Vec<u32> = report.failures.iter().map(|failure| failure.place.as_ref().unwrap().line).collect();
    assert_eq!(lines, [3, 4, 9, 7, 8], "{:#?}", report.failures);
    assert_eq!((report.entries, report.asserts), (1, 7));
}

#[tokio::test]
async fn a_wrong_status_ends_the_entry_at_once() {
    let host = server::site().await;
    fails(&host, "GET {{host}}/gone\nHTTP 200\n[Asserts]\nbody == \"x\"\n", "expected status 200, found 404", 2).await;
    fails(&host, "GET {{host}}/\nHTTP/2 200\n", "expected version 2 of HTTP, found 1.1", 2).await;
    let report = run_in(Path::new("."), &host, "GET {{host}}/text\nHTTP 404\n").await;
    assert_eq!(report.failures[0].help, "the answer begins: one two");
}

#[tokio::test]
async fn bodies_are_compared_as_text() {
    passes("GET {{host}}/text\nHTTP 200\n```\none\ntwo\n```\n").await;
    passes("GET {{host}}/text\n[Options]\nvariable: n=two\nHTTP 200\n```\none\n{{n}}\n```\n").await;
    passes("GET {{host}}/bytes\nHTTP 200\nhex,00ff48656c6c6f;\n").await;
    let host = server::site().await;
    for (body, message) in [
        ("```\none\nTWO\n```", "in its line 2: expected `TWO`, found `two`"),
        ("```\none\n```", "in its line 2: expected ``, found `two`"),
        ("`one`", "the body goes on where it should end"),
        ("```\none\ntwo\n\nthree\n```", "the body ends before its line 4"),
        ("{\"a\": 1}", "in its line 1: expected `{\"a\": 1}`, found `one`"),
        ("hex,6f6e;", "differs from byte 2 on: expected 2 bytes, found 8"),
    ] {
        fails(&host, &format!("GET {{{{host}}}}/text\nHTTP 200\n{body}\n"), message, 3).await;
    }
}

#[tokio::test]
async fn requests_say_what_the_file_says() {
    passes(
        r#"
PATCH {{host}}/echo?a=1
X-Name: {{host}}
X-Two: 1
X-Two: 2
User-Agent: me
[Query]
q: ä & b/c
[BasicAuth]
ada: se:cret
[Options]
variable: quote="say \"hi\""
variable: n=3
{"text": "{{quote}}", "n": {{n}}, "raw": "\u00e9"}
HTTP 200
[Captures]
name: jsonpath "$.method" replace "A" "4"
[Asserts]
variable "name" == "P4TCH"
jsonpath "$.method" == "PATCH"
jsonpath "$.target" == "/echo?a=1&q=%C3%A4%20%26%20b%2Fc"
jsonpath "$.body" == "{\"text\": \"say \\\"hi\\\"\", \"n\": 3, \"raw\": \"\\u00e9\"}"
jsonpath "$.headers['content-type']" == "application/json"
jsonpath "$.headers['x-name']" == "{{host}}"
jsonpath "$.headers['x-two']" == "1, 2"
jsonpath "$.headers['user-agent']" == "me"
jsonpath "$.headers['accept']" == "*/*"
jsonpath "$.headers.authorization" == "Basic YWRhOnNlOmNyZXQ="
"#,
    )
    .await;
    passes(
        r#"
POST {{host}}/echo
[Form]
a: 1 + 1 = ~2
b[]: ü
HTTP 200
[Asserts]
jsonpath "$.body" == "a=1%20%2B%201%20%3D%20~2&b[]=%C3%BC"
jsonpath "$.headers['content-type']" == "application/x-www-form-urlencoded"
jsonpath "$.headers['content-length']" == "35"

PUT {{host}}/echo
[Options]
user: ada:secret
`text`
HTTP 200
[Asserts]
jsonpath "$.headers.authorization" == "Basic YWRhOnNlY3JldA=="
jsonpath "$.headers['content-type']" not exists
jsonpath "$.body" == "text"

GET {{host}}/a/../echo/./x/..
HTTP 404

GET {{host}}/a/../echo
HTTP 200

GET {{host}}/a/../echo
[Options]
path-as-is: true
HTTP 404

HEAD {{host}}/text
HTTP 200
Content-Length: 8
``
"#,
    )
    .await;
}

#[tokio::test]
async fn a_multipart_form_sends_files_beside_the_test() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a b.png"), b"PNG").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "notes").unwrap();
    let host = server::site().await;
    let source = r#"
POST {{host}}/echo
[Multipart]
title: A "title"
photo: file,a\ b.png;
notes: file,notes.txt; text/markdown
HTTP 200
[Asserts]
jsonpath "$.headers['content-type']" matches "^multipart/form-data; boundary=[0-9A-Za-z-]+$"
jsonpath "$.body" contains "Content-Disposition: form-data; name=\"title\"\r\n\r\nA \"title\"\r\n--"
jsonpath "$.body" contains "name=\"photo\"; filename=\"a b.png\"\r\nContent-Type: image/png\r\n\r\nPNG\r\n--"
jsonpath "$.body" contains "name=\"notes\"; filename=\"notes.txt\"\r\nContent-Type: text/markdown\r\n\r\nnotes\r\n--"

POST {{host}}/echo
Content-Type: text/plain
file,notes.txt;
HTTP 200
[Asserts]
jsonpath "$.body" == "notes"
"#;
    let report = run_in(folder.path(), &host, source).await;
    assert!(report.passed(), "{:#?}", report.failures);
}

#[cfg(unix)]
#[tokio::test]
async fn files_outside_the_folder_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let tests = folder.path().join("tests");
    std::fs::create_dir(&tests).unwrap();
    std::fs::write(folder.path().join("secret"), "x").unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret"), tests.join("link")).unwrap();
    let host = server::site().await;
    for (name, message) in [
        ("../secret", "outside the folder"),
        ("/etc/passwd", "outside the folder"),
        ("link", "outside the folder"),
        ("gone", "can't read"),
        (".", "is not a file"),
    ] {
        for source in [
            format!("POST {{{{host}}}}/echo\nfile,{name};\n"),
            format!("POST {{{{host}}}}/echo\n[Multipart]\na: file,{name};\n"),
        ] {
            let report = run_in(&tests, &host, &source).await;
            assert!(report.failures.iter().any(|failure| failure.message.contains(message)), "{:?}", report.failures);
        }
    }
}

#[tokio::test]
async fn redirects_are_followed_when_the_file_says_so() {
    passes(
        r#"
POST {{host}}/login
[Options]
location: true
[Form]
a: b
HTTP 200
[Asserts]
body == "hello, session=abc"
url endsWith "/account?from=login"
redirects count == 1
redirects nth 0 location == "{{host}}/account?from=login"
url urlQueryParam "from" == "login"

POST {{host}}/again
[Options]
location: true
[Form]
a: b
HTTP 200
[Asserts]
jsonpath "$.method" == "POST"
jsonpath "$.body" == "a=b"
"#,
    )
    .await;
    let host = server::site().await;
    fails(&host, "GET {{host}}/loop\n[Options]\nlocation: true\nmax-redirs: 3\n", "more than 3 redirects", 1).await;
    fails(&host, "GET {{host}}/away\n[Options]\nlocation: true\n", "not with `example.org`", 1).await;
}

#[tokio::test]
async fn cookies_can_be_asked() {
    passes(
        r#"
GET {{host}}/two
HTTP 200
Set-Cookie: a=1
[Asserts]
header "Set-Cookie" count == 2
cookie "b[Expires]" daysAfterNow > 1000
cookie "b[Expires]" isDate
cookie "c" not exists

GET {{host}}/echo
[Cookies]
c: 3
HTTP 200
[Asserts]
jsonpath "$.headers.cookie" split "; " count == 3
jsonpath "$.headers.cookie" endsWith "c=3"

GET {{host}}/echo
Cookie: d=4
HTTP 200
[Asserts]
jsonpath "$.headers.cookie" contains "a=1"
jsonpath "$.headers.cookie" contains "d=4"
jsonpath "$.headers.cookie" not contains "c=3"
"#,
    )
    .await;
}

#[tokio::test]
async fn entries_are_retried_repeated_and_skipped() {
    let report = passes(
        r#"
GET {{host}}/third
[Options]
retry: 5
retry-interval: 1ms
HTTP 200

GET {{host}}/text
[Options]
repeat: 3
HTTP 200

GET {{host}}/gone
[Options]
skip: true
HTTP 200

GET {{host}}/gone
[Options]
repeat: 0
HTTP 200
"#,
    )
    .await;
    assert_eq!((report.entries, report.asserts), (4, 4));
    let host = server::site().await;
    let retried = "GET {{host}}/third\n[Options]\nretry: 1\nretry-interval: 1ms\nHTTP 200\n";
    fails(&host, retried, "expected status 200, found 503", 5).await;
}

#[tokio::test]
async fn variables_of_wrong_kinds_are_told() {
    let host = server::site().await;
    for (source, message, line) in [
        ("GET {{nobody}}/", "no variable `nobody` yet", 1),
        ("GET {{hots}}/", "no variable `hots` yet", 1),
        ("GET {{host}}/\n[Options]\nlocation: {{host}}", "expected a boolean", 3),
        ("GET {{host}}/\n[Options]\nvariable: n=-3\nrepeat: {{n}}", "expected a count from 0", 4),
        ("GET {{host}}/\n[Options]\nvariable: n=-3\ndelay: {{n}}", "expected milliseconds", 4),
        ("POST {{host}}/\n{\"a\": {{host}}}", "needs double quotes", 2),
        ("GET {{host}}/api\nHTTP 200\n[Captures]\na: jsonpath \"$.b\"", "nothing to capture as `a`", 4),
        (
            "GET {{host}}/api\nHTTP 200\n[Captures]\nt: jsonpath \"$.tags\"\n[Asserts]\nbody == \"{{t}}\"",
            "has no text",
            6,
        ),
    ] {
        fails(&host, source, message, line).await;
    }
}

#[tokio::test]
async fn requests_that_can_not_be_sent_are_told() {
    let host = server::site().await;
    for (source, message, line) in [
        ("GET /cart", "is not an address", 1),
        ("GET https://127.0.0.1/", "only `http`", 1),
        ("GET http://example.org/", "not with `example.org`", 1),
        ("GET {{host}}/a b", "can't stand in an address", 1),
        ("GET {{host}}/\nX\\:Y: 1", "not the name of a header", 2),
        ("GET {{host}}/\nX-Y: a\\nb", "no control characters", 2),
        ("POST {{host}}/\nContent-Length: 3\n`four`", "not supported", 2),
        ("POST {{host}}/\nTransfer-Encoding: chunked\n`four`", "not supported", 2),
        ("GET {{host}}/\n[Cookies]\na: b\\nc", "no control characters", 1),
    ] {
        fails(&host, source, message, line).await;
    }
}

#[tokio::test]
async fn servers_that_misbehave_are_told() {
    const CLOSED: &str = "closed the connection before its answer was complete";
    for (bytes, message) in [
        (&b""[..], CLOSED),
        (b"HTTP/1.1 200 OK\r\n", CLOSED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "connection"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "connection"),
        (b"garbage\r\n\r\n", "not an HTTP answer"),
        (b"HTTP/1.1 abc\r\n\r\n", "not an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "connection"),
    ] {
        fails(&server::raw(Some(bytes)).await, "GET {{host}}/\nHTTP 200\n", message, 1).await;
    }
    let silent = server::raw(None).await;
    fails(&silent, "GET {{host}}/\n[Options]\nmax-time: 50ms\n", "did not answer within 50 ms", 1).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    fails(&format!("http://{closed}"), "GET {{host}}/\n", "can't connect to 127.0.0.1", 1).await;
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_read() {
    let host = server::raw(Some(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end")).await;
    let report = run_in(Path::new("."), &host, "GET {{host}}/\nHTTP/1.0 200\n`to the end`\n").await;
    assert!(report.passed(), "{:#?}", report.failures);
}
