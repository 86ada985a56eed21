//! Tests of passwords.

use super::*;

/// A hash of `correct horse` with small parameters, made by the same library; the test below proves the parameters.
fn small_hash(password: &str) -> String {
    let params = Params::new(64, 1, 1, Some(32)).unwrap();
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = hasher.hash_password_with_salt(password.as_bytes(), b"0123456789abcdef").unwrap();
    hash.to_string()
}

#[tokio::test]
async fn a_hash_fits_its_password_alone() {
    let hashing = Hashing::new(1, 4);
    let hash: Arc<str> = hashing.hash("correct horse".into()).await.unwrap().into();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(!is_outdated(&hash));
    assert!(hashing.verify(Some(hash.clone()), "correct horse".into()).await.unwrap());
    assert!(!hashing.verify(Some(hash.clone()), "correct horse ".into()).await.unwrap());
    assert!(!hashing.verify(Some(hash.clone()), "".into()).await.unwrap());
    assert_ne!(hashing.hash("correct horse".into()).await.unwrap(), *hash, "each has its own salt");
}

#[tokio::test]
async fn unknown_accounts_cost_the_same_work() {
    let hashing = Hashing::new(1, 4);
    let hash: Arc<str> = hashing.hash("correct horse".into()).await.unwrap().into();
    let long: Arc<str> = "x".repeat(LONGEST + 1).into();
    let huge = "$argon2id$v=19$m=4194304,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg";
    let tries: [(Option<&str>, &str, bool); 8] = [
        (Some(&hash), "correct horse", true),
        (Some(&hash), "wrong", false),
        (Some(&hash), &long, false),
        (None, "correct horse", false),
        (None, &long, false),
        (Some(""), "", false),
        (Some("$argon2id$v=19$nonsense"), "wrong", false),
        (Some(huge), "wrong", false),
    ];
    for (hash, password, right) in tries {
        let before = hashing.runs();
        let found = hashing.verify(hash.map(Arc::from), password.into()).await.unwrap();
        assert_eq!((found, hashing.runs() - before), (right, 1), "{hash:?}");
    }
}

#[tokio::test]
async fn hashes_of_other_parameters_fit_and_are_outdated() {
    let hashing = Hashing::new(1, 4);
    let old = small_hash("correct horse");
    assert!(old.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{old}");
    assert!(is_outdated(&old));
    assert!(hashing.verify(Some(old.clone().into()), "correct horse".into()).await.unwrap());
    assert!(!hashing.verify(Some(old.into()), "wrong horse".into()).await.unwrap());
    assert!(is_outdated("not a hash"));
}

/// Made by the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -l 32 -e`.
#[tokio::test]
async fn hashes_of_the_reference_implementation_fit() {
    let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let hashing = Hashing::new(1, 4);
    assert!(hashing.verify(Some(hash.into()), "password".into()).await.unwrap());
    assert!(!hashing.verify(Some(hash.into()), "Password".into()).await.unwrap());
}

#[tokio::test]
async fn two_spellings_of_one_text_are_one_password() {
    let hashing = Hashing::new(1, 4);
    let hash: Arc<str> = hashing.hash("caf\u{e9} 10\u{2126}".into()).await.unwrap().into();
    assert!(hashing.verify(Some(hash), "cafe\u{301} 10\u{3a9}".into()).await.unwrap());
}

#[tokio::test]
async fn more_than_may_wait_are_turned_away() {
    let hashing = Hashing::new(1, 2);
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let hashing = hashing.clone();
            tokio::spawn(async move { hashing.verify(None, "x".into()).await })
        })
        .collect();
    let mut busy = 0;
    for one in tries {
        match one.await.unwrap() {
            Ok(right) => assert!(!right),
            Err(Busy) => busy += 1,
        }
    }
    assert!((1..20).contains(&busy), "{busy} of 20 were turned away");
    assert_eq!(hashing.verify(None, "x".into()).await, Ok(false), "and afterwards there is room again");
}

#[tokio::test]
async fn nobody_works_for_those_who_have_gone() {
    let hashing = Hashing::new(1, 8);
    let first = hashing.clone();
    let first = tokio::spawn(async move { first.verify(None, "x".into()).await });
    for _ in 0..4 {
        let mut gone = Box::pin(hashing.verify(None, "x".into()));
        assert!(futures_util::poll!(&mut gone).is_pending());
    }
    first.await.unwrap().unwrap();
    hashing.verify(None, "x".into()).await.unwrap();
    assert!(hashing.runs() <= 3, "{} runs", hashing.runs());
}

#[test]
fn the_rules_of_new_passwords() {
    let refused = |password: &str| fault(password, Some("Maria.Beck@example.org"), 10).is_some();
    for bad in [
        "",
        "short",
        "123456789",
        "aaaaaaaaaa",
        "AAAAAAAAAA",
        "aAaAaAaAaA",
        "1212121212",
        "abcabcabcabc",
        "0123456789",
        "1234567890",
        "0987654321",
        "zyxwvutsrq",
        "qwertyuiop",
        "QwertyUiop",
        "maria.beck@example.org",
        "MARIA.BECK",
        "basketball",
    ] {
        assert!(refused(bad), "{bad}");
    }
    for good in [
        "correct horse",
        "maria.beck-likes-tea",
        "ääööüüßßéé",
        "           x",
        "ma1ze-und-Brot",
        "パスワードは十文字以上です",
    ] {
        assert!(!refused(good), "{good}");
    }
    assert!(refused(&"ab c".repeat(300)));
    assert!(!refused(&"x y".repeat(3).chars().chain("z".repeat(LONGEST - 9).chars()).collect::<String>()));
    assert_eq!(fault("äöüß", None, 5).unwrap(), "A password needs at least 5 characters.");
    assert_eq!(fault("äöüßa", None, 5), None);
    assert!(fault("monkey", None, 6).is_some());
}
