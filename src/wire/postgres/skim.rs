//! Messages told apart in passing: the bytes belong to somebody else and are not held up.

use std::fmt;

use super::Error;

/// Follows one direction of a session, however its bytes are cut.
///
/// Of a message it keeps only the beginning that is asked for, and nothing of a message that lies
/// whole in the bytes at hand.
#[derive(Default)]
pub(crate) struct Skimmer {
    header: [u8; HEADER_LENGTH],
    /// Bytes of the header that are there.
    known: usize,
    /// The message that has begun.
    message: Option<Begun>,
    /// The beginning of its body.
    kept: Vec<u8>,
}

/// A message that has passed.
#[derive(Clone, Copy)]
pub(crate) struct Skimmed<'a> {
    pub(crate) tag: u8,
    /// What follows tag and length, or the beginning of it.
    pub(crate) body: &'a [u8],
    /// How many of this type have passed, one behind another: more than one only where no byte of
    /// their bodies is kept, as of rows, of which there are many.
    pub(crate) times: usize,
}

#[derive(Clone, Copy)]
struct Begun {
    tag: u8,
    /// Bytes that are still to come.
    left: usize,
    /// Bytes of the body to be kept.
    keep: usize,
}

impl Skimmer {
    /// Sees the next bytes, and shows each message that they complete.
    ///
    /// `keep` says how many bytes of a message's body to show, by its type; `None` if there is no
    /// such type.
    ///
    /// # Errors
    /// [`Error::Length`] for a length that cannot be, [`Error::Malformed`] for a type that there is
    /// not. Where messages begin is lost then.
    pub(crate) fn skim(
        &mut self,
        mut bytes: &[u8],
        keep: impl Fn(u8) -> Option<usize>,
        mut show: impl FnMut(Skimmed<'_>),
    ) -> Result<(), Error> {
        loop {
            if self.message.is_none() && self.known == 0 {
                bytes = whole(bytes, &keep, &mut show)?;
            }
            let Some(message) = self.message.as_mut() else {
                match self.begin(&mut bytes, &keep)? {
                    Some(begun) => self.message = Some(begun),
                    None => return Ok(()),
                }
                continue;
            };
            let (body, rest) = bytes
                .split_at_checked(message.left)
                .unwrap_or((bytes, &[][..]));
            bytes = rest;
            message.left -= body.len();
            let wanted = message.keep.saturating_sub(self.kept.len());
            let beginning = body.get(..wanted).unwrap_or(body);
            let tag = message.tag;
            if message.left > 0 {
                self.kept.extend_from_slice(beginning);
                return Ok(());
            }
            self.message = None;
            if self.kept.is_empty() {
                show(Skimmed {
                    tag,
                    body: beginning,
                    times: 1,
                });
            } else {
                self.kept.extend_from_slice(beginning);
                show(Skimmed {
                    tag,
                    body: &self.kept,
                    times: 1,
                });
                self.kept.clear();
                self.kept.shrink_to(RETAINED);
            }
        }
    }

    /// Whether no message has begun that has not ended.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.message.is_none() && self.known == 0
    }

    /// Takes a header off the bytes.
    fn begin(
        &mut self,
        bytes: &mut &[u8],
        keep: &impl Fn(u8) -> Option<usize>,
    ) -> Result<Option<Begun>, Error> {
        if self.known == 0
            && let Some((header, rest)) = bytes.split_first_chunk()
        {
            *bytes = rest;
            return Begun::of(*header, keep).map(Some);
        }
        let missing = self.header.get_mut(self.known..).unwrap_or_default();
        let taken = missing.len().min(bytes.len());
        let (taken, rest) = bytes.split_at_checked(taken).unwrap_or_default();
        for (place, byte) in missing.iter_mut().zip(taken) {
            *place = *byte;
        }
        *bytes = rest;
        self.known += taken.len();
        if self.known < HEADER_LENGTH {
            return Ok(None);
        }
        self.known = 0;
        Begun::of(self.header, keep).map(Some)
    }
}

/// Shows the messages that lie whole in the bytes at hand, as most do; the bytes behind them.
#[inline]
fn whole<'a>(
    mut bytes: &'a [u8],
    keep: &impl Fn(u8) -> Option<usize>,
    show: &mut impl FnMut(Skimmed<'_>),
) -> Result<&'a [u8], Error> {
    while let Some((header, rest)) = bytes.split_first_chunk() {
        let begun = Begun::of(*header, keep)?;
        let Some((body, behind)) = rest.split_at_checked(begun.left) else {
            break;
        };
        let (more, behind) = match begun.keep {
            0 => alike(begun.tag, behind),
            _ => (0, behind),
        };
        show(Skimmed {
            tag: begun.tag,
            body: body.get(..begun.keep).unwrap_or(body),
            times: 1 + more,
        });
        bytes = behind;
    }
    Ok(bytes)
}

/// How many messages of one type lie whole at the beginning of the bytes, and the bytes behind them.
/// One whose length cannot be is left there.
#[inline]
fn alike(tag: u8, mut bytes: &[u8]) -> (usize, &[u8]) {
    let mut count = 0;
    while let Some((next, _, behind)) = message(bytes)
        && next == tag
    {
        bytes = behind;
        count += 1;
    }
    (count, bytes)
}

/// The type and the body of a message that lies whole at the beginning of the bytes, and those behind
/// it.
#[inline]
pub(super) fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([tag, length @ ..], rest) = bytes.split_first_chunk::<HEADER_LENGTH>()?;
    let (body, behind) = rest.split_at_checked(body_length(*length)?)?;
    Some((*tag, body, behind))
}

/// The length of a message's body, by the length that it claims.
#[inline]
fn body_length(claimed: [u8; 4]) -> Option<usize> {
    let body = u32::from_be_bytes(claimed).checked_sub(LENGTH_OF_LENGTH)?;
    usize::try_from(body).ok()
}

impl Begun {
    #[inline]
    fn of(
        [tag, length @ ..]: [u8; HEADER_LENGTH],
        keep: impl Fn(u8) -> Option<usize>,
    ) -> Result<Self, Error> {
        let keep = keep(tag).ok_or(Error::Malformed("type of a message"))?;
        let left = body_length(length).ok_or(Error::Length {
            claimed: u32::from_be_bytes(length),
            limit: usize::MAX,
        })?;
        Ok(Begun { tag, left, keep })
    }
}

/// What is kept may hold values.
impl fmt::Debug for Skimmer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Skimmer").finish_non_exhaustive()
    }
}

/// A tag and a length.
const HEADER_LENGTH: usize = 5;

/// A length counts itself.
const LENGTH_OF_LENGTH: u32 = 4;

/// Bytes of memory that stay after a long message.
const RETAINED: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_leaves_no_memory_behind() {
        let mut skimmer = Skimmer::default();
        let mut long = b"Q\0\x01\x86\xa4".to_vec();
        long.resize(5 + 100_000, b'x');
        let mut length = 0;
        for piece in long.chunks(1_000) {
            let show = |one: Skimmed<'_>| length = one.body.len();
            skimmer.skim(piece, |_| Some(50_000), show).unwrap();
        }
        assert_eq!(length, 50_000);
        assert!(skimmer.kept.capacity() <= RETAINED);
    }
}
