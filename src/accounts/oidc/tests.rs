//! What providers say, and whether it is believed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value as Json, json};

use super::discovery::{Discovery, Way, address, is_safe, way_of};
use super::keys::Keys;
use super::token::{Expected, Person, Refused, verify};
use super::*;
use crate::problem::Place;

const ISSUER: &str = "https://login.example";
const NOW: i64 = 1_700_000_000;

fn provider(secret: &str) -> Provider {
    Provider {
        name: "test".into(),
        label: "Test".into(),
        issuer: ISSUER.into(),
        client_id: "site & co".into(),
        client_secret: secret.into(),
        place: Place::of_line("site.toml", "", 1),
    }
}

fn document() -> Json {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://login.example/auth?tenant=1",
        "token_endpoint": "https://login.example/token",
        "jwks_uri": "https://keys.example/jwks",
    })
}

fn with(mut document: Json, name: &str, value: Json) -> Json {
    document[name] = value;
    document
}

#[test]
fn a_provider_is_who_the_setting_says() {
    let discovery = Discovery::read(&document(), ISSUER).unwrap();
    assert_eq!(discovery.jwks_uri, "https://keys.example/jwks");
    for issuer in ["https://login.example/", "https://LOGIN.example", "http://login.example", ""] {
        assert!(Discovery::read(&document(), issuer).is_err(), "{issuer}");
    }
    for name in ["token_endpoint", "authorization_endpoint", "jwks_uri"] {
        for wrong in [json!(null), json!(7), json!("http://login.example/x"), json!("/x"), json!("javascript:x")] {
            assert!(Discovery::read(&with(document(), name, wrong.clone()), ISSUER).is_err(), "{name} {wrong}");
        }
    }
    assert!(Discovery::read(&json!([]), ISSUER).is_err());
    assert_eq!(address("https://a.example/realms/x/"), "https://a.example/realms/x/.well-known/openid-configuration");
}

#[test]
fn who_comes_back_comes_from_that_provider() {
    let silent = Discovery::read(&document(), ISSUER).unwrap();
    assert!(silent.check_issuer(None).is_ok() && silent.check_issuer(Some(ISSUER)).is_ok());
    assert!(silent.check_issuer(Some("https://other.example")).is_err());
    let document = with(document(), "authorization_response_iss_parameter_supported", json!(true));
    assert!(Discovery::read(&document, ISSUER).unwrap().check_issuer(None).is_err());
}

#[test]
fn only_tls_and_this_machine_are_safe() {
    for safe in
        ["https://a.example", "http://localhost:8080/x", "http://127.0.0.1", "http://127.9.9.9", "http://[::1]:1"]
    {
        assert!(is_safe(safe), "{safe}");
    }
    for unsafe_one in
        ["http://a.example", "http://localhost.example", "ftp://localhost", "http://10.0.0.1", "a", "", "https://"]
    {
        assert!(!is_safe(unsafe_one), "{unsafe_one}");
    }
}

#[test]
fn the_secret_is_shown_as_the_provider_wants() {
    let way = |ways: Json, secret: &str| {
        let document = with(document(), "token_endpoint_auth_methods_supported", ways);
        way_of(&Discovery::read(&document, ISSUER).unwrap(), &provider(secret))
    };
    assert_eq!(way(json!(null), "x"), Way::Basic);
    assert_eq!(way(json!(["client_secret_post", "client_secret_basic"]), "x"), Way::Basic);
    assert_eq!(way(json!(["client_secret_post"]), "x"), Way::Post);
    assert_eq!(way(json!(["client_secret_post"]), ""), Way::Public);
}

#[test]
fn a_question_has_secrets_of_its_own() {
    let discovery = Discovery::read(&document(), ISSUER).unwrap();
    let ask = || question(&discovery, &provider("x"), "https://site.example/login/with/test/callback");
    let (one, other) = (ask(), ask());
    assert!(one.url.starts_with("https://login.example/auth?tenant=1&response_type=code&client_id=site+%26+co&"));
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(one.verifier.as_bytes()));
    assert!(one.url.contains(&format!("&code_challenge={challenge}&code_challenge_method=S256")), "{}", one.url);
    assert!(one.url.contains(&one.state) && one.url.contains(&one.nonce) && !one.url.contains(&one.verifier));
    assert!(one.state != other.state && one.nonce != other.nonce && one.verifier != other.verifier);
    // RFC 7636, 4.1.
    assert!((43..=128).contains(&one.verifier.len()));
}

/// A key that signs, with what a provider publishes of it.
struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    published: Json,
}

