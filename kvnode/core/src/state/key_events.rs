//! What a command did to keys, one event after the other. It follows from the command, which says what was
//! meant, and from its changes, which say what was done.

use bytes::Bytes;
use kv_common::command::Command;
use kv_common::edit::{Edit, ExpiryEdit};
use kv_common::entry::Change;
use kv_common::key_event::{KeyEvent, KeyEventKind};

use super::Execution;

/// What executing a command did to keys.
pub(crate) fn key_events(command: &Command, execution: &Execution) -> Vec<KeyEvent> {
    let mut events = Vec::new();
    let changes = &execution.changes[..];
    let Command::Transaction { commands, .. } = command else {
        add(command, changes, &mut events);
        return events;
    };
    let mut from = 0;
    for (command, to) in commands.iter().zip(&execution.parts) {
        let part = changes.get(from..*to).unwrap_or_default();
        add(command, part, &mut events);
        from = *to;
    }
    // Of a transaction that was not done, the deletions of watched keys whose time had come.
    expired(changes.get(from..).unwrap_or_default(), &mut events);
    events
}

/// The keys among the changes whose time had come.
pub(crate) fn expired(changes: &[Change], events: &mut Vec<KeyEvent>) {
    for change in changes {
        if let Change::Expire { key, .. } = change {
            events.push(event(KeyEventKind::Expired, key));
        }
    }
}

fn event(kind: KeyEventKind, key: &Bytes) -> KeyEvent {
    let key = key.clone();
    KeyEvent { kind, key }
}

fn add(command: &Command, changes: &[Change], events: &mut Vec<KeyEvent>) {
    let (put, delete) = kinds(command);
    for change in changes {
        match change {
            Change::Expire { key, .. } => events.push(event(KeyEventKind::Expired, key)),
            Change::Delete { key } => events.push(event(delete, key)),
            Change::Put {
                key, expires_at, ..
            } => {
                let kind = match (changes_only_expiry(command), expires_at) {
                    (true, Some(_)) => KeyEventKind::Expire,
                    (true, None) => KeyEventKind::Persist,
                    (false, _) => put,
                };
                events.push(event(kind, key));
                if sets_expiry_as_well(command) {
                    events.push(event(KeyEventKind::Expire, key));
                }
            }
            Change::Clear => {}
        }
    }
}

/// What a put and a deletion of this command are called.
fn kinds(command: &Command) -> (KeyEventKind, KeyEventKind) {
    let put = match command {
        Command::Incr { .. } => KeyEventKind::Increment,
        Command::Copy { moves: true, .. } => {
            return (KeyEventKind::RenameTo, KeyEventKind::RenameFrom);
        }
        Command::Copy { .. } => KeyEventKind::CopyTo,
        Command::Edit { edit, .. } => match edit {
            Edit::Append(_) => KeyEventKind::Append,
            Edit::Overwrite { .. } => KeyEventKind::SetRange,
            Edit::AddDecimal(_) => KeyEventKind::IncrementDecimal,
            Edit::SetBit { .. } | Edit::BitFields(_) => KeyEventKind::SetBit,
            _ => KeyEventKind::Set,
        },
        _ => KeyEventKind::Set,
    };
    (put, KeyEventKind::Delete)
}

fn changes_only_expiry(command: &Command) -> bool {
    match command {
        Command::Expire { .. } | Command::Persist { .. } => true,
        Command::Edit { edit, .. } => {
            matches!(edit, Edit::GetAndExpire(_) | Edit::Expire { .. })
        }
        _ => false,
    }
}

fn sets_expiry_as_well(command: &Command) -> bool {
    match command {
        Command::Put { expiry, .. } => expiry.is_some(),
        Command::Edit { edit, .. } => matches!(
            edit,
            Edit::Set {
                expiry: ExpiryEdit::Replace(_),
                ..
            }
        ),
        _ => false,
    }
}
