//! Tests of passkeys, with an authenticator that the tests play.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ciborium::Value as Cbor;
use proptest::prelude::*;

use super::*;

const SITE: Site<'static> = Site { id: "example.org", origin: "https://example.org", name: "Example" };
const CHALLENGE: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0";

const PRESENT: u8 = 1;
const VERIFIED: u8 = 4;
const NEW_CREDENTIAL: u8 = 64;
const EXTENSIONS: u8 = 128;

/// The private key of an authenticator.
enum Private {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Private {
    fn p256() -> Private {
        Private::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn all() -> [Private; 3] {
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        [Private::p256(), Private::Ed25519(Ed25519KeyPair::generate().unwrap()), Private::Rsa(rsa)]
    }

    /// The members of the public key in COSE form.
    fn members(&self) -> Vec<(i64, Cbor)> {
        let bytes = |bytes: &[u8]| Cbor::from(bytes);
        match self {
            Private::P256(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (bytes(&point[1..33]), bytes(&point[33..]));
                vec![(1, 2.into()), (3, (-7).into()), (-1, 1.into()), (-2, x), (-3, y)]
            }
            Private::Ed25519(key) => {
                vec![(1, 1.into()), (3, (-8).into()), (-1, 6.into()), (-2, bytes(key.public_key().as_ref()))]
            }
            Private::Rsa(key) => {
                // RFC 8017, appendix A.1.1: a sequence of the modulus, with a leading zero, and the exponent.
                let der = key.public_key().as_ref();
                assert_eq!((der.len(), &der[265..]), (270, &[2, 3, 1, 0, 1][..]));
                vec![(1, 3.into()), (3, (-257).into()), (-1, bytes(&der[9..265])), (-2, bytes(&der[267..]))]
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Private::P256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Private::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

/// What an authenticator and its browser send, each part open to a change before it is put together.
struct Sent {
    client: Value,
    site: &'static str,
    flags: u8,
    counter: u32,
    id: Vec<u8>,
    /// The id in the authenticator data, when it is another one.
    made_id: Option<Vec<u8>>,
    members: Vec<(i64, Cbor)>,
    extensions: Vec<u8>,
    /// What follows the authenticator data.
    after: Vec<u8>,
    format: &'static str,
}

impl Sent {
    fn new(ceremony: &str, key: &Private) -> Sent {
        let new = if ceremony == "webauthn.create" { NEW_CREDENTIAL } else { 0 };
        Sent {
            client: json!({
                "type": ceremony, "challenge": CHALLENGE, "origin": SITE.origin, "crossOrigin": false,
                "other_keys_can_be_added_here": "do not compare clientDataJSON against a template"
            }),
            site: SITE.id,
            flags: PRESENT | VERIFIED | new,
            counter: 0,
            id: vec![7; 32],
            made_id: None,
            members: key.members(),
            extensions: Vec::new(),
            after: Vec::new(),
            format: "none",
        }
    }

    fn create(key: &Private) -> Sent {
        Sent::new("webauthn.create", key)
    }

    fn get(key: &Private) -> Sent {
        Sent { counter: 5, ..Sent::new("webauthn.get", key) }
    }

    fn authenticator_data(&self) -> Vec<u8> {
        let mut data = Sha256::digest(self.site.as_bytes()).to_vec();
        data.push(self.flags);
        data.extend(self.counter.to_be_bytes());
        if self.flags & NEW_CREDENTIAL != 0 {
            let id = self.made_id.as_ref().unwrap_or(&self.id);
            data.extend([9; 16]);
            data.extend((id.len() as u16).to_be_bytes());
            data.extend(id);
            let members = self.members.iter().map(|(label, value)| (Cbor::from(*label), value.clone()));
            data.extend(cbor_bytes(&Cbor::Map(members.collect())));
        }
        data.extend(&self.extensions);
        data.extend(&self.after);
        data
    }

    fn credential(&self, response: Value) -> Value {
        let id = URL_SAFE_NO_PAD.encode(&self.id);
        json!({"type": "public-key", "id": id, "rawId": id, "clientExtensionResults": {}, "response": response})
    }

    fn new_credential(&self) -> Value {
        let object = Cbor::Map(vec![
            ("fmt".into(), self.format.into()),
            ("attStmt".into(), Cbor::Map(vec![("x5c".into(), Cbor::Array(vec![Cbor::from(&b"certificate"[..])]))])),
            ("authData".into(), Cbor::Bytes(self.authenticator_data())),
        ]);
        let client = URL_SAFE_NO_PAD.encode(self.client.to_string());
        self.credential(json!({
            "clientDataJSON": client, "attestationObject": URL_SAFE_NO_PAD.encode(cbor_bytes(&object)),
            "transports": ["internal"],
        }))
    }

    fn assertion(&self, key: &Private) -> Value {
        let (client, data) = (self.client.to_string(), self.authenticator_data());
        let signature = key.sign(&[&data[..], &Sha256::digest(client.as_bytes())].concat());
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        self.credential(json!({
            "clientDataJSON": encoded(client.as_bytes()), "authenticatorData": encoded(&data),
            "signature": encoded(&signature), "userHandle": encoded(b"42"),
        }))
    }
}

fn cbor_bytes(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// A passkey that was made before.
fn stored(key: &Private, counter: i64) -> Passkey {
    let passkey = registered(&SITE, CHALLENGE, &Sent::create(key).new_credential()).unwrap();
    Passkey { counter, ..passkey }
}

#[test]
fn a_passkey_is_made_and_opens_with_each_algorithm() {
    for key in Private::all() {
        let passkey = registered(&SITE, CHALLENGE, &Sent::create(&key).new_credential()).unwrap();
        assert_eq!(passkey.credential_id, URL_SAFE_NO_PAD.encode([7; 32]));
        assert_eq!(passkey.counter, 0);
        let login = Sent::get(&key).assertion(&key);
        assert_eq!(asserted(&SITE, CHALLENGE, &login, &passkey), Ok(5));
        assert_eq!(credential_id(&login), Some(passkey.credential_id));
        assert_eq!(user_handle(&login), Some(b"42".to_vec()));
    }
}

/// What Chromium 148 and its virtual authenticator sent for the options of these tests, for each algorithm.
#[test]
fn what_a_browser_sends_is_understood() {
    let recorded: Value = serde_json::from_str(include_str!("chromium.json")).unwrap();
    for sent in recorded.as_array().unwrap() {
        let site = Site { id: "localhost", origin: sent["origin"].as_str().unwrap(), name: "Example" };
        let passkey = registered(&site, CHALLENGE, &sent["made"]).unwrap();
        assert_eq!((credential_id(&sent["login"]), passkey.counter), (Some(passkey.credential_id.clone()), 1));
        assert_eq!(asserted(&site, CHALLENGE, &sent["login"], &passkey), Ok(2));
        assert_eq!(user_handle(&sent["login"]), Some(b"42".to_vec()));
        let later = Passkey { counter: 2, ..passkey };
        assert!(asserted(&site, CHALLENGE, &sent["login"], &later).unwrap_err().contains("the counter"));
    }
}

#[test]
fn each_check_of_a_new_passkey_counts() {
    let key = Private::p256();
    let with_member = |label: i64, value: Cbor| {
        move |sent: &mut Sent| {
            sent.members.iter_mut().filter(|(known, _)| *known == label).for_each(|member| member.1 = value.clone());
        }
    };
    type Change<'a> = Box<dyn Fn(&mut Sent) + 'a>;
    let changes: Vec<(&str, Change)> = vec![
        ("instead of `webauthn.create`", Box::new(|sent| sent.client["type"] = "webauthn.get".into())),
        ("the challenge is another one", Box::new(|sent| sent.client["challenge"] = "MTIz".into())),
        ("the origin is", Box::new(|sent| sent.client["origin"] = "https://example.org:8443".into())),
        ("the origin is", Box::new(|sent| sent.client["origin"] = "http://example.org".into())),
        ("a frame of another site", Box::new(|sent| sent.client["crossOrigin"] = true.into())),
        ("a frame of another site", Box::new(|sent| sent.client["topOrigin"] = "https://evil.example".into())),
        ("the client data can't be read", Box::new(|sent| sent.client = json!([]))),
        ("another site than `example.org`", Box::new(|sent| sent.site = "www.example.org")),
        ("saw no user", Box::new(|sent| sent.flags &= !PRESENT)),
        ("didn't verify its user", Box::new(|sent| sent.flags &= !VERIFIED)),
        ("sent no new credential", Box::new(|sent| sent.flags &= !NEW_CREDENTIAL)),
        ("backed up which can't be", Box::new(|sent| sent.flags |= 16)),
        ("instead of 1 to 1023", Box::new(|sent| sent.id = vec![7; 1024])),
        ("instead of 1 to 1023", Box::new(|sent| sent.made_id = Some(Vec::new()))),
        ("not the one that the authenticator made", Box::new(|sent| sent.made_id = Some(vec![8; 32]))),
        ("4 bytes follow", Box::new(|sent| sent.after = vec![0; 4])),
        ("broken CBOR", Box::new(|sent| sent.flags |= EXTENSIONS)),
        ("algorithm -35", Box::new(with_member(3, (-35).into()))),
        ("instead of 2", Box::new(with_member(1, 3.into()))),
        ("instead of 1", Box::new(with_member(-1, 2.into()))),
        ("is none of algorithm -7", Box::new(with_member(-2, Cbor::Bytes(vec![1; 32])))),
        ("has 33 bytes", Box::new(with_member(-3, Cbor::Bytes(vec![1; 33])))),
        ("has no bytes -2", Box::new(with_member(-2, "text".into()))),
        ("has no number 3", Box::new(|sent| sent.members.retain(|(label, _)| *label != 3))),
    ];
    for (expected, change) in changes {
        let mut sent = Sent::create(&key);
        change(&mut sent);
        let error = registered(&SITE, CHALLENGE, &sent.new_credential()).expect_err(expected);
        assert!(error.contains(expected), "{error} instead of {expected}");
    }
}

#[test]
fn what_is_not_looked_at_hinders_nothing() {
    let key = Private::p256();
    let mut sent = Sent { format: "packed", counter: 3, ..Sent::create(&key) };
    sent.flags |= EXTENSIONS | 8 | 16;
    sent.extensions = cbor_bytes(&Cbor::Map(vec![("credProtect".into(), 2.into())]));
    sent.client.as_object_mut().unwrap().remove("crossOrigin");
    assert_eq!(registered(&SITE, CHALLENGE, &sent.new_credential()).unwrap().counter, 3);
    sent.id = vec![7; 1023];
    assert!(registered(&SITE, CHALLENGE, &sent.new_credential()).is_ok());
}

#[test]
fn each_check_of_a_login_counts() {
    let key = Private::p256();
    type Change = fn(&mut Sent);
    let changes: [(&str, Change); 9] = [
        ("instead of `webauthn.get`", |sent| sent.client["type"] = "webauthn.create".into()),
        ("the challenge is another one", |sent| sent.client["challenge"] = "".into()),
        ("the origin is", |sent| sent.client["origin"] = "https://example.org.evil.example".into()),
        ("a frame of another site", |sent| sent.client["crossOrigin"] = true.into()),
        ("another site than", |sent| sent.site = "evil.example"),
        ("saw no user", |sent| sent.flags &= !PRESENT),
        ("didn't verify its user", |sent| sent.flags &= !VERIFIED),
        ("another one than the stored passkey", |sent| sent.id = vec![8; 32]),
        ("bytes follow", |sent| sent.after = vec![0; 1]),
    ];
    let passkey = stored(&key, 4);
    for (expected, change) in changes {
        let mut sent = Sent::get(&key);
        change(&mut sent);
        let error = asserted(&SITE, CHALLENGE, &sent.assertion(&key), &passkey).expect_err(expected);
        assert!(error.contains(expected), "{error} instead of {expected}");
    }
}

#[test]
fn the_signature_covers_everything() {
    for key in Private::all() {
        let passkey = stored(&key, 0);
        let sent = Sent::get(&key);
        let login = |change: &dyn Fn(&mut Value)| {
            let mut login = sent.assertion(&key);
            change(&mut login["response"]);
            asserted(&SITE, CHALLENGE, &login, &passkey).map_err(|error| error.contains("the signature is not"))
        };
        assert_eq!(login(&|_| ()), Ok(5));
        let other = Sent { counter: 6, ..Sent::get(&key) };
        let data = URL_SAFE_NO_PAD.encode(other.authenticator_data());
        assert_eq!(login(&|response| response["authenticatorData"] = data.clone().into()), Err(true));
        let client = URL_SAFE_NO_PAD.encode(format!("{} ", sent.client));
        assert_eq!(login(&|response| response["clientDataJSON"] = client.clone().into()), Err(true));
        assert_eq!(login(&|response| response["signature"] = "".into()), Err(true));
        let another = Private::p256();
        assert_eq!(login(&|response| *response = sent.assertion(&another)["response"].take()), Err(true));
    }
}

#[test]
fn a_counter_never_goes_back() {
    let key = Private::p256();
    let login = |stored_count: i64, counter: u32| {
        let sent = Sent { counter, ..Sent::get(&key) };
        asserted(&SITE, CHALLENGE, &sent.assertion(&key), &stored(&key, stored_count)).map_err(|_| ())
    };
    assert_eq!(login(0, 0), Ok(0));
    assert_eq!(login(0, 1), Ok(1));
    assert_eq!(login(4, 5), Ok(5));
    assert_eq!(login(4, u32::MAX), Ok(i64::from(u32::MAX)));
    assert_eq!(login(5, 5), Err(()));
    assert_eq!(login(5, 4), Err(()));
    assert_eq!(login(5, 0), Err(()));
}

#[test]
fn what_is_no_credential_is_told() {
    let key = Private::p256();
    let passkey = stored(&key, 0);
    let mut other = Sent::get(&key).assertion(&key);
    other["type"] = "password".into();
    assert!(asserted(&SITE, CHALLENGE, &other, &passkey).unwrap_err().contains("no public key"));
    for nothing in [json!(null), json!({}), json!([1]), json!({"type": "public-key", "id": "+/="}), json!("text")] {
        assert!(registered(&SITE, CHALLENGE, &nothing).is_err());
        assert!(asserted(&SITE, CHALLENGE, &nothing, &passkey).is_err());
        assert_eq!((credential_id(&nothing), user_handle(&nothing)), (None, None));
    }
    let mut long = Sent::create(&key).new_credential();
    long["response"]["attestationObject"] = "A".repeat(200_000).into();
    assert!(registered(&SITE, CHALLENGE, &long).unwrap_err().contains("longer than"));
    long["response"]["attestationObject"] = URL_SAFE_NO_PAD.encode([0x81; 40_000]).into();
    assert!(registered(&SITE, CHALLENGE, &long).unwrap_err().contains("CBOR"), "nested too deep");
}

#[test]
fn options_are_what_browsers_take() {
    let made = creation_options(&SITE, CHALLENGE, b"42", "maria@example.org", None, &["AAEC".to_string()]);
    assert_eq!(made["rp"], json!({"id": "example.org", "name": "Example"}));
    assert_eq!(made["user"], json!({"id": "NDI", "name": "maria@example.org", "displayName": "maria@example.org"}));
    assert_eq!(made["challenge"], CHALLENGE);
    assert_eq!(made["excludeCredentials"], json!([{"type": "public-key", "id": "AAEC"}]));
    assert_eq!(made["authenticatorSelection"]["userVerification"], "required");
    assert_eq!(made["attestation"], "none");
    let asked: Vec<i64> =
        made["pubKeyCredParams"].as_array().unwrap().iter().map(|a| a["alg"].as_i64().unwrap()).collect();
    assert_eq!(asked, [-8, -7, -257]);
    let login = request_options(&SITE, CHALLENGE, &[]);
    assert_eq!((&login["rpId"], &login["allowCredentials"]), (&json!("example.org"), &json!([])));
    assert_eq!(login["userVerification"], "required");
}

/// Any JSON, with the names that are looked for.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(Value::from("public-key")),
        proptest::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes).into()),
    ];
    let name = proptest::sample::select(vec![
        "type",
        "id",
        "response",
        "clientDataJSON",
        "attestationObject",
        "authenticatorData",
        "signature",
        "userHandle",
    ]);
    leaf.prop_recursive(3, 32, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_string(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics(credential in any_json()) {
        let passkey = Passkey { credential_id: "AA".to_string(), public_key: "AA".to_string(), counter: 0 };
        prop_assert!(registered(&SITE, CHALLENGE, &credential).is_err());
        prop_assert!(asserted(&SITE, CHALLENGE, &credential, &passkey).is_err());
        let _ = (credential_id(&credential), user_handle(&credential));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = AuthenticatorData::read(&bytes);
        let _ = authenticator::of_attestation(&bytes);
        let _ = PublicKey::read(&bytes);
    }

    /// One byte of a right answer changed: never a panic, and never a login.
    #[test]
    fn no_changed_byte_opens(at in any::<proptest::sample::Index>(), change in 1_u8..) {
        let key = Private::p256();
        let passkey = stored(&key, 0);
        let sent = Sent { flags: PRESENT | VERIFIED | NEW_CREDENTIAL, ..Sent::get(&key) };
        let mut data = sent.authenticator_data();
        let mut login = sent.assertion(&key);
        let at = at.index(data.len());
        data[at] ^= change;
        let _ = AuthenticatorData::read(&data);
        login["response"]["authenticatorData"] = URL_SAFE_NO_PAD.encode(&data).into();
        prop_assert!(asserted(&SITE, CHALLENGE, &login, &passkey).is_err());
    }
}
