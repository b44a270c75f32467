//! The configuration, read again while the program runs.

use clap::{CommandFactory, FromArgMatches};

use crate::config_file::{Configuration, InForce, read};
use crate::password_file::PasswordFileError;

/// Reads the configuration again, without standing in the way of who else runs on this thread, and logs
/// what is different: what is `live` is for the caller to act upon, anything else needs a restart. None: it
/// is not sound any more; what is in force stays.
pub async fn reread<A>(before: &InForce, live: &[&str]) -> Option<Configuration<A>>
where
    A: CommandFactory + FromArgMatches + Send + 'static,
{
    let reading = tokio::task::spawn_blocking(|| read::<A, _>(std::env::args_os()));
    let Configuration {
        arguments,
        in_force,
    } = match reading.await {
        Ok(Ok(configuration)) => configuration,
        Ok(Err(error)) => {
            let why = error.to_string();
            let why = why.lines().next().unwrap_or_default();
            tracing::error!("the configuration stays as it is: {why}");
            return None;
        }
        Err(error) => {
            tracing::error!(%error, "the configuration was not read again");
            return None;
        }
    };
    let differ = in_force.different_from(before);
    let (taken, left): (Vec<&str>, Vec<&str>) =
        differ.into_iter().partition(|name| live.contains(name));
    tracing::info!(
        "the configuration was read again; changed: {}",
        listed(&taken)
    );
    if !left.is_empty() {
        tracing::warn!(
            "these settings change only with a restart: {}",
            listed(&left)
        );
    }
    Some(Configuration {
        arguments,
        in_force,
    })
}

/// Reads a password file again, away from the thread that serves. None, and said: it cannot be used, and what
/// is in force stays.
pub async fn reread_password<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, PasswordFileError> + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(read)) => Some(read),
        Ok(Err(error)) => {
            tracing::error!("the configuration stays as it is: {error}");
            None
        }
        Err(error) => {
            tracing::error!(%error, "the password file was not read again");
            None
        }
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}
