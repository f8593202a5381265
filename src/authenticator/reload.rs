//! Files that are read again when they change: the certificate, the keys of sessions.
//!
//! What cannot be read or does not fit is said once, loudly, and what was read before stays in use.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::metrics::{File, Metrics, Reading};
use crate::{Error, Result, stamp::Stamp};

/// How often the files are looked at. To look is to ask for their times.
const INTERVAL: Duration = Duration::from_secs(1);

/// So that a bug does not fill the log.
const AFTER_A_BUG: Duration = Duration::from_secs(30);

/// Files that are good only together, and what they were like when they were read.
#[derive(Debug)]
pub(crate) struct Watched {
    paths: Vec<PathBuf>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    stamps: Vec<Option<Stamp>>,
    /// What was wrong at the latest look, and whether that was said.
    problem: Option<(String, bool)>,
}

impl Watched {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        Watched {
            paths,
            seen: Mutex::default(),
        }
    }

    /// Looks at the files, and has them read if they are not certainly what they were. `read` says
    /// whether it found something new.
    pub(crate) fn look(&self, file: File, metrics: &Metrics, read: impl FnOnce() -> Result<bool>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata: Vec<_> = self.paths.iter().map(|p| fs::metadata(p).ok()).collect();
        let unchanged = seen.stamps.len() == metadata.len()
            && seen.stamps.iter().zip(&metadata).all(|(stamp, now)| {
                matches!((stamp, now), (Some(stamp), Some(now)) if stamp.still_tells(now))
            });
        // What was wrong may be mended elsewhere: in a folder's permissions, in another file.
        if unchanged && seen.problem.is_none() {
            return;
        }
        // From before the reading: what changes meanwhile is read once more.
        seen.stamps = metadata
            .iter()
            .map(|metadata| metadata.as_ref().map(Stamp::of))
            .collect();
        match read() {
            Ok(changed) => {
                if changed || seen.problem.is_some() {
                    metrics.read_again(file, Reading::Ok);
                    ::tracing::info!(file = file.as_str(), "read again, and in use");
                }
                seen.problem = None;
            }
            Err(error) => seen.complain(file, metrics, &error),
        }
    }
}

impl Seen {
    /// Says what is wrong once, and not at the first look: certificate and key are two files, and
    /// are seldom replaced in one moment.
    fn complain(&mut self, file: File, metrics: &Metrics, error: &Error) {
        let problem = error.to_string();
        let (again, said) = match &self.problem {
            Some((before, said)) => (*before == problem, *said && *before == problem),
            None => (false, false),
        };
        if again && !said {
            metrics.read_again(file, Reading::Failed);
            ::tracing::error!(
                file = file.as_str(),
                %problem,
                "a file was changed and is not good: what was read before stays in use",
            );
        }
        self.problem = Some((problem, again));
    }
}

/// Looks again and again, until the server is told to stop.
pub(crate) fn watch(look: impl Fn() + Send + Sync + 'static, end: CancellationToken) {
    let look = Arc::new(look);
    tokio::spawn(async move {
        let looking = async {
            let mut pause = INTERVAL;
            loop {
                tokio::time::sleep(pause).await;
                let look = look.clone();
                // A file system may keep who asks waiting.
                match tokio::task::spawn_blocking(move || look()).await {
                    Ok(()) => pause = INTERVAL,
                    // A bug in one look. Without the next ones a certificate would silently expire.
                    Err(ended) if ended.is_panic() => {
                        pause = AFTER_A_BUG;
                        ::tracing::error!(
                            "a bug: files were not looked at as far as they should be; what was read \
                             before stays in use, and they are looked at again in {AFTER_A_BUG:?}",
                        );
                    }
                    // The runtime ends.
                    Err(_) => return,
                }
            }
        };
        end.run_until_cancelled(looking).await;
    });
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        time::SystemTime,
    };

    use super::*;

    #[test]
    fn what_is_wrong_is_said_once_and_not_at_the_first_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let watched = Watched::new(vec![path]);
        let metrics = Metrics::default();
        let failed = || {
            let text = metrics.exposition().unwrap();
            let series = "approzium_reloads_total{file=\"session_keys\",result=\"failed\"} ";
            text.lines()
                .find_map(|line| line.strip_prefix(series)?.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let answer = RefCell::new("one");
        let reads = Cell::new(0);
        let look = || {
            watched.look(File::SessionKeys, &metrics, || {
                reads.set(reads.get() + 1);
                match *answer.borrow() {
                    "" => Ok(true),
                    problem => Err(Error::configuration(problem.to_owned())),
                }
            });
        };
        look();
        assert_eq!(failed(), 0);
        look();
        assert_eq!(failed(), 1);
        look();
        assert_eq!(failed(), 1);
        answer.replace("two");
        look();
        assert_eq!(failed(), 1);
        look();
        assert_eq!(failed(), 2);
        answer.replace("");
        look();
        let text = metrics.exposition().unwrap();
        assert!(
            text.contains("approzium_reloads_total{file=\"session_keys\",result=\"ok\"} 1"),
            "{text}"
        );
        assert_eq!(reads.get(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bug_in_a_look_is_said_and_is_not_the_last_look() {
        let log = Arc::new(Mutex::new(Vec::<u8>::new()));
        let (written, end) = (log.clone(), CancellationToken::new());
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || Shared(written.clone()))
            .finish();
        let _logged = ::tracing::subscriber::set_default(subscriber);
        let (looked, mut looks) = tokio::sync::mpsc::unbounded_channel();
        let first = std::sync::atomic::AtomicBool::new(true);
        let look = move || {
            looked.send(()).unwrap();
            assert!(!first.swap(false, std::sync::atomic::Ordering::SeqCst));
        };
        watch(look, end.clone());
        for _ in 0..3 {
            looks.recv().await.unwrap();
        }
        end.cancel();
        let said = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        assert_eq!(said.matches("ERROR").count(), 1, "{said}");
        assert!(said.contains("looked at again in 30s"), "{said}");
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn files_that_are_left_alone_are_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(long_ago).unwrap();
        let watched = Watched::new(vec![path.clone()]);
        let metrics = Metrics::default();
        let reads = Cell::new(0);
        let look = || {
            watched.look(File::Tls, &metrics, || {
                reads.set(reads.get() + 1);
                Ok(false)
            });
        };
        look();
        look();
        assert_eq!(reads.get(), 1);
        fs::write(&path, "xy").unwrap();
        look();
        assert_eq!(reads.get(), 2);
        fs::remove_file(&path).unwrap();
        look();
        assert_eq!(reads.get(), 3);
    }

    #[test]
    fn what_was_refused_is_read_again_until_it_is_good_though_the_file_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60))
            .unwrap();
        let watched = Watched::new(vec![path]);
        let metrics = Metrics::default();
        let (is_good, reads) = (Cell::new(false), Cell::new(0));
        let look = || {
            watched.look(File::Tls, &metrics, || {
                reads.set(reads.get() + 1);
                match is_good.get() {
                    true => Ok(true),
                    false => Err(Error::configuration("others can reach it")),
                }
            });
        };
        for _ in 0..4 {
            look();
        }
        assert_eq!(reads.get(), 4);
        is_good.set(true);
        look();
        look();
        assert_eq!(reads.get(), 5);
    }
}
