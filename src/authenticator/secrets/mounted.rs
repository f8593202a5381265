//! Records from files that a platform mounts: a Secret of Kubernetes, or what a CSI driver brings
//! from a secret store.

mod folder;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use moka::sync::Cache;
use tokio::sync::Semaphore;

use self::folder::Folder;
use super::{
    Freshness, Record, RecordKey, Secrets, SecretsManager, Trouble, Unavailable,
    file::{Permissions, contents},
    followed::{Followed, Readable},
    parse::{self, not_yaml},
    place::Place,
};
use crate::{Error, Result, identity::VerifiedIdentity, stamp::Stamp};

/// What Kubernetes puts into one Secret.
const MAX_FILE_SIZE: u64 = 1 << 20;
const MAX_PLACES: u64 = 10_000;
/// Places that are looked at at once.
const MAX_LOOKS: usize = 16;

/// Records kept in a folder, one file a database, with the records of its users in JSON or YAML:
///
/// ```json
/// {"shop": {"password": "…", "iam_arns": ["arn:aws:iam::123456789012:role/checkout"]}}
/// ```
///
/// The file of `db.internal`, port 5432, is called `db.internal_5432`: a key that a Secret of
/// Kubernetes may have. That of an IPv6 address begins with `IPV6-` and has hyphens for its colons:
/// `IPV6-2001-db8--7_5432`. Host names are in lower case.
///
/// A file is looked at for every handshake and read again when it changed, also when the whole
/// folder is swapped as Kubernetes and CSI drivers do it. A file system that does not answer within
/// three seconds is trouble like that of any secrets manager. A file that its group or others may write
/// is refused.
pub struct MountedSecrets {
    folder: Folder,
    holds_records: Followed<Folder>,
    files: Cache<Place, Arc<Followed<Users>>>,
    threads: Arc<Semaphore>,
}

/// The file of one database's users.
struct Users {
    folder: Folder,
    place: Place,
}

impl MountedSecrets {
    /// The records of this folder.
    ///
    /// # Errors
    /// A configuration error if there is no such folder.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = Folder::of(folder.into());
        folder.there().map_err(|unavailable| {
            Error::configuration(format!("kubernetes_secrets_path: {unavailable}"))
        })?;
        let threads = Arc::new(Semaphore::new(MAX_LOOKS));
        Ok(MountedSecrets {
            holds_records: Followed::new(folder.clone(), threads.clone(), None),
            folder,
            files: Cache::builder().max_capacity(MAX_PLACES).build(),
            threads,
        })
    }

    fn file(&self, place: &Place) -> Arc<Followed<Users>> {
        let follow = || {
            let (folder, place) = (self.folder.clone(), place.clone());
            let file = Users { folder, place };
            Arc::new(Followed::new(file, self.threads.clone(), None))
        };
        self.files.get_with_by_ref(place, follow)
    }
}

impl Readable for Users {
    type Content = Vec<Arc<Record>>;

    fn path(&self) -> PathBuf {
        self.folder.0.join(file_name(&self.place))
    }

    fn is_as(&self, stamp: &Stamp) -> Result<bool, Unavailable> {
        let path = self.path();
        let metadata = found(fs::metadata(&path))
            .map_err(|error| unavailable(Trouble::Unreachable, &path, &error))?;
        Ok(metadata.is_some_and(|metadata| stamp.still_tells(&metadata)))
    }

    fn read(&self) -> Result<(Stamp, Vec<Arc<Record>>), Unavailable> {
        let path = self.path();
        let problem = |trouble, problem: &dyn fmt::Display| unavailable(trouble, &path, problem);
        let metadata =
            found(fs::metadata(&path)).map_err(|error| problem(Trouble::Unreachable, &error))?;
        if metadata.is_none() {
            // No file is no record; no folder is no answer.
            return self.folder.there().map(|()| (Stamp::never(), Vec::new()));
        }
        let (metadata, text) = contents(&path, MAX_FILE_SIZE, Permissions::OwnerWrites)
            .map_err(|what| problem(Trouble::Unreachable, &what))?;
        let malformed = |what: String| problem(Trouble::Malformed, &what);
        let users: parse::Users =
            serde_yaml_ng::from_slice(&text).map_err(|error| malformed(not_yaml(&error)))?;
        let records = users.records(&self.place).map_err(malformed)?;
        Ok((Stamp::of(&metadata), records))
    }
}

