//! The answer to a command that there is not. Clients look for its words.

use bytes::Bytes;

/// How much of the name, and of the arguments together, is shown.
const SHOWN_BYTES: usize = 128;

/// The error for a request whose command there is not, its code first.
#[must_use]
pub fn unknown_command(arguments: &[Bytes]) -> String {
    let name = arguments.first().map_or(&[][..], |name| &name[..]);
    let name = String::from_utf8_lossy(&name[..name.len().min(SHOWN_BYTES)]);
    let mut shown = String::new();
    for argument in arguments.iter().skip(1) {
        if shown.len() >= SHOWN_BYTES {
            break;
        }
        let part = &argument[..argument.len().min(SHOWN_BYTES - shown.len())];
        // A zero byte ends what Redis shows of an argument.
        let part = part.split(|byte| *byte == 0).next().unwrap_or(part);
        shown.push_str(&format!("'{}' ", String::from_utf8_lossy(part)));
    }
    format!("ERR unknown command '{name}', with args beginning with: {shown}")
}

#[cfg(test)]
mod tests {
    use super::unknown_command;
    use bytes::Bytes;

    #[test]
    fn the_arguments_are_shown_up_to_a_bound() {
        let words = |words: &[&'static str]| -> Vec<Bytes> {
            words
                .iter()
                .map(|word| Bytes::from_static(word.as_bytes()))
                .collect()
        };
        assert_eq!(
            unknown_command(&words(&["foo", "a", "b"])),
            "ERR unknown command 'foo', with args beginning with: 'a' 'b' "
        );
        let long = vec![Bytes::from(vec![b'x'; 1000]); 1000];
        assert!(unknown_command(&long).len() < 400);
    }
}
