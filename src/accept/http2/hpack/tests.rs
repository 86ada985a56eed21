//! The examples of RFC 7541, appendix C, and what no block may do.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, SET_COOKIE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn shown(field: &Field) -> String {
    match field {
        Field::Method(method) => format!(":method: {method}"),
        Field::Scheme(scheme) => format!(":scheme: {scheme}"),
        Field::Authority(authority) => format!(":authority: {authority}"),
        Field::Path(path) => format!(":path: {path}"),
        Field::Header(name, value) => format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())),
        Field::Bad(_) => "bad".into(),
    }
}

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Garbled> {
    let mut fields = Vec::new();
    decoder.read(block, |field, _| fields.push(shown(&field)))?;
    Ok(fields)
}

const FIRST: [&str; 4] = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];

/// Three requests of appendix C, as hexadecimal digits, on one connection.
fn check_requests(blocks: [&str; 3]) {
    let mut decoder = Decoder::new();
    assert_eq!(read(&mut decoder, &bytes(blocks[0])).unwrap(), FIRST);
    assert_eq!(decoder.table.size(), 57);
    let second = [&FIRST[..], &["cache-control: no-cache"]].concat();
    assert_eq!(read(&mut decoder, &bytes(blocks[1])).unwrap(), second);
    assert_eq!(decoder.table.size(), 110);
    let third = [
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ];
    assert_eq!(read(&mut decoder, &bytes(blocks[2])).unwrap(), third);
    assert_eq!(decoder.table.size(), 164);
}

