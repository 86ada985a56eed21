//! The room of accounts: passwords, second factors, tokens, limits on guessing, and what a login does to a session.
//!
//! It knows no HTTP: the steps bring what was sent, and make cookies and answers of what is found here.

pub mod administration;
pub mod attempts;
pub mod device;
pub mod guessing;
pub mod oidc;
pub mod passkey;
pub mod password;
pub mod proof;
pub mod sessions;
pub mod sweeping;
pub mod token;
pub mod totp;
pub mod user;

pub use sessions::{Claim, Identity};
pub use user::User;
