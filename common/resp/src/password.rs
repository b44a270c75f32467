//! The password of a door.

use std::fmt;
use std::hint::black_box;

/// The longest password.
pub const PASSWORD_MAX_BYTES: usize = 512;

/// The password of a door: 1 to [`PASSWORD_MAX_BYTES`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    bytes: [u8; PASSWORD_MAX_BYTES],
    length: usize,
}

impl Password {
    /// None: there are no bytes, or too many.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        let length = bytes.len();
        padded(bytes).map(|bytes| Self { bytes, length })
    }

    /// Whether this is it. How long that takes says nothing of where the two differ: every byte is
    /// looked at, whatever was found before.
    #[must_use]
    pub fn matches(&self, given: &[u8]) -> bool {
        let Some(padded) = padded(given) else {
            return false;
        };
        let pairs = self.bytes.iter().zip(&padded);
        let different = pairs.fold(0, |different, (ours, theirs)| {
            black_box(different | (ours ^ theirs))
        });
        // Not cut short by `&&` either.
        black_box(different == 0) & (given.len() == self.length)
    }
}

/// Why a client is not let in. The texts are those that Redis sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It has not said the password yet.
    #[error("NOAUTH Authentication required.")]
    Required,
    /// The same, as HELLO answers it.
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
         AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
         version at the same time"
    )]
    RequiredByHello,
    /// The password, or the user, is another.
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    Wrong,
    /// There is none to be said.
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure \
         your configuration is correct?"
    )]
    NoneConfigured,
}

impl Password {
    /// Looks at what a client said: the password of a door, if it has one, and of a user, if one was
    /// named. There is one, `default`.
    ///
    /// # Errors
    /// When the client is not let in for that.
    pub fn check(door: Option<&Self>, user: Option<&[u8]>, given: &[u8]) -> Result<(), AuthError> {
        if user.is_some_and(|user| user != b"default") {
            return Err(AuthError::Wrong);
        }
        match door {
            Some(password) if password.matches(given) => Ok(()),
            Some(_) => Err(AuthError::Wrong),
            // As for a user of Redis that has no password.
            None if user.is_some() => Ok(()),
            None => Err(AuthError::NoneConfigured),
        }
    }
}

fn padded(bytes: &[u8]) -> Option<[u8; PASSWORD_MAX_BYTES]> {
    let mut padded = [0; PASSWORD_MAX_BYTES];
    padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(padded)
}

impl fmt::Debug for Password {
    /// Nothing of it is ever shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::{PASSWORD_MAX_BYTES, Password};

    #[test]
    fn only_the_very_same_bytes_match() {
        let password = Password::new(b"open sesame").expect("a password");
        assert!(password.matches(b"open sesame"));
        for given in [
            &b""[..],
            b"open sesam",
            b"open sesame!",
            b"open sesame\0",
            b"Open sesame",
            b"open sesamE",
            &[0; PASSWORD_MAX_BYTES],
            &[b'o'; PASSWORD_MAX_BYTES + 1],
        ] {
            assert!(!password.matches(given), "{given:?}");
        }
    }

    #[test]
    fn a_password_has_bytes_and_not_too_many() {
        let longest = [b'x'; PASSWORD_MAX_BYTES];
        assert!(Password::new(&longest).is_some_and(|password| password.matches(&longest)));
        assert!(Password::new(&[b'x'; PASSWORD_MAX_BYTES + 1]).is_none());
        assert!(Password::new(b"").is_none());
        let shown = format!("{:?}", Password::new(b"secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
