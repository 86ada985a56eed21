//! The runner behind `tableside test`: it reads files in [Hurl](https://hurl.dev)'s own format and runs them against a
//! server on this machine. It is an HTTP client and nothing more: it knows no site, no database, no server.
//!
//! A file that passes here is meant to pass with the stock program too:
//! `hurl --test --variable host=http://127.0.0.1:3000 tests/*.hurl`. What is supported of the format is listed below;
//! everything else in it is refused by [`parse`], which names what is not supported, with line and column. Nothing is
//! skipped in silence. The stock program uses libcurl and libxml2; this one uses neither.
//!
//! ```hurl
//! # Somebody fills the cart.
//! POST {{host}}/cart
//! [Form]
//! product: 7
//! qty: 2
//! HTTP 303
//! Location: /cart
//!
//! # Cookies are kept, so this is the same visitor.
//! GET {{host}}/cart
//! HTTP 200
//! [Captures]
//! line: xpath "string(//li[@class='line']/@id)"
//! [Asserts]
//! xpath "normalize-space(//h1)" == "Your cart"
//! xpath "//li[@class='line']" count == 1
//! body contains "Added to your cart."
//! ```
//!
//! # Files
//!
//! A file is a list of *entries*: a request, and what is expected of its answer. Blank lines, and everything from a `#`
//! to the end of its line, are skipped. Entries run one after the other; the first that fails ends the file. Variables,
//! captures and cookies go from entry to entry and end with the file.
//!
//! **Templates.** `{{name}}` is replaced by a variable in addresses, names, values, texts, bodies and file names. The
//! caller gives `host`, for instance `http://127.0.0.1:3000`. `{{newUuid}}` is a random UUID, `{{newDate}}` is now in
//! UTC. A variable that doesn't exist is a failure; a list, an object or bytes have no text.
//!
//! **Escapes.** In values and quoted texts: `\"` `\\` `\/` `\#` `` \` `` `\b` `\n` `\f` `\r` `\t` `\u{2708}`. A `#` in an
//! address or a value is written `\#`, two braces that are no variable `\u{7b}\u{7b}`.
//!
//! # Requests
//!
//! `METHOD address`, then, in this order, headers (`Name: value`), sections and a body. The method is any word in
//! capitals. The address is absolute, begins with `http://`, and its host is this machine (`127.0.0.1`, `localhost`,
//! `*.localhost`, `[::1]`): a test can't reach anybody else's server. `.` and `..` in its path are resolved before it
//! is sent, as curl does, unless `path-as-is` is set.
//!
//! | section | lines |
//! |---|---|
//! | `[Query]`, `[QueryStringParams]` | `name: value`, added to the address; values are percent-encoded |
//! | `[Form]`, `[FormParams]` | `name: value`, sent as `application/x-www-form-urlencoded` |
//! | `[Multipart]`, `[MultipartFormData]` | `name: value`, `name: file,photo.png;` or `name: file,photo.png; image/png` |
//! | `[Cookies]` | `name: value`, sent beside the cookies that are kept, in this request alone |
//! | `[BasicAuth]` | one line, `name: password` |
//! | `[Options]` | `name: value`, see below |
//!
//! A request has a body, a form or a multipart form, and `[Cookies]` or a header `Cookie`. Bodies, in requests and answers:
//!
//! | written as | is |
//! |---|---|
//! | `{ … }`, `[ … ]`, `"…"`, a number, `true`, `null` | JSON, kept as written; in it `"{{name}}"` is escaped, a bare `{{name}}` is a number, a boolean or null |
//! | three backticks, on lines of their own | the lines between them; ```` ```json ```` and ```` ```xml ```` also set the type, ```` ```raw ```` has no templates |
//! | `` `…` `` | one line of text |
//! | `hex,48656c6c6f;` `base64,SGVsbG8=;` | bytes |
//! | `file,data.bin;` | the content of a file |
//!
//! Files lie in the folder of the Hurl file or below it; a path or a symlink that leads out of it is refused. Blanks in
//! their names are written `\ `. A multipart file's type comes from its extension unless it is given.
//!
//! **Options.** Each counts for its entry alone, except that a `variable` stays.
//!
//! | option | value | default |
//! |---|---|---|
//! | `location` | whether redirects are followed: 301, 302 and 303 by GET, others by the same request | `false` |
//! | `max-redirs` | how many, 0 to 10000; -1 for the most | `50` |
//! | `variable` | `name=value`: null, a boolean, a number, a quoted text, or text to the end of the line that begins like none of them | |
//! | `skip` | whether the entry is left out | `false` |
//! | `repeat` | how often the entry is run, 0 to 10000 | `1` |
//! | `retry` | how often a failing entry is tried again, 0 to 10000 | `0` |
//! | `retry-interval`, `delay` | the time before a retry; before the entry: `500`, `500ms`, `2s`, `1m`, `1h` | `1s`, `0` |
//! | `max-time` | how long one request may take to its last byte | `30s` |
//! | `user` | `name:password` for basic authentication | |
//! | `compressed` | whether compressed answers are asked for | `false` |
//! | `path-as-is` | whether `.` and `..` stay in the path | `false` |
//! | `verbose`, `very-verbose`, `verbosity` | no effect: they change what the stock program prints | |
//!
//! **Cookies** are kept by host, `Domain`, `Path`, `Max-Age` and `Expires` as in a browser, the rules for `__Host-` and
//! `__Secure-` included; as in curl, `Secure` ones are sent to this machine over plain HTTP.
//!
//! # Answers
//!
//! `HTTP 200`, `HTTP/1.1 200` or `HTTP *` (any status), then headers, sections and a body, all optional. Without this
//! line nothing is expected of the answer. Status and version come first: if one of them is wrong, the rest of the
//! entry is not asked. Then captures are taken; then every header, the body and every assert is judged and told.
//!
//! - **Headers**: the answer must have one of that name with exactly that value.
//! - **Body**: text and JSON must be equal character by character, the rest byte by byte.
//! - **`[Captures]`**: `name: query filters` sets a variable. A query that finds nothing is a failure.
//! - **`[Asserts]`**: `query filters predicate`.
//!
//! **Queries**
//!
//! | query | finds |
//! |---|---|
//! | `status` `version` `url` `ip` `duration` | the status; `1.1`; the last address; the server's; milliseconds |
//! | `header "Name"` | its value, or a list when there are several |
//! | `cookie "name"`, `cookie "name[Attribute]"` | what the answer sets: `Value Expires Max-Age Domain Path Secure HttpOnly SameSite` |
//! | `body` | the text, unpacked (gzip, deflate, br), in UTF-8, ASCII or Latin-1 |
//! | `bytes` `rawbytes` `sha256` | the unpacked body; as received; the hash of the unpacked one |
//! | `xpath "…"` | XPath 1.0: a text, a number, a boolean, or nodes, which can only be counted or asked for existence |
//! | `jsonpath "…"` | RFC 9535: nothing, the value itself when there is one, a list when there are several |
//! | `regex "…"`, `regex /…/` | the first group of the first match in the body |
//! | `variable "name"` | a variable |
//! | `redirects` | the list of redirects that were followed; `redirects nth 0 location` is an address |
//!
//! A `text/html` answer is parsed as browsers parse it, any other as XML. Elements of HTML have no namespace. In XML the
//! document's own prefixes may be used, and `_` stands for the first default namespace: `//_:entry`. The functions
//! `id()` and `lang()` do not exist.
//!
//! **Filters**, each working on what the one before it gives: `count` `first` `last` `nth N` (from 0, negative from the
//! end), `split "…"` `replace "…" "…"` `replaceRegex /…/ "…"` `regex /…/`, `toInt` `toFloat` `toString` `toHex`,
//! `urlEncode` `urlDecode` `urlQueryParam "…"`, `htmlEscape` `htmlUnescape`, `base64Encode` `base64Decode`
//! `base64UrlSafeEncode` `base64UrlSafeDecode` `utf8Encode` `utf8Decode`, `jsonpath "…"` `xpath "…"` (of a text),
//! `location` (of a redirect), `daysAfterNow` `daysBeforeNow` (of a date).
//!
//! **Predicates**: `==` `!=` `>` `>=` `<` `<=`, `startsWith` `endsWith` `contains` `includes` (lists alone), `matches "…"` or
//! `matches /…/`, `exists` `isEmpty`, `isBoolean` `isInteger` `isFloat` `isNumber` `isString` `isList` `isObject`
//! `isCollection` `isDate` `isIsoDate` `isIpv4` `isIpv6` `isUuid`; each with `not` before it or without. Numbers are equal by
//! value (`3 == 3.0`), and are never equal to texts. A predicate that can't be asked of a value (`contains` of a number)
//! fails, with `not` too. Values: `"text"`, `` `text` ``, three backticks, numbers, `true`, `false`, `null`, `{{name}}`,
//! `/regex/`, `hex,…;`, `base64,…;`, `file,…;`.
//!
//! # Not supported
//!
//! Refused by name: HTTPS and everything of TLS, HTTP/2 and 3, proxies, authentication other than basic, bare XML bodies
//! (write ```` ```xml ````), GraphQL bodies, endless `retry` and `repeat`, `redact`, the function `getEnv`, the queries
//! `certificate` and `md5`, the filters `charsetDecode`, `dateFormat`, `decode`, `format` and `toDate`, and every option that is
//! not listed above. Answers in other character sets or encodings fail when their text is asked for.
//!
//! # Known differences from the stock program
//!
//! - It parses HTML as libxml2 does, which adds no `<tbody>`. So here too a `<tbody>` that is nowhere in the source is
//!   left out of the tree. On a page where one table has it and another has none, `//table//tr` finds rows in both.
//! - `max-time` is 300 s there, and there is no limit of 64 MiB on answers, files and what they unpack to,
//!   nor of 16 MiB and 500 levels on documents that XPath is asked of.
//! - Headers `Content-Length` (with a wrong value) and `Transfer-Encoding` are refused here.
//! - Its parser takes some nonsense that is refused here: `{{a b}}`, a body beside a form, a regular expression over two lines.

mod base64;
mod parse;
mod run;
mod syntax;
mod value;

pub use self::parse::parse;
pub use self::run::{Report, run};
pub use self::syntax::HurlFile;
pub use self::value::{Value, Variables};
