//! Records from a local file, read again when the file changes.

use std::{
    fmt,
    fs::{self, File, Metadata},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{
    Freshness, Record, RecordKey, Secrets, Trouble, Unavailable,
    followed::{Followed, Readable},
    parse::records,
};
use crate::{Error, Result, identity::VerifiedIdentity, stamp::Stamp};

/// Larger than any list that a person keeps by hand.
const MAX_FILE_SIZE: u64 = 16 << 20;

/// Records kept in a YAML file (`local_secrets_path`): a list of
/// `{dbhost, dbport, dbuser, password, iam_arn | iam_arns}`. In the place of `password` there may be
/// digests of it, which `approzium secret` makes: `scram_sha_256`, which is
/// `{salt, iterations, client_key, server_key}` or a list of such, `mysql_native_password`,
/// `caching_sha2_password`. And per record what it may be used for: `methods`, `pinned_salt`,
/// `pinned_iterations`, `pinned_certificates`, `channel_binding`, `user_ids`.
///
/// The file is looked at for every handshake and read again when it changed, so an edit takes effect
/// at once. A file system that does not answer within three seconds is trouble like that of any
/// secrets manager. While it cannot be read or is not well-formed, nobody is let in: a principal struck off
/// a record must not stay admitted because of a typing error further down.
///
/// It must be readable by its owner alone, or at most by its group (as Kubernetes mounts a secret
/// with `fsGroup`): a file that others may read, or that group or others may write, is refused.
pub struct LocalSecrets {
    file: Followed<Records>,
}

/// What is followed.
struct Records {
    path: PathBuf,
    permissions: Permissions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permissions {
    /// Others can neither read nor write it.
    Enforced,
    /// Others can read it, for whoever mounts it decides that.
    #[cfg(feature = "kubernetes")]
    OwnerWrites,
    /// Of development: its passwords are thrown away with the folder.
    #[cfg(feature = "dev")]
    Unchecked,
}

impl Permissions {
    fn expect_records(self) -> bool {
        match self {
            Permissions::Enforced => true,
            #[cfg(feature = "kubernetes")]
            Permissions::OwnerWrites => true,
            #[cfg(feature = "dev")]
            Permissions::Unchecked => false,
        }
    }
}

impl LocalSecrets {
    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read, is open to others, or holds something else than records. The error
    /// names line or record and key, and shows nothing of the content.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::load(path.into(), Permissions::Enforced)
    }

    /// As [`open`](Self::open), whoever may read the file.
    #[cfg(feature = "dev")]
    pub(crate) fn open_unchecked(path: impl Into<PathBuf>) -> Result<Self> {
        Self::load(path.into(), Permissions::Unchecked)
    }

    fn load(path: PathBuf, permissions: Permissions) -> Result<Self> {
        let records = Records { path, permissions };
        let read = records
            .read()
            .map_err(|problem| Error::configuration(format!("local_secrets_path: {problem}")))?;
        // A second reading, on another thread, would keep its memory beside that of the first.
        let threads = Arc::new(Semaphore::new(1));
        Ok(LocalSecrets {
            file: Followed::new(records, threads, Some(read)),
        })
    }
}

impl Readable for Records {
    /// By their keys; those of one key as they stand in the file, where the first that admits counts.
    type Content = Vec<Arc<Record>>;

    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn is_as(&self, stamp: &Stamp) -> Result<bool, Unavailable> {
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok(stamp.still_tells(&metadata)),
            Err(error) => Err(unavailable(Trouble::Unreachable, &self.path, error)),
        }
    }

    fn read(&self) -> Result<(Stamp, Vec<Arc<Record>>), Unavailable> {
        let problem = |trouble, problem: String| unavailable(trouble, &self.path, problem);
        let (metadata, yaml) = contents(&self.path, MAX_FILE_SIZE, self.permissions)
            .map_err(|what| problem(Trouble::Unreachable, what))?;
        let mut records = records(&yaml).map_err(|what| problem(Trouble::Malformed, what))?;
        records.sort_by(|one, other| one.key.cmp(&other.key));
        ::tracing::debug!(records = records.len(), "local secrets read");
        Ok((Stamp::of(&metadata), records))
    }
}

fn unavailable(trouble: Trouble, path: &Path, problem: impl fmt::Display) -> Unavailable {
    Unavailable::new(trouble, format!("{}: {problem}", path.display()))
}

#[tonic::async_trait]
impl Secrets for LocalSecrets {
    async fn records(
        &self,
        _: &VerifiedIdentity,
        key: &RecordKey,
        freshness: Freshness,
    ) -> Result<Vec<Arc<Record>>, Unavailable> {
        let found = self.file.now(freshness).await?;
        let begin = found.partition_point(|record| record.key < *key);
        let of_the_key = found.iter().skip(begin);
        Ok(of_the_key
            .take_while(|record| record.key == *key)
            .cloned()
            .collect())
    }

    async fn ready(&self) -> Result<(), Unavailable> {
        let found = self.file.now(Freshness::Usual).await?;
        let Records { path, permissions } = self.file.file();
        // With none nobody can be let in: whoever put it there was not done with it.
        if found.is_empty() && permissions.expect_records() {
            return Err(unavailable(
                Trouble::Unreachable,
                path,
                "it holds no record",
            ));
        }
        Ok(())
    }
}

/// Reads a file of secrets that others can neither read nor write.
pub(crate) fn private(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, String> {
    contents(path, limit, Permissions::Enforced).map(|(_, bytes)| bytes)
}

/// Why a file is no secret, if others can reach it.
pub(crate) fn exposure(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    owners_alone(&metadata, Permissions::Enforced).err()
}

/// A file, as it was before it was read. What is looked at and what is read is one file, whatever
/// is put in its place meanwhile.
pub(super) fn contents(
    path: &Path,
    limit: u64,
    permissions: Permissions,
) -> Result<(Metadata, Zeroizing<Vec<u8>>), String> {
    let problem = |error: io::Error| error.to_string();
    let a_file = |metadata: &Metadata| {
        let is_one = metadata.is_file();
        is_one.then_some(()).ok_or("it is not a file".to_owned())
    };
    // To open a pipe is to wait for its other end.
    a_file(&fs::metadata(path).map_err(problem)?)?;
    let file = File::open(path).map_err(problem)?;
    let metadata = file.metadata().map_err(problem)?;
    a_file(&metadata)?;
    owners_alone(&metadata, permissions)?;
    // A buffer that grows leaves its old one behind.
    let expected = usize::try_from(metadata.len().min(limit)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected + 1));
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(problem)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        return Err(format!("it is larger than {limit} bytes"));
    }
    Ok((metadata, bytes))
}

/// Refuses a file of secrets that others can read, or that others than its owner can write.
fn owners_alone(metadata: &Metadata, permissions: Permissions) -> Result<(), String> {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(metadata) & 0o777;
        let (refused, problem) = match permissions {
            Permissions::Enforced => (0o027, "others can reach it; chmod 600 (or 640) it"),
            #[cfg(feature = "kubernetes")]
            Permissions::OwnerWrites => (0o022, "others can write it; chmod 440 it"),
            #[cfg(feature = "dev")]
            Permissions::Unchecked => return Ok(()),
        };
        if mode & refused != 0 {
            return Err(format!("its mode is {mode:04o}: {problem}"));
        }
    }
    #[cfg(not(unix))]
    let _ = (metadata, permissions);
    Ok(())
}

impl fmt::Debug for LocalSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSecrets")
            .field("path", &self.file.file().path)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, unix))]
mod tests;