/// Nothing, where there is nothing.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// A place's host has no capital letters.
fn file_name(place: &Place) -> String {
    let host = match place.host() {
        address if address.contains(':') => format!("IPV6-{}", address.replace(':', "-")),
        name => name.to_owned(),
    };
    format!("{host}_{}", place.port())
}

fn unavailable(trouble: Trouble, path: &Path, problem: &dyn fmt::Display) -> Unavailable {
    Unavailable::new(trouble, format!("{}: {problem}", path.display()))
}

#[tonic::async_trait]
impl Secrets for MountedSecrets {
    async fn records(
        &self,
        _: &VerifiedIdentity,
        key: &RecordKey,
        freshness: Freshness,
    ) -> Result<Vec<Arc<Record>>, Unavailable> {
        let Some(place) = Place::of(key) else {
            return Ok(Vec::new());
        };
        let found = self.file(&place).now(freshness).await?;
        Ok(found
            .iter()
            .filter(|record| record.key == *key)
            .cloned()
            .collect())
    }

    async fn ready(&self) -> Result<(), Unavailable> {
        self.holds_records.now(Freshness::Usual).await.map(drop)
    }

    async fn examine(&self) -> Result<String, Unavailable> {
        let folder = self.folder.clone();
        let looked = tokio::task::spawn_blocking(move || folder.all()).await;
        looked.map_err(|error| unavailable(Trouble::Unreachable, &self.folder.0, &error))?
    }
}

impl From<MountedSecrets> for SecretsManager {
    fn from(secrets: MountedSecrets) -> Self {
        SecretsManager(Arc::new(secrets))
    }
}

