//! A message for the next page ("Added to your cart."), carried by the browser in a short cookie.
//!
//! It is shown once and escaped like any other text. It needs no session and no write on a GET.

use std::cell::RefCell;

use http::HeaderValue;
use percent_encoding::percent_decode_str;

use super::session::cookie;

/// How long a message waits for its page, in seconds.
const WAIT: u64 = 60;

/// The longest message, in bytes: browsers keep no larger cookies.
const LONGEST: usize = 1000;

/// The name of the cookie.
pub fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-flash" } else { "flash" }
}

thread_local! {
    /// The last message that this thread has carried, and its cookie: most actions say the same to everybody.
    static LAST: RefCell<Option<(Box<str>, bool, HeaderValue)>> = const { RefCell::new(None) };
}

/// The cookie that carries a message to the next page.
pub(super) fn carry(message: &str, secure: bool) -> HeaderValue {
    LAST.with_borrow_mut(|last| match last {
        Some((carried, safely, cookie)) if **carried == *message && *safely == secure => cookie.clone(),
        _ => {
            let cookie = made(message, secure);
            *last = Some((message.into(), secure, cookie.clone()));
            cookie
        }
    })
}

fn made(message: &str, secure: bool) -> HeaderValue {
    let mut end = message.len().min(LONGEST);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let mut value = String::with_capacity(3 * end);
    for byte in message[..end].bytes() {
        let digit = |place: u8| char::from(b"0123456789ABCDEF"[usize::from(byte >> place & 15)]);
        match byte.is_ascii_alphanumeric() {
            true => value.push(char::from(byte)),
            false => value.extend(['%', digit(4), digit(0)]),
        }
    }
    cookie(cookie_name(secure), &value, secure, WAIT)
}

/// The message that the cookie's value carries.
pub fn read(value: &str) -> Option<String> {
    let text = percent_decode_str(value).decode_utf8().ok()?;
    (1..=LONGEST).contains(&text.len()).then(|| text.into_owned())
}

/// The cookie that removes the message once it was shown.
pub(super) fn shown(secure: bool) -> HeaderValue {
    cookie(cookie_name(secure), "", secure, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was() {
        let cookie = carry("Grüße; \"ok\"\r\n", false);
        let value = cookie.to_str().unwrap().strip_prefix("flash=").unwrap().split(';').next().unwrap();
        assert_eq!(read(value).as_deref(), Some("Grüße; \"ok\"\r\n"));
    }
}
