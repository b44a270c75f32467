//! Which Redis is meant, who asks it, and which of its databases.

use std::fmt;
use std::str::FromStr;

use kv_common::id::{Address, AddressError};

const PORT: u16 = 6379;

/// What `--redis` names: `HOST:PORT`, or `redis://[USER@]HOST[:PORT][/DATABASE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: Address,
    /// None: `default`.
    pub(crate) user: Option<String>,
    pub(crate) database: u32,
}

/// A text that names no Redis that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("{0}, or redis://USER@HOST:PORT/DATABASE")]
    Address(#[from] AddressError),
    #[error("'{text}' is not the number of a database")]
    Database { text: String },
    #[error("a user has a name: redis://USER@HOST:PORT")]
    NoUser,
    /// What stands on a command line, everybody on the machine can read.
    #[error(
        "a password does not belong on a command line; name a file that holds it with --redis-password-file"
    )]
    Password,
    #[error(
        "TLS is not spoken here; lead the connection through a tunnel, such as stunnel, and name its end"
    )]
    Tls,
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("rediss://") {
            return Err(PlaceError::Tls);
        }
        let Some(url) = text.strip_prefix("redis://") else {
            return Ok(Self {
                address: text.parse()?,
                user: None,
                database: 0,
            });
        };
        let (authority, database) = url.split_once('/').unwrap_or((url, ""));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(PlaceError::Password),
            Some(("", _)) => return Err(PlaceError::NoUser),
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, authority),
        };
        let address: Result<Address, _> = host.parse();
        let address = address.or_else(|error| format!("{host}:{PORT}").parse().map_err(|_| error));
        Ok(Self {
            address: address?,
            user,
            database: database_of(database)?,
        })
    }
}

fn database_of(text: &str) -> Result<u32, PlaceError> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| PlaceError::Database {
        text: text.to_owned(),
    })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        match self.database {
            0 => Ok(()),
            database => write!(f, ", database {database}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, PlaceError};

    #[test]
    fn addresses_and_urls_name_a_redis() {
        for (text, address, user, database) in [
            ("10.0.0.9:6380", "10.0.0.9:6380", None, 0),
            ("redis://10.0.0.9:6380", "10.0.0.9:6380", None, 0),
            ("redis://10.0.0.9", "10.0.0.9:6379", None, 0),
            ("redis://mover@cache/3", "cache:6379", Some("mover"), 3),
            ("redis://a@b@[::1]:1/", "[::1]:1", Some("a@b"), 0),
            ("redis://[::1]/12", "[::1]:6379", None, 12),
        ] {
            let place: Place = text.parse().expect(text);
            assert_eq!(place.address.0, address, "{text}");
            assert_eq!(place.user.as_deref(), user, "{text}");
            assert_eq!(place.database, database, "{text}");
        }
        let place: Place = "redis://cache/3".parse().expect("a place");
        assert_eq!(place.to_string(), "cache:6379, database 3");
    }

    #[test]
    fn what_cannot_be_read_is_said_and_no_password_is_repeated() {
        let error = |text: &str| text.parse::<Place>().expect_err(text);
        assert_eq!(error("rediss://cache:6379"), PlaceError::Tls);
        assert_eq!(error("redis://@cache"), PlaceError::NoUser);
        for secret in ["redis://:secret@cache", "redis://a:secret@cache:1/2"] {
            assert_eq!(error(secret), PlaceError::Password);
            assert!(!error(secret).to_string().contains("secret"));
        }
        for text in ["redis://cache/x", "redis://cache/-1", "redis://cache/1/2"] {
            assert!(matches!(error(text), PlaceError::Database { .. }), "{text}");
        }
        for text in ["", "nowhere", "redis://", "redis://a b:1"] {
            assert!(matches!(error(text), PlaceError::Address(_)), "{text}");
        }
    }
}
