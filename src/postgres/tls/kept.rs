//! The TLS settings of past connects, for as long as the files that they came from stay as they are.
//!
//! To read and parse certificates takes a good part of what a connect takes by itself. A rotated
//! file is noticed by its stamp, on the next connect.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::ClientConfig;

use super::client_config::client_config;
use crate::{
    Result,
    postgres::config::{Config, RootCertificates, SslMode},
    stamp::Stamp,
};

/// So many different settings of one process are kept; the one used longest ago goes.
const KEPT: usize = 16;

/// The one used last is the last.
static ALL: Mutex<Vec<Arc<Kept>>> = Mutex::new(Vec::new());

struct Kept {
    source: Source,
    files: Vec<(PathBuf, Stamp)>,
    config: Arc<ClientConfig>,
}

/// All that a `ClientConfig` is made from, but what the files hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    ssl_mode: SslMode,
    roots: RootCertificates,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// As it was made before, if the files are still the same. It looks at them here and now: that
/// takes a fraction of handing it to another thread.
pub(super) fn unchanged(config: &Config) -> Option<Arc<ClientConfig>> {
    let source = Source::of(config);
    let found = find(&source)?;
    let still = |(path, stamp): &(PathBuf, Stamp)| {
        fs::metadata(path).is_ok_and(|metadata| stamp.still_tells(&metadata))
    };
    found
        .files
        .iter()
        .all(still)
        .then(|| Arc::clone(&found.config))
}

/// Reads the files, and keeps what comes of them.
pub(super) fn read(config: &Config) -> Result<Arc<ClientConfig>> {
    let source = Source::of(config);
    // What is put in a file's place while it is read is noticed the next time.
    let stamps = source.files().map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((path.to_owned(), Stamp::of(&metadata)))
    });
    let files: Option<Vec<_>> = stamps.collect();
    let config = Arc::new(client_config(config)?);
    if let Some(files) = files {
        keep(Kept {
            source,
            files,
            config: Arc::clone(&config),
        });
    }
    Ok(config)
}

impl Source {
    fn of(config: &Config) -> Self {
        let (certificate, key) = config.client_certificate();
        Source {
            ssl_mode: config.get_ssl_mode(),
            roots: config.root_certificates().clone(),
            certificate: certificate.cloned(),
            key: key.cloned(),
        }
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let roots = match &self.roots {
            RootCertificates::File(path) => Some(path),
            RootCertificates::Default | RootCertificates::System => None,
        };
        let all = [roots, self.certificate.as_ref(), self.key.as_ref()];
        all.into_iter().flatten().map(PathBuf::as_path)
    }
}

fn find(source: &Source) -> Option<Arc<Kept>> {
    let mut all = lock();
    let found = all.iter().position(|kept| kept.source == *source)?;
    all.get_mut(found..)?.rotate_left(1);
    all.last().cloned()
}

fn keep(new: Kept) {
    let mut all = lock();
    all.retain(|kept| kept.source != new.source);
    if all.len() >= KEPT {
        all.remove(0);
    }
    all.push(Arc::new(new));
}

fn lock() -> MutexGuard<'static, Vec<Arc<Kept>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        time::{Duration, SystemTime},
    };

    use super::*;

    /// As it was left an hour ago, or in this moment.
    fn write_root(path: &Path, age: Duration) {
        let root = rcgen::generate_simple_self_signed(["db.internal".to_owned()]).unwrap();
        fs::write(path, root.cert.pem()).unwrap();
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn certificates_are_read_again_when_they_change() {
        const HOUR: Duration = Duration::from_secs(3600);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let config: Config = format!("host=db.internal user=app sslrootcert={}", path.display())
            .parse()
            .unwrap();
        assert!(unchanged(&config).is_none());

        write_root(&path, HOUR);
        let first = read(&config).unwrap();
        assert!(unchanged(&config).is_some_and(|kept| Arc::ptr_eq(&kept, &first)));

        write_root(&path, 2 * HOUR);
        assert!(unchanged(&config).is_none());
        let second = read(&config).unwrap();
        assert!(unchanged(&config).is_some_and(|kept| Arc::ptr_eq(&kept, &second)));

        fs::remove_file(&path).unwrap();
        assert!(unchanged(&config).is_none());
    }

    #[test]
    fn a_file_that_is_being_written_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let config: Config = format!("host=db.internal user=app sslrootcert={}", path.display())
            .parse()
            .unwrap();
        write_root(&path, Duration::ZERO);
        read(&config).unwrap();
        assert!(unchanged(&config).is_none());
    }

    #[test]
    fn other_settings_are_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        write_root(&path, Duration::from_secs(3600));
        let config = |mode: &str| -> Config {
            let path = path.display();
            format!("host=db.internal user=app sslmode={mode} sslrootcert={path}")
                .parse()
                .unwrap()
        };
        read(&config("verify-full")).unwrap();
        assert!(unchanged(&config("verify-full")).is_some());
        assert!(unchanged(&config("verify-ca")).is_none());
    }
}
