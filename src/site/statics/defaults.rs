//! The headers that answers carry unless they, or `public/_headers`, say otherwise: made once for each snapshot of the
//! site, so that a request formats none of them.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue};

use crate::fields::Fields;
use crate::parcel::{Frames, Parcel};
use crate::settings::{HeaderText, Settings};

/// Not among the names that `http` knows.
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Where the policy takes the nonce of the page.
const NONCE: &str = "{nonce}";

/// The default headers of a site.
#[derive(Clone, Debug)]
pub struct DefaultHeaders {
    /// What everything carries, then what only HTML does.
    lines: Vec<(HeaderName, HeaderValue)>,
    /// How many of them everything carries.
    everywhere: usize,
    /// What pages are told to load and run; none for a plain folder, whose files were written by somebody else.
    policy: Option<Policy>,
    /// That the site is to be visited by TLS alone.
    transport: Option<HeaderValue>,
    /// All of a page's, with its type, but for the nonce.
    page: Arc<Parcel>,
    /// What is no HTML has these.
    other: Arc<Parcel>,
    /// The heads of what is kept.
    frames: Frames,
}

/// The type of nearly all pages.
const PAGE: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// A client asks each time whether it has the answer already.
const ASK: HeaderValue = HeaderValue::from_static("no-cache");

/// The policy of pages.
#[derive(Clone, Debug)]
struct Policy {
    /// As the setting has it.
    text: String,
    /// For pages without a nonce.
    plain: HeaderValue,
}

impl Default for DefaultHeaders {
    fn default() -> DefaultHeaders {
        DefaultHeaders::of(&Settings::default(), false)
    }
}

impl DefaultHeaders {
    /// What the settings say, for a site or a plain folder.
    pub fn of(settings: &Settings, plain: bool) -> DefaultHeaders {
        // The type is what we say it is: an uploaded "picture" is never run as a script.
        let mut lines = vec![(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))];
        let mut add = |name, text| lines.extend(value(text).map(|value| (name, value)));
        add(REFERRER_POLICY, &settings.referrer_policy);
        add(X_FRAME_OPTIONS, &settings.frame_options);
        let mut html = Vec::new();
        let mut add = |name, text| html.extend(value(text).map(|value| (name, value)));
        add(CROSS_ORIGIN_OPENER_POLICY, &settings.cross_origin_opener_policy);
        add(PERMISSIONS_POLICY, &settings.permissions_policy);
        let everywhere = lines.len();
        lines.append(&mut html);
        let policy = if plain { None } else { Policy::of(&with_providers(settings)) };
        let mut page = Fields::from_iter([(CONTENT_TYPE, PAGE), (CACHE_CONTROL, ASK)]);
        page.extend(lines.iter().cloned());
        page.extend(policy.as_ref().map(|policy| (CONTENT_SECURITY_POLICY, policy.plain.clone())));
        let mut other = Fields::from_iter([(CACHE_CONTROL, ASK)]);
        other.extend(lines[..everywhere].iter().cloned());
        let parcel = |headers| Arc::new(Parcel::new(Bytes::new(), headers));
        let (page, other) = (parcel(page), parcel(other));
        let (transport, frames) = (value(&settings.strict_transport_security), Frames::default());
        DefaultHeaders { lines, everywhere, policy, transport, page, other, frames }
    }

    /// The headers of an answer of this type that are made beforehand, and whether its type is among them. `None` where
    /// they are to be made for it alone, by [`DefaultHeaders::add_to_made`].
    pub fn beforehand(&self, content_type: Option<&HeaderValue>, nonce: Option<&str>) -> Option<(&Arc<Parcel>, bool)> {
        match content_type {
            Some(kind) if *kind == PAGE && nonce.is_none() => Some((&self.page, true)),
            Some(kind) if is_html(kind.as_bytes()) => None,
            _ => Some((&self.other, false)),
        }
    }

    /// Adds the headers that an answer lacks, but for the policy of pages.
    pub fn add_to(&self, headers: &mut Fields) {
        headers.or_insert(CACHE_CONTROL, || ASK);
        let kind = headers.get(&CONTENT_TYPE).cloned();
        let kind = kind.as_ref().map_or(&b""[..], |kind| kind.as_bytes());
        for (name, value) in self.of_type(kind) {
            headers.or_insert(name.clone(), || value.clone());
        }
    }

    /// Adds the headers that an answer lacks, and to a page that has no policy the one with the nonce that its template
    /// printed.
    pub fn add_to_made(&self, headers: &mut Fields, nonce: Option<&str>) {
        self.add_to(headers);
        if headers.get(&CONTENT_TYPE).is_some_and(|kind| is_html(kind.as_bytes()))
            && let Some(policy) = &self.policy
            && !headers.contains_key(&CONTENT_SECURITY_POLICY)
        {
            headers.insert(CONTENT_SECURITY_POLICY, policy.with(nonce));
        }
    }

    /// The lines of every answer of a type, beside the policy of pages.
    pub fn of_type(&self, content_type: &[u8]) -> &[(HeaderName, HeaderValue)] {
        if is_html(content_type) { &self.lines } else { &self.lines[..self.everywhere] }
    }

    /// The heads that the answers which are kept share.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// What an answer over TLS says about TLS.
    pub fn of_secure(&self) -> Option<(HeaderName, HeaderValue)> {
        self.transport.clone().map(|transport| (STRICT_TRANSPORT_SECURITY, transport))
    }
}

