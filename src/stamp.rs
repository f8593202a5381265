//! By what a change of a file is noticed without reading it.

use std::{
    fs::Metadata,
    time::{Duration, SystemTime},
};

/// Longer than the resolution of any file system's times.
const SETTLING: Duration = Duration::from_secs(2);

/// What a file was like before it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    outside: Outside,
    /// The file had been left alone for a while: file systems tell times only to some
    /// milliseconds, and two edits in one of them look alike.
    settled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outside {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    /// Of a file that is about to be read.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let outside = Outside::of(metadata);
        Stamp {
            outside,
            settled: outside
                .modified
                .is_some_and(|modified| modified + SETTLING < SystemTime::now()),
        }
    }

    /// Of nothing that was read.
    #[cfg(any(test, feature = "kubernetes"))]
    pub(crate) fn never() -> Self {
        Stamp {
            outside: Outside {
                modified: None,
                length: 0,
                inode: 0,
            },
            settled: false,
        }
    }

    /// Whether what was read then is certainly what would be read now.
    pub(crate) fn still_tells(&self, metadata: &Metadata) -> bool {
        self.settled && self.outside == Outside::of(metadata)
    }
}

impl Outside {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Outside {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            inode,
        }
    }
}
