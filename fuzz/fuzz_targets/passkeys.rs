//! Any bytes as what an authenticator sends: `cargo +nightly fuzz run passkeys`.
//!
//! As an attestation object, as the authenticator data inside a sound one, as the data of a login, and as a stored key.
//! Reading must end without a panic, and nothing opens without a signature.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ciborium::Value as Cbor;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tableside::accounts::passkey::{Passkey, Site, asserted, credential_id, registered, user_handle};

const SITE: Site<'static> = Site { id: "example.org", origin: "https://example.org", name: "Example" };

fuzz_target!(|bytes: &[u8]| {
    let object = Cbor::Map(vec![
        ("fmt".into(), "none".into()),
        ("attStmt".into(), Cbor::Map(Vec::new())),
        ("authData".into(), Cbor::Bytes(bytes.to_vec())),
    ]);
    let mut whole = Vec::new();
    ciborium::into_writer(&object, &mut whole).expect("memory takes everything");
    for part in [bytes, &whole] {
        let credential = sent("webauthn.create", json!({"attestationObject": URL_SAFE_NO_PAD.encode(part)}));
        let _ = registered(&SITE, "", &credential);
    }
    let encoded = URL_SAFE_NO_PAD.encode(bytes);
    let login = json!({"authenticatorData": encoded, "signature": encoded, "userHandle": encoded});
    let login = sent("webauthn.get", login);
    let stored = Passkey { credential_id: "AAAA".to_string(), public_key: encoded, counter: 0 };
    assert!(asserted(&SITE, "", &login, &stored).is_err());
    assert_eq!(credential_id(&login).as_deref(), Some("AAAA"));
    let _ = user_handle(&login);
});

/// A credential whose client data is right.
fn sent(ceremony: &str, mut response: Value) -> Value {
    let client = json!({"type": ceremony, "challenge": "", "origin": SITE.origin}).to_string();
    response["clientDataJSON"] = URL_SAFE_NO_PAD.encode(client).into();
    json!({"type": "public-key", "id": "AAAA", "response": response})
}