/// The policy of a site. The form that begins a provider's login leads to the provider, and browsers hold that, too,
/// against the places that forms may be sent to.
fn with_providers(settings: &Settings) -> HeaderText {
    const FORMS: &str = "form-action 'self'";
    let origins: String = settings.providers.iter().filter_map(|provider| origin(&provider.issuer)).collect();
    HeaderText(settings.content_security_policy.0.replacen(FORMS, &format!("{FORMS}{origins}"), 1))
}

/// ` https://login.example`: the origin of an address.
fn origin(address: &str) -> Option<String> {
    let uri: http::Uri = address.parse().ok()?;
    Some(format!(" {}://{}", uri.scheme_str()?, uri.authority()?))
}

impl Policy {
    fn of(text: &HeaderText) -> Option<Policy> {
        let plain = text.0.replace(&format!(" {NONCE}"), "").replace(NONCE, "");
        let plain = HeaderValue::from_str(plain.trim()).ok().filter(|plain| !plain.is_empty())?;
        Some(Policy { text: text.0.clone(), plain })
    }

    fn with(&self, nonce: Option<&str>) -> HeaderValue {
        let made = nonce.map(|nonce| self.text.replace(NONCE, &format!("'nonce-{nonce}'")));
        made.and_then(|text| HeaderValue::try_from(text).ok()).unwrap_or_else(|| self.plain.clone())
    }
}

fn is_html(content_type: &[u8]) -> bool {
    content_type.starts_with(b"text/html")
}

/// A header's value; empty text switches the header off.
fn value(text: &HeaderText) -> Option<HeaderValue> {
    HeaderValue::from_str(&text.0).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(set: &[(&str, &str)]) -> DefaultHeaders {
        let mut settings = Settings::default();
        set.iter().for_each(|(name, text)| settings.set(name, text).unwrap());
        DefaultHeaders::of(&settings, false)
    }

    fn policy(headers: &DefaultHeaders, nonce: Option<&str>) -> Option<String> {
        let mut map = Fields::from_iter([(CONTENT_TYPE, PAGE)]);
        headers.add_to_made(&mut map, nonce);
        map.get(&CONTENT_SECURITY_POLICY).map(|value| value.to_str().unwrap().to_string())
    }

    #[test]
    fn the_nonce_stands_where_the_policy_wants_it() {
        let headers = headers(&[("headers.content_security_policy", "script-src 'self'\n  {nonce}; img-src *")]);
        assert_eq!(policy(&headers, None).unwrap(), "script-src 'self'; img-src *");
        assert_eq!(policy(&headers, Some("abc")).unwrap(), "script-src 'self' 'nonce-abc'; img-src *");
    }

    #[test]
    fn the_policy_of_the_page_itself_stays() {
        let mut map =
            Fields::from_iter([(CONTENT_TYPE, PAGE), (CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"))]);
        headers(&[]).add_to_made(&mut map, Some("abc"));
        assert_eq!(map.get(&CONTENT_SECURITY_POLICY).unwrap(), "sandbox");
    }

    #[test]
    fn what_is_made_beforehand_is_what_would_be_added() {
        let headers = headers(&[("headers.referrer_policy", "")]);
        for kind in [Some(PAGE), Some(HeaderValue::from_static("application/json")), None] {
            let own: Fields = kind.iter().map(|kind| (CONTENT_TYPE, kind.clone())).collect();
            let mut added = own.clone();
            headers.add_to_made(&mut added, None);
            let (parcel, has_type) = headers.beforehand(kind.as_ref(), None).unwrap();
            let mut beforehand = parcel.headers();
            beforehand.extend(own.into_iter().filter(|_| !has_type));
            assert_eq!(added, beforehand);
        }
        let others = ["text/html", "text/html; charset=latin1"].map(HeaderValue::from_static);
        assert!(others.iter().all(|kind| headers.beforehand(Some(kind), None).is_none()));
        assert!(headers.beforehand(Some(&PAGE), Some("abc")).is_none());
    }

    #[test]
    fn empty_text_switches_a_header_off() {
        let all = ["content_security_policy", "referrer_policy", "frame_options", "cross_origin_opener_policy"];
        let all = all.map(|name| format!("headers.{name}"));
        let set: Vec<(&str, &str)> = all.iter().map(|name| (name.as_str(), "")).collect();
        let none = headers(&set);
        assert_eq!(none.of_type(b"text/html").len(), 1, "{none:?}");
        assert_eq!(policy(&none, Some("abc")), None);
        let all = headers(&[]);
        assert_eq!(all.of_type(b"text/html; charset=utf-8").len(), 4);
        assert_eq!(all.of_type(b"image/png").len(), 3);
    }

    #[test]
    fn a_plain_folder_has_no_policy() {
        assert_eq!(policy(&DefaultHeaders::of(&Settings::default(), true), None), None);
    }
}