impl Signer {
    fn es256(id: &str) -> Signer {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref()).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        Signer {
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(made.as_ref()),
            published: json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig" }),
        }
    }

    fn ed25519(id: &str) -> Signer {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Signer {
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_der(made.as_ref()),
            published: json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": id, "alg": "EdDSA" }),
        }
    }

    fn token(&self, id: Option<&str>, claims: &Json) -> String {
        let header = Header { kid: id.map(str::to_string), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

fn keys(published: &[&Json]) -> Keys {
    Keys::read(&json!({ "keys": published })).unwrap()
}

fn claims() -> Json {
    json!({ "iss": ISSUER, "aud": "site", "sub": "7", "nonce": "n", "exp": NOW + 300, "iat": NOW })
}

fn expected() -> Expected<'static> {
    Expected { issuer: ISSUER, client_id: "site", nonce: "n", now: NOW }
}

#[test]
fn tokens_are_believed_by_their_keys() {
    let (ec, ed) = (Signer::es256("ec"), Signer::ed25519("ed"));
    let all = keys(&[&ec.published, &ed.published, &json!({ "kty": "new" }), &json!(7)]);
    for (signer, id) in [(&ec, "ec"), (&ed, "ed")] {
        assert!(verify(&signer.token(Some(id), &claims()), &all, &expected()).is_ok());
        assert!(verify(&signer.token(None, &claims()), &all, &expected()).is_ok());
    }
    // The name of one key under the signature of another.
    let unknown = |result| matches!(result, Err(Refused::UnknownKey(_)));
    assert!(unknown(verify(&ec.token(Some("ed"), &claims()), &all, &expected())));
    assert!(unknown(verify(&ec.token(Some("other"), &claims()), &all, &expected())));
    let other = Signer::es256("ec");
    assert!(matches!(verify(&other.token(Some("ec"), &claims()), &all, &expected()), Err(Refused::Wrong(_))));
    // Without a name, two that fit are none.
    let two = keys(&[&ec.published, &other.published]);
    assert!(unknown(verify(&ec.token(None, &claims()), &two, &expected())));
    let sealing = keys(&[&with(ec.published.clone(), "use", json!("enc"))]);
    assert!(unknown(verify(&ec.token(Some("ec"), &claims()), &sealing, &expected())));
    let altered = ec.token(Some("ec"), &claims()).replace('.', ".e");
    for text in ["", "a.b", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", altered.as_str()] {
        assert!(verify(text, &all, &expected()).is_err(), "{text}");
    }
    assert!(Keys::read(&json!({})).is_err());
}

#[test]
fn claims_are_about_this_login_at_this_time() {
    let signer = Signer::es256("k");
    let all = keys(&[&signer.published]);
    let said =
        |name: &str, value: Json| verify(&signer.token(Some("k"), &with(claims(), name, value)), &all, &expected());
    for (name, value) in [
        ("exp", json!(NOW - 59)),
        ("iat", json!(NOW + 60)),
        ("nbf", json!(NOW + 60)),
        ("aud", json!(["site"])),
        ("azp", json!("site")),
    ] {
        assert!(said(name, value.clone()).is_ok(), "{name} {value}");
    }
    for (name, value) in [
        ("exp", json!(NOW - 60)),
        ("exp", json!("soon")),
        ("exp", json!(null)),
        ("iat", json!(NOW + 61)),
        ("iat", json!(null)),
        ("nbf", json!(NOW + 61)),
        ("iss", json!("https://login.example/")),
        ("aud", json!("Site")),
        ("aud", json!(["site", "other"])),
        ("aud", json!([])),
        ("aud", json!({ "site": true })),
        ("azp", json!("other")),
        ("azp", json!(7)),
        ("nonce", json!("N")),
        ("nonce", json!(["n"])),
    ] {
        assert!(matches!(said(name, value.clone()), Err(Refused::Wrong(_))), "{name} {value}");
    }
}

#[test]
fn a_person_has_an_address_of_theirs_only_if_it_is_said() {
    let person = |json: Json| Person::of(json.as_object().unwrap());
    let ann = person(json!({ "sub": "7", "email": " Ann@Site.test ", "email_verified": true, "name": "Ann" })).unwrap();
    assert_eq!((ann.email.as_deref(), ann.verified, ann.name.as_deref()), (Some("ann@site.test"), true, Some("Ann")));
    assert!(person(json!({ "sub": "7", "email": "a@b", "email_verified": "true" })).unwrap().verified);
    for verified in [json!(false), json!("false"), json!(1), json!(null)] {
        assert!(!person(json!({ "sub": "7", "email": "a@b", "email_verified": verified })).unwrap().verified);
    }
    let nobody = person(json!({ "sub": "7", "email": "none", "email_verified": true })).unwrap();
    assert_eq!((nobody.email, nobody.verified), (None, false));
    for wrong in [json!({}), json!({ "sub": "" }), json!({ "sub": 7 }), json!({ "sub": "x".repeat(256) })] {
        assert!(person(wrong.clone()).is_err(), "{wrong}");
    }
    // More is told beside the token, about the same person; that an address is theirs belongs to that address.
    let bare = || person(json!({ "sub": "7", "email_verified": true })).unwrap();
    let more = bare().with(&json!({ "sub": "7", "email": "a@b" })).unwrap();
    assert_eq!((more.email.as_deref(), more.verified), (Some("a@b"), false));
    assert!(bare().with(&json!({ "sub": "8", "email": "a@b" })).is_err());
    assert!(bare().with(&json!({ "email": "a@b" })).is_err());
}
