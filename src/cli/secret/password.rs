//! Where a password comes from, and never from an argument: those are for everybody to see.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
    os::fd::AsFd as _,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Longer than any that a person keeps.
const MAX_LENGTH: usize = 4_096;

pub(super) enum Source {
    /// Standard input: a pipe, a file, or a person at a terminal.
    Input,
    Random,
}

type Password = Zeroizing<Vec<u8>>;

impl Source {
    pub(super) fn password(&self) -> io::Result<Password> {
        match self {
            Source::Random => {
                let mut password = Zeroizing::new(vec![0; 32]);
                getrandom::fill(&mut password)?;
                Ok(password)
            }
            Source::Input => {
                // Standard input has a buffer that nobody wipes; its file has none.
                let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
                if input.is_terminal() {
                    asked_for_twice(&input)
                } else {
                    line(&input, End::OfFile)
                }
            }
        }
    }
}

fn asked_for_twice(terminal: &File) -> io::Result<Password> {
    let silence = Silence::on(terminal)?;
    let ask = |prompt: &str| {
        write!(io::stderr(), "{prompt}: ")?;
        line(terminal, End::OfLine)
    };
    let password = ask("Password")?;
    let again = ask("The same again")?;
    drop(silence);
    if *password != *again {
        return Err(io::Error::other("these are two different passwords"));
    }
    Ok(password)
}

/// A terminal shows nothing of what is typed, but for the ends of lines, until this is dropped.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn on(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        // What was typed before is forgotten: it was shown.
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Silence { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        tcsetattr(self.terminal, OptionalActions::Now, &self.before).ok();
    }
}

/// How far there is something to read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    OfLine,
    OfFile,
}

/// One line, without its end.
fn line(mut input: &File, end: End) -> io::Result<Password> {
    let refused = |why| Err(io::Error::other(why));
    let too_long = "the password is longer than 4096 bytes";
    // A buffer that grows leaves its old one behind. There is room for a line's end, and for more
    // than may be.
    let mut bytes = Zeroizing::new(vec![0; MAX_LENGTH + 3]);
    let mut length = 0;
    loop {
        let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) else {
            return refused(too_long);
        };
        let read = input.read(rest)?;
        length += read;
        let is_line = bytes
            .get(..length)
            .is_some_and(|line| line.ends_with(b"\n"));
        if read == 0 || (end == End::OfLine && is_line) {
            break;
        }
    }
    bytes.truncate(length);
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return refused("there is no password");
    }
    if bytes.len() > MAX_LENGTH {
        return refused(too_long);
    }
    if bytes.contains(&b'\n') || bytes.contains(&0) {
        return refused("a password is one line of text, without NUL");
    }
    Ok(bytes)
}
