//! What the authenticator says: the authenticator data (section 6.1), alone or in an attestation object (section 6.5.4).

use ciborium::Value;

use super::LONGEST_ID;

/// CBOR is read this deep. CTAP 2 allows four levels (its section 8); one more holds the attestation object around it.
const DEEPEST: usize = 8;

/// The bits of the flags (section 6.1).
const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;

/// The length of the id of the authenticator's make, which isn't looked at.
const MAKE_BYTES: usize = 16;

/// The authenticator data.
#[derive(Debug)]
pub(super) struct AuthenticatorData {
    /// SHA-256 of the relying party's id.
    pub(super) site_hash: [u8; 32],
    pub(super) user_present: bool,
    pub(super) user_verified: bool,
    pub(super) counter: u32,
    /// The new credential; a login has none.
    pub(super) credential: Option<Credential>,
}

/// A new credential (section 6.5.1).
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) id: Vec<u8>,
    /// The public key in COSE form, as it was sent.
    pub(super) key: Vec<u8>,
}

/// The authenticator data of an attestation object; its statement stays unread.
pub(super) fn of_attestation(object: &[u8]) -> Result<AuthenticatorData, String> {
    let mut rest = object;
    let object = cbor(&mut rest)?;
    if !rest.is_empty() {
        return Err(format!("{} bytes follow the attestation object", rest.len()));
    }
    let is_data = |key: &Value| key.as_text() == Some("authData");
    let members = object.as_map().ok_or("the attestation object is no map")?;
    let data = members.iter().find(|(key, _)| is_data(key)).and_then(|(_, value)| value.as_bytes());
    AuthenticatorData::read(data.ok_or("the attestation object has no authenticator data")?)
}

impl AuthenticatorData {
    /// Reads the bytes whole: what is too much is as wrong as what is missing.
    pub(super) fn read(mut bytes: &[u8]) -> Result<AuthenticatorData, String> {
        let rest = &mut bytes;
        let site_hash = fixed::<32>(rest)?;
        let [flags] = fixed::<1>(rest)?;
        let counter = u32::from_be_bytes(fixed::<4>(rest)?);
        let is_set = |flag: u8| flags & flag != 0;
        if is_set(BACKED_UP) && !is_set(BACKUP_ELIGIBLE) {
            return Err("the flags say that a credential is backed up which can't be".to_string());
        }
        let credential = if is_set(HAS_CREDENTIAL) { Some(Credential::read(rest)?) } else { None };
        if is_set(HAS_EXTENSIONS) && !cbor(rest)?.is_map() {
            return Err("the extensions are no map".to_string());
        }
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the authenticator data", rest.len()));
        }
        let (user_present, user_verified) = (is_set(USER_PRESENT), is_set(USER_VERIFIED));
        Ok(AuthenticatorData { site_hash, user_present, user_verified, counter, credential })
    }
}

impl Credential {
    fn read(rest: &mut &[u8]) -> Result<Credential, String> {
        take(rest, MAKE_BYTES)?;
        let length = usize::from(u16::from_be_bytes(fixed::<2>(rest)?));
        if !(1..=LONGEST_ID).contains(&length) {
            return Err(format!("the new credential's id has {length} bytes instead of 1 to {LONGEST_ID}"));
        }
        let id = take(rest, length)?.to_vec();
        let before = *rest;
        cbor(rest)?;
        let key = before[..before.len() - rest.len()].to_vec();
        Ok(Credential { id, key })
    }
}

/// Reads one item of CBOR (RFC 8949) and leaves what follows it.
pub(super) fn cbor(rest: &mut &[u8]) -> Result<Value, String> {
    ciborium::de::from_reader_with_recursion_limit(rest, DEEPEST).map_err(|error| format!("broken CBOR: {error}"))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (taken, left) = rest.split_at_checked(length).ok_or("the authenticator data ends too early")?;
    *rest = left;
    Ok(taken)
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    Ok(take(rest, N)?.try_into().unwrap_or([0; N]))
}
