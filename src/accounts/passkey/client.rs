//! What the browser says of a ceremony: the client data (section 5.8.1), which the authenticator signs.

use serde::Deserialize;

/// What the browser was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ceremony {
    /// A new passkey.
    Create,
    /// A login with a passkey.
    Get,
}

impl Ceremony {
    /// The client data's `type`.
    fn name(self) -> &'static str {
        match self {
            Ceremony::Create => "webauthn.create",
            Ceremony::Get => "webauthn.get",
        }
    }
}

/// The members that are checked. Browsers may add others (section 5.8.1). A member that stands there twice is a fault.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    top_origin: Option<String>,
}

/// Checks what sections 7.1 and 7.2 ask of the client data.
pub(super) fn check(json: &[u8], ceremony: Ceremony, challenge: &str, origin: &str) -> Result<(), String> {
    let data: ClientData =
        serde_json::from_slice(json).map_err(|error| format!("the client data can't be read: {error}"))?;
    if data.r#type != ceremony.name() {
        return Err(format!("the client data is of `{}` instead of `{}`", data.r#type, ceremony.name()));
    }
    if data.challenge != challenge {
        return Err("the challenge is another one".to_string());
    }
    if data.origin != origin {
        return Err(format!("the origin is `{}` instead of `{origin}`", data.origin));
    }
    // A frame in another site's page: there the visitor can't see whom they log in to.
    if data.cross_origin || data.top_origin.is_some() {
        return Err("the page stood in a frame of another site".to_string());
    }
    Ok(())
}