#[test]
fn the_requests_of_appendix_c_are_read() {
    // C.3, then C.4 with Huffman coding.
    check_requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
    check_requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

#[test]
fn single_fields_of_appendix_c_are_read() {
    let mut decoder = Decoder::new();
    let custom = bytes("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572");
    assert_eq!(read(&mut decoder, &custom).unwrap(), ["custom-key: custom-header"]);
    assert_eq!(decoder.table.size(), 55);
    assert_eq!(read(&mut decoder, &bytes("040c 2f73 616d 706c 652f 7061 7468")).unwrap(), [":path: /sample/path"]);
    let secret = bytes("1008 7061 7373 776f 7264 0673 6563 7265 74");
    assert_eq!(read(&mut decoder, &secret).unwrap(), ["password: secret"]);
    assert_eq!(read(&mut decoder, &bytes("82")).unwrap(), [":method: GET"]);
    assert_eq!(decoder.table.size(), 55, "neither of these is kept");
}

#[test]
fn fields_leave_a_table_that_is_full() {
    // C.5, whose table takes 256 bytes; the statuses are no field of a request.
    let mut decoder = Decoder::new();
    assert_eq!(read(&mut decoder, &bytes("3fe1 01")), Ok(vec![]));
    let first = "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 \
                 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d";
    let others = ["cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", "location: https://www.example.com"];
    let expected = [&["bad"], &others[..]].concat();
    assert_eq!(read(&mut decoder, &bytes(first)).unwrap(), expected);
    assert_eq!(decoder.table.size(), 222);
    assert_eq!(read(&mut decoder, &bytes("4803 3330 37c1 c0bf")).unwrap(), expected);
    assert_eq!(decoder.table.size(), 222);
}

#[test]
fn numbers_are_those_of_appendix_c() {
    assert_eq!(number(&mut &[0x0a][..], 5), Ok(10));
    assert_eq!(number(&mut &[0x1f, 0x9a, 0x0a][..], 5), Ok(1337));
    assert_eq!(number(&mut &[0x2a][..], 8), Ok(42));
    assert_eq!(number(&mut &[0x1f, 0x80, 0x80, 0x80, 0x80, 0x00][..], 5), Err(Garbled));
    assert_eq!(number(&mut &[0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], 5), Err(Garbled));
    assert_eq!(number(&mut &[0x1f][..], 5), Err(Garbled));
}

#[test]
fn what_is_garbled_is_refused() {
    for block in ["80", "be", "ff80 8001", "40", "4003 61", "7f", "4088 ff", "3fe2 1f", "8220", "0f80 8080 8001"] {
        assert_eq!(read(&mut Decoder::new(), &bytes(block)), Err(Garbled), "{block}");
    }
    // As large as it may be, and smaller again.
    assert_eq!(read(&mut Decoder::new(), &bytes("3fe1 1f 20")), Ok(vec![]));
}

#[test]
fn a_field_that_may_not_be_stays_a_name() {
    let mut decoder = Decoder::new();
    for (block, what) in [
        ("4001 41 01 62", "a name in upper case"),
        ("4001 61 03 6200 63", "a zero in a value"),
        ("4001 61 02 2062", "a space before a value"),
        ("4401 78", "a path without its slash"),
        ("4103 61 40 62", "a user in an authority"),
        ("4007 3a 73 74 72 61 6e 67 01 62", "no such pseudo-header"),
    ] {
        assert_eq!(read(&mut decoder, &bytes(block)).unwrap(), ["bad"], "{what}");
    }
    // The last one but two, with another value.
    assert_eq!(read(&mut decoder, &bytes("0f31 02 2f61")).unwrap(), [":path: /a"]);
}

#[test]
fn headers_of_the_connection_are_not_written() {
    let mut out = Vec::new();
    for name in ["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection", "date"] {
        put_field(&mut out, &HeaderName::from_static(name), &HeaderValue::from_static("x"));
    }
    assert!(out.is_empty());
    put_status(&mut out, StatusCode::OK);
    assert_eq!(out, [0x88]);
    out.clear();
    put_field(&mut out, &SET_COOKIE, &HeaderValue::from_static("a"));
    assert_eq!(out[0], 0x1f, "a secret");
}

#[test]
fn what_is_written_is_read() {
    let mut out = Vec::new();
    let long = "x".repeat(100_000);
    put_date(&mut out, b"Sun, 06 Nov 1994 08:49:37 GMT");
    put_length(&mut out, u64::MAX);
    put_field(&mut out, &CACHE_CONTROL, &HeaderValue::from_static("no-cache"));
    put_field(&mut out, &HeaderName::from_static("x-long"), &HeaderValue::from_str(&long).unwrap());
    let expected = [
        "date: Sun, 06 Nov 1994 08:49:37 GMT".to_string(),
        format!("content-length: {}", u64::MAX),
        "cache-control: no-cache".into(),
        format!("x-long: {long}"),
    ];
    assert_eq!(read(&mut Decoder::new(), &out).unwrap(), expected);
}

/// A block of a request as a client may write it.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(bytes("82")),
        Just(bytes("8441 0161")),
        Just(bytes("be")),
        Just(bytes("c0")),
        Just(bytes("20")),
        Just(bytes("3fe1 01")),
        Just(bytes("4001 61 01 62")),
        Just(bytes("4082 ffff 01 62")),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(blocks in proptest::collection::vec(likely(), 1..5)) {
        let mut decoder = Decoder::new();
        for block in blocks {
            let mut size = 0;
            let _ = decoder.read(&block, |_, counts| size += counts);
            prop_assert!(decoder.table.size() <= 4096);
            prop_assert!(size <= block.len() * 4096);
        }
    }

    #[test]
    fn any_header_comes_back(name in "[a-z][a-z0-9-]{0,40}", value in "([!-~]([ -~]{0,100}[!-~])?)?") {
        let header = HeaderName::try_from(name.as_str()).unwrap();
        let mut out = Vec::new();
        put_field(&mut out, &header, &HeaderValue::try_from(value.as_str()).unwrap());
        if !is_of_connection(&name) && name != "date" {
            prop_assert_eq!(read(&mut Decoder::new(), &out).unwrap(), [format!("{name}: {value}")]);
        }
    }
}

#[test]
fn fields_of_the_table_are_what_they_were() {
    let mut decoder = Decoder::new();
    let mut fields = Vec::new();
    decoder.read(&bytes("8266 0178 5f01 61"), |field, size| fields.push((field, size))).unwrap();
    assert_eq!(fields[0], (Field::Method(Method::GET), 42));
    assert_eq!(fields[1], (Field::Header(HOST, HeaderValue::from_static("x")), 4 + 1 + 32));
    let mut again = Vec::new();
    decoder.read(&bytes("bfbe"), |field, size| again.push((field, size))).unwrap();
    assert_eq!(again, fields[1..]);
    assert_eq!(again[1].0, Field::Header(CONTENT_TYPE, HeaderValue::from_static("a")));
}
