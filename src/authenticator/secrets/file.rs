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
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::SystemTime};

    use super::*;

    fn checkout() -> VerifiedIdentity {
        let arn = "arn:aws:sts::123456789012:assumed-role/checkout/pod";
        VerifiedIdentity::new(arn, "AROAEXAMPLE:pod").unwrap()
    }

    fn record(user: &str) -> String {
        format!(
            "- {{dbhost: db, dbport: 5432, dbuser: {user}, password: hunter2, iam_arn: \
             'arn:aws:iam::123456789012:role/checkout'}}\n"
        )
    }

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn logins_that_come_together_after_a_change_read_it_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.yaml");
        write(&path, &record("app"), 0o600);
        let secrets = LocalSecrets::open(&path).unwrap();
        // The file has not settled, so that everybody wants it read.
        let all = (0..50).map(|_| secrets.file.now(Freshness::Usual));
        let all = futures_util::future::join_all(all).await;
        let mut read: Vec<_> = all
            .into_iter()
            .map(|loaded| Arc::as_ptr(&loaded.unwrap()))
            .collect();
        read.dedup();
        // By the first, and once more for those who came while that was under way.
        assert!(read.len() <= 2, "{} times", read.len());
    }

    #[tokio::test]
    async fn an_edit_takes_effect_and_a_broken_file_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.yaml");
        write(&path, &record("app"), 0o600);
        let secrets = LocalSecrets::open(&path).unwrap();
        let key = RecordKey::new("db", 5432, "other");
        let identity = checkout();
        let look = || secrets.records(&identity, &key, Freshness::Usual);
        assert!(look().await.unwrap().is_empty());

        write(&path, &(record("app") + &record("other")), 0o600);
        assert_eq!(look().await.unwrap().len(), 1);

        write(&path, "- hunter2", 0o600);
        let error = look().await.unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");

        write(&path, &record("other"), 0o600);
        assert_eq!(look().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_file_without_records_is_not_ready_but_for_development() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.yaml");
        for (text, is_ready) in [("", false), ("[]\n", false), (&record("app"), true)] {
            write(&path, text, 0o600);
            let ready = LocalSecrets::open(&path).unwrap().ready().await;
            assert_eq!(ready.is_ok(), is_ready, "{text}");
            let says = ready.map_or_else(|error| error.to_string(), |()| String::new());
            assert!(is_ready || says.ends_with("secrets.yaml: it holds no record"));
            #[cfg(feature = "dev")]
            LocalSecrets::open_unchecked(&path)
                .unwrap()
                .ready()
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn all_records_of_a_key_are_found_in_the_order_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.yaml");
        let of = |user: &str, password: &str| record(user).replace("hunter2", password);
        let mut text = String::new();
        for n in 0..20 {
            let filler = record(&format!("user{}", n * 7 % 20));
            text += &(filler + &of("m", &format!("password{n:02}")));
        }
        write(&path, &text, 0o600);
        let secrets = LocalSecrets::open(&path).unwrap();
        let found = async |user: &str| {
            let key = RecordKey::new("DB.", 5432, user);
            let found = secrets.records(&checkout(), &key, Freshness::Usual).await;
            let found = found.unwrap().into_iter();
            let passwords = found.map(|record| {
                let password = record.credential.password().unwrap().expose_secret();
                String::from_utf8(password.to_vec()).unwrap()
            });
            passwords.collect::<Vec<_>>()
        };
        let all: Vec<_> = (0..20).map(|n| format!("password{n:02}")).collect();
        assert_eq!(found("m").await, all);
        for n in 0..20 {
            assert_eq!(found(&format!("user{n}")).await, ["hunter2"]);
        }
        for nobody in ["", "l", "user", "z"] {
            assert!(found(nobody).await.is_empty(), "{nobody}");
        }
    }

    #[tokio::test]
    async fn edits_of_one_length_in_one_moment_take_effect() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.yaml");
        let tick = SystemTime::now();
        let write = |user: &str| {
            write(&path, &record(user), 0o600);
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(tick).unwrap();
        };
        write("one");
        let secrets = LocalSecrets::open(&path).unwrap();
        for user in ["two", "one", "two"] {
            write(user);
            let key = RecordKey::new("db", 5432, user);
            let found = secrets
                .records(&checkout(), &key, Freshness::Usual)
                .await
                .unwrap();
            assert_eq!(found.len(), 1, "{user}");
        }
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let says = |path: &Path| LocalSecrets::open(path).unwrap_err().to_string();
        assert!(says(folder.path()).contains("not a file"));
        let path = folder.path().join("secrets.yaml");
        write(&path, &record("app"), 0o600);
        let file = File::options().append(true).open(&path).unwrap();
        file.set_len(MAX_FILE_SIZE + 1).unwrap();
        assert!(says(&path).contains("larger"));
        assert_eq!(
            private(&path, MAX_FILE_SIZE + 1).unwrap().len(),
            (16 << 20) + 1
        );
    }

    #[test]
    fn a_file_that_others_reach_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.yaml");
        for (mode, accepted) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o644, false),
            (0o660, false),
            (0o602, false),
        ] {
            write(&path, &record("app"), mode);
            assert_eq!(LocalSecrets::open(&path).is_ok(), accepted, "{mode:o}");
            // Its owner may not be allowed to write it again.
            fs::remove_file(&path).unwrap();
        }
    }
}
