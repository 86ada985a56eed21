//! Passwords: their hashes, made and compared on threads of their own, and the rules that a new one keeps.
//!
//! Hashes are argon2id (RFC 9106) in PHC text, with the parameters of OWASP's "Password Storage Cheat Sheet". Making one
//! takes some 40 ms of a core and 19 MiB by design, so a bounded pool does it: a flood of logins waits its turn, is told
//! that the server is busy, and takes neither the serving threads nor all the memory.
//!
//! The rules are those of NIST SP 800-63B, section 5.1.1.2: length, and no password that guessers try first. No rules of
//! composition, which make passwords worse.

mod common;
mod pool;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::oneshot;
use unicode_normalization::UnicodeNormalization;

use super::token::random;
use pool::Pool;

pub use common::is_common;

/// The longest password in bytes: far beyond what anybody types, and short enough to be no burden.
pub const LONGEST: usize = 1024;

/// OWASP: argon2id with 19 MiB, two passes and one lane; 32 bytes of hash.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;

/// RFC 9106, section 3.1: 128 bits of salt are enough for all uses.
const SALT_BYTES: usize = 16;

/// The most that a stored hash of other parameters may ask for; one that asks for more fits no password.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;

/// So many may wait before one more is told that the server is busy: some three seconds of work for one thread.
const WAITING: usize = 64;

/// Too many wait already; the visitor may try again in a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// The pool that hashes. Cheap to clone; its threads begin with the first work and end with the last clone.
#[derive(Clone, Debug)]
pub struct Hashing {
    pool: Arc<Pool>,
    /// How often argon2 was run.
    runs: Arc<AtomicU64>,
}

impl Default for Hashing {
    /// One thread for two cores, so that logins leave room for pages.
    fn default() -> Hashing {
        let cores = std::thread::available_parallelism().map_or(1, |count| count.get());
        Hashing::new(cores / 2, WAITING)
    }
}

impl Hashing {
    /// A pool of so many threads (at least one), before which so many pieces of work may wait.
    pub fn new(threads: usize, waiting: usize) -> Hashing {
        Hashing { pool: Arc::new(Pool::new(threads, waiting)), runs: Arc::default() }
    }

    /// The hash of a new password, as PHC text. Whoever asks has held the password against [`fault`]: one longer than
    /// [`LONGEST`] would never be found right.
    pub async fn hash(&self, password: Arc<str>) -> Result<String, Busy> {
        self.work(move |runs| hash_now(&password, runs)).await?.ok_or(Busy)
    }

    /// Whether a password is the one of a hash. `None` (no such account, or one without a password) is false after the
    /// same work, so that the time tells nobody which accounts there are; so are a hash that can't be read, and a
    /// password that is too long.
    pub async fn verify(&self, hash: Option<Arc<str>>, password: Arc<str>) -> Result<bool, Busy> {
        self.work(move |runs| verify_now(hash.as_deref(), &password, runs)).await
    }

    /// How many hashes this pool has worked out, right or not: what a test of equal work counts.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce(&AtomicU64) -> T + Send + 'static) -> Result<T, Busy> {
        let (answer, answered) = oneshot::channel();
        let runs = Arc::clone(&self.runs);
        self.pool.push(Box::new(move || {
            // Nobody works for those who have gone, before or after.
            if !answer.is_closed() {
                let _ = answer.send(work(&runs));
            }
        }))?;
        // Without an answer the work panicked: for want of random numbers, say.
        answered.await.map_err(|_| Busy)
    }
}

/// Whether a hash was made with other parameters than those of today, so that the next right password should be hashed
/// anew.
pub fn is_outdated(hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return true };
    let known = |params: Params| (params.m_cost(), params.t_cost(), params.p_cost());
    let same = Params::try_from(&hash).is_ok_and(|params| known(params) == (MEMORY_KIB, PASSES, LANES));
    let whole = hash.hash.is_some_and(|output| output.len() == HASH_BYTES);
    !(same && whole && hash.algorithm == argon2::ARGON2ID_IDENT && hash.version == Some(Version::V0x13.into()))
}

/// What is wrong with a new password, in words for the visitor. The e-mail address is that of the account.
pub fn fault(password: &str, email: Option<&str>, shortest: usize) -> Option<String> {
    if password.chars().count() < shortest {
        return Some(format!("A password needs at least {shortest} characters."));
    }
    if password.len() > LONGEST {
        return Some(format!("A password may have at most {LONGEST} bytes."));
    }
    let folded = password.to_lowercase();
    if is_address(&folded, email) {
        return Some("The e-mail address is no password.".to_string());
    }
    if repeats(&folded) || runs_on(&folded) || is_common(&folded) {
        return Some("This password is one of those that are guessed first. Choose another one.".to_string());
    }
    None
}

/// Whether the password is the account's e-mail address, or what stands before its `@`.
fn is_address(folded: &str, email: Option<&str>) -> bool {
    let Some(email) = email.map(str::to_lowercase) else { return false };
    let local = email.split('@').next().unwrap_or("");
    folded == email || folded == local
}

/// Whether the text is a short piece again and again: `aaaaaaaaaa`, `1212121212`, `abcabcabcabc`.
fn repeats(text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    (1..=4).any(|piece| letters.len() >= piece * 2 && letters.iter().skip(piece).eq(&letters[..letters.len() - piece]))
}

/// Whether each character is the next after the one before it, or each the one before: `0123456789`, `1234567890`,
/// `zyxwvutsrq`.
fn runs_on(text: &str) -> bool {
    let follows = |a: char, b: char| a as u32 + 1 == b as u32 || (a, b) == ('9', '0');
    let pairs = || text.chars().zip(text.chars().skip(1));
    text.chars().count() > 2 && (pairs().all(|(a, b)| follows(a, b)) || pairs().all(|(a, b)| follows(b, a)))
}

/// NIST SP 800-63B, section 5.1.1.2: one password typed on two keyboards may come as different code points, and NFKC
/// makes them one.
fn bytes_of(password: &str) -> Vec<u8> {
    password.nfkc().collect::<String>().into_bytes()
}

/// Argon2id with today's parameters, for one run.
fn hasher(runs: &AtomicU64) -> Argon2<'static> {
    runs.fetch_add(1, Ordering::SeqCst);
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).expect("the parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// `None` when there is no memory for it.
fn hash_now(password: &str, runs: &AtomicU64) -> Option<String> {
    let salt = random::<SALT_BYTES>();
    let hash: Result<PasswordHash, _> = hasher(runs).hash_password_with_salt(&bytes_of(password), &salt);
    hash.ok().map(|hash| hash.to_string())
}

fn verify_now(hash: Option<&str>, password: &str, runs: &AtomicU64) -> bool {
    let fits = password.len() <= LONGEST;
    match hash.filter(|_| fits).and_then(readable) {
        Some(hash) => hasher(runs).verify_password(&bytes_of(password), &hash).is_ok(),
        None => {
            let password = if fits { bytes_of(password) } else { Vec::new() };
            let _ = black_box(hasher(runs).hash_password_into(&password, &[0; SALT_BYTES], &mut [0; HASH_BYTES]));
            false
        }
    }
}

/// A stored hash that may be worked out: argon2 of any kind, within limits.
fn readable(hash: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(hash).ok()?;
    let params = Params::try_from(&hash).ok()?;
    Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let bounded = params.m_cost() <= MOST_MEMORY_KIB && params.t_cost() <= MOST_PASSES;
    (bounded && hash.salt.is_some() && hash.hash.is_some()).then_some(hash)
}

#[cfg(test)]
mod tests;