impl fmt::Debug for MountedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountedSecrets")
            .field("folder", &self.folder.0)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn checkout() -> VerifiedIdentity {
        let arn = "arn:aws:sts::123456789012:assumed-role/checkout/pod";
        VerifiedIdentity::new(arn, "AROAEXAMPLE:pod").unwrap()
    }

    const ROLE: &str = "arn:aws:iam::123456789012:role/checkout";

    fn record(password: &str) -> String {
        format!(r#"{{"app": {{"password": "{password}", "iam_arns": ["{ROLE}"]}}}}"#)
    }

    async fn look(secrets: &MountedSecrets, host: &str) -> Result<Option<String>, Trouble> {
        let key = RecordKey::new(host, 5432, "app");
        let found = secrets.records(&checkout(), &key, Freshness::Usual).await;
        let found = found.map_err(|unavailable| {
            assert!(!unavailable.to_string().contains("hunter"), "{unavailable}");
            unavailable.trouble
        })?;
        Ok(found.first().map(|record| {
            let password = record.credential.password().unwrap().expose_secret();
            String::from_utf8(password.to_vec()).unwrap()
        }))
    }

    fn is(password: &str) -> Result<Option<String>, Trouble> {
        Ok(Some(password.to_owned()))
    }

    #[test]
    fn every_place_has_a_file_of_its_own_that_kubernetes_allows() {
        for (host, name) in [
            ("DB.internal", "db.internal_5432"),
            ("my_db", "my_db_5432"),
            ("10.0.0.7", "10.0.0.7_5432"),
            ("::1", "IPV6---1_5432"),
            ("2001:db8::7", "IPV6-2001-db8--7_5432"),
        ] {
            let place = Place::of(&RecordKey::new(host, 5432, "app")).unwrap();
            assert_eq!(file_name(&place), name);
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            assert!(name.bytes().all(allowed) && !name.starts_with(".."));
        }
    }

    /// As the kubelet does it: `..data` points to a folder of the moment, and is renamed over.
    #[tokio::test]
    async fn a_folder_that_is_swapped_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let swap = |moment: &str, text: &str| {
            fs::create_dir(at(moment)).unwrap();
            fs::write(at(moment).join("db_5432"), text).unwrap();
            symlink(moment, at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
        };
        swap("..2026_01", &record("hunter1"));
        symlink("..data/db_5432", at("db_5432")).unwrap();
        let secrets = MountedSecrets::open(folder.path()).unwrap();
        assert_eq!(look(&secrets, "db").await, is("hunter1"));
        for password in ["hunter2", "hunter3", "hunter1"] {
            swap(&format!("..{password}_02"), &record(password));
            assert_eq!(look(&secrets, "db").await, is(password));
        }

        swap("..2026_03", "app: hunter2");
        assert_eq!(look(&secrets, "db").await, Err(Trouble::Malformed));
        swap("..2026_04", &record("hunter4"));
        assert_eq!(look(&secrets, "db").await, is("hunter4"));

        fs::remove_file(at("db_5432")).unwrap();
        assert_eq!(look(&secrets, "db").await, Ok(None));
        fs::rename(folder.path(), folder.path().with_extension("gone")).unwrap();
        assert_eq!(look(&secrets, "db").await, Err(Trouble::Unreachable));
        assert!(secrets.ready().await.is_err());
        fs::rename(folder.path().with_extension("gone"), folder.path()).unwrap();
        assert_eq!(look(&secrets, "db").await, Ok(None));
    }

    #[tokio::test]
    async fn it_is_ready_once_some_database_s_file_holds_a_record() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let secrets = MountedSecrets::open(folder.path()).unwrap();
        let (is_ready, says) = (
            async || secrets.ready().await.map_err(|found| found.to_string()),
            async || secrets.examine().await.map_err(|found| found.to_string()),
        );
        for found in [is_ready().await, says().await.map(drop)] {
            assert!(found.unwrap_err().contains("it holds no database's file"));
        }
        write("ca.crt", "x");
        assert!(is_ready().await.unwrap_err().contains("such as db"));
        write("db_5432", "hunter2");
        write("db_5433", "{}");
        for found in [is_ready().await, says().await.map(drop)] {
            let problem = found.unwrap_err();
            assert!(problem.contains("db_543"), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        write("db_5434", &record("hunter2"));
        assert_eq!(is_ready().await, Ok(()));
        let problem = says().await.unwrap_err();
        assert!(problem.contains("db_5432: it is not") && problem.contains("(and 1 more)"));
        fs::remove_file(folder.path().join("db_5432")).unwrap();
        fs::remove_file(folder.path().join("db_5433")).unwrap();
        let said = says().await.unwrap();
        assert!(
            said.contains("read: 1; ") && said.ends_with("names: ca.crt"),
            "{said}"
        );

        let record = folder.path().join("db_5434");
        fs::set_permissions(&record, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(is_ready().await.unwrap_err().contains("chmod 440"));
    }

    #[tokio::test]
    async fn logins_that_come_together_after_a_change_read_it_together() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("db_5432"), record("hunter2")).unwrap();
        let secrets = MountedSecrets::open(folder.path()).unwrap();
        let place = Place::of(&RecordKey::new("db", 5432, "app")).unwrap();
        // The file has not settled, so that everybody wants it read.
        let all = (0..50).map(async |_| secrets.file(&place).now(Freshness::Usual).await);
        let all = futures_util::future::join_all(all).await;
        let mut read: Vec<_> = all
            .into_iter()
            .map(|reading| Arc::as_ptr(&reading.unwrap()))
            .collect();
        read.dedup();
        // By the first, and once more for those who came while that was under way.
        assert!(read.len() <= 2, "{} times", read.len());
    }

    #[tokio::test]
    async fn no_name_of_a_client_s_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(folder.path().join("x_5432"), record("hunter2")).unwrap();
        fs::write(inner.join("_5432"), record("hunter2")).unwrap();
        let secrets = MountedSecrets::open(&inner).unwrap();
        for host in ["../x", "/x", "..", ".", "", "..\\x", "inner/../../x", "x\0"] {
            assert_eq!(look(&secrets, host).await, Ok(None), "{host:?}");
        }
        let absolute = folder.path().join("x");
        assert_eq!(look(&secrets, absolute.to_str().unwrap()).await, Ok(None));
    }

    #[tokio::test]
    async fn a_file_that_others_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db_5432");
        let secrets = MountedSecrets::open(folder.path()).unwrap();
        for (mode, found) in [
            // As Kubernetes and CSI drivers mount unless they are told better.
            (0o644, is("hunter2")),
            (0o440, is("hunter2")),
            (0o664, Err(Trouble::Unreachable)),
            (0o646, Err(Trouble::Unreachable)),
        ] {
            fs::write(&path, record("hunter2")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(look(&secrets, "db").await, found, "{mode:o}");
            fs::remove_file(&path).unwrap();
        }
    }
}
