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
    #[cfg(unix)]
    inode: Inode,
}

/// What is changed by who replaces the file, copies another's times onto it, or gives it to others.
#[cfg(unix)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
    mode: u32,
    owner: u32,
    group: u32,
    /// Seconds and nanoseconds; nobody can set it.
    changed: (i64, i64),
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
                #[cfg(unix)]
                inode: Inode::default(),
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
        Outside {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            inode: Inode::of(metadata),
        }
    }
}

#[cfg(unix)]
impl Inode {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;

        Inode {
            device: metadata.dev(),
            number: metadata.ino(),
            mode: metadata.mode(),
            owner: metadata.uid(),
            group: metadata.gid(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, time::Instant};

    use super::*;

    /// Written long ago, as file systems tell it.
    fn settled(path: &std::path::Path, text: &str) {
        fs::write(path, text).unwrap();
        let file = fs::File::options().append(true).open(path).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.set_modified(long_ago).unwrap();
    }

    #[test]
    fn modes_and_contents_of_the_same_time_and_length_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        settled(&path, "one");
        let stamp = || Stamp::of(&fs::metadata(&path).unwrap());
        let tells = |stamp: Stamp| stamp.still_tells(&fs::metadata(&path).unwrap());
        let before = stamp();
        assert!(tells(before));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(!tells(before));

        let before = stamp();
        // Until the file system's clock has moved on.
        let deadline = Instant::now() + Duration::from_secs(20);
        while tells(before) {
            assert!(Instant::now() < deadline, "it is not noticed");
            settled(&path, "two");
        }
    }
}
