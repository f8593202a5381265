//! The audit log as a stream of its own: JSON lines, in a file or on standard output.
//!
//! A line is written before its request goes on, by one `write`: nothing waits in a buffer that a
//! crash would lose. A thread of its own writes, one line after the other: a disk that hangs, or a
//! reader that is stuck, holds up who waits for his line, and nobody else.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{Error, Result};

/// Where audit lines go instead of the log.
///
/// The file is opened for appending, with mode 0600 if it is made here. Whoever moves or removes it
/// finds the next line in a new one of the old name, so nothing has to be told to a log's rotation;
/// [`reopen`](Self::reopen) does the same without waiting for a line.
///
/// A line that cannot be written, because the disk is full or the reader is gone, goes to the log
/// as an error with all its fields, and is counted (`approzium_audit_write_failures_total`).
#[derive(Clone)]
pub struct AuditLog {
    stream: Arc<Mutex<Stream>>,
    lines: mpsc::Sender<Line>,
}

/// Lines that wait for the thread; who has a further one waits to hand it over.
const QUEUE: usize = 1_000;
/// For how long a line is waited for. It may still be written later.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(5);

/// A line to be written, and who waits for it.
struct Line {
    bytes: Vec<u8>,
    written: oneshot::Sender<io::Result<()>>,
}

struct Stream {
    /// None: standard output.
    path: Option<PathBuf>,
    file: File,
    /// A line was cut off by an error: the next one begins on a line of its own.
    torn: bool,
}

impl AuditLog {
    /// Appends to a file, or writes to standard output where the path is `-`.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or is a pipe, which would wait for its reader.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let path = (path != Path::new("-")).then_some(path);
        let file = match &path {
            Some(path) => append(path).map_err(|error| {
                Error::configuration(format!("audit_log_path: {}: {error}", path.display()))
            })?,
            None => standard_output().map_err(|error| {
                Error::configuration("audit_log_path: standard output").with_source(error)
            })?,
        };
        let stream = Arc::new(Mutex::new(Stream {
            path,
            file,
            torn: false,
        }));
        let (lines, queued) = mpsc::channel(QUEUE);
        let written = stream.clone();
        thread::Builder::new()
            .name("audit log".to_owned())
            .spawn(move || write_all(queued, &written))
            .map_err(|error| {
                Error::configuration("audit_log_path: no thread to write it").with_source(error)
            })?;
        Ok(AuditLog { stream, lines })
    }

    /// Whether it can be opened. Of a file that was not there nothing is left: it would be its who
    /// looked, not its who serves. One that begins to be served meanwhile is made anew.
    pub(in crate::authenticator) fn try_open(path: &Path) -> Result<()> {
        let is_made = path != Path::new("-") && fs::symlink_metadata(path).is_err();
        AuditLog::open(path)?;
        if is_made {
            fs::remove_file(path).map_err(|error| {
                Error::configuration(format!("audit_log_path: {}: {error}", path.display()))
            })?;
        }
        Ok(())
    }

    /// Opens the file anew, if there is one. What is open stays so where that fails.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn reopen(&self) -> Result<()> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.reopen().map_err(|error| {
            let path = stream.path.as_deref().unwrap_or(Path::new("-")).display();
            let problem = format!("audit_log_path: {path}: it cannot be opened again: {error}");
            Error::configuration(problem).with_source(error)
        })
    }

    /// Writes one line, and returns when it is written. What it is made of is not kept until then:
    /// a thousand calls may wait for theirs.
    pub(super) fn write<L: Serialize>(
        &self,
        line: &L,
    ) -> impl Future<Output = io::Result<()>> + use<'_, L> {
        let bytes = json(line);
        async {
            timeout(MAX_WAIT, self.written(bytes?))
                .await
                .unwrap_or_else(|_| {
                    let late = format!("it is not written within {MAX_WAIT:?}");
                    Err(io::Error::new(io::ErrorKind::TimedOut, late))
                })
        }
    }

    async fn written(&self, bytes: Vec<u8>) -> io::Result<()> {
        let (written, answer) = oneshot::channel();
        let ended = |_| io::Error::other("the thread that writes it has ended");
        let line = Line { bytes, written };
        self.lines.send(line).await.map_err(|_| ended(()))?;
        answer.await.map_err(|_| ended(()))?
    }
}

fn json(line: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    line.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Until nobody has lines any more.
fn write_all(mut queued: mpsc::Receiver<Line>, stream: &Mutex<Stream>) {
    while let Some(line) = queued.blocking_recv() {
        let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        // Who gave it up does not hear of it.
        let _ = line.written.send(stream.write(line.bytes));
    }
}

impl Stream {
    fn was_moved(&self) -> bool {
        let Some(path) = &self.path else { return false };
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        match (
            fs::metadata(path).map(place),
            self.file.metadata().map(place),
        ) {
            (Ok(named), Ok(open)) => named != open,
            _ => true,
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.file = append(path)?;
            self.torn = false;
        }
        Ok(())
    }

    fn write(&mut self, line: Vec<u8>) -> io::Result<()> {
        if self.was_moved() {
            self.reopen()?;
        }
        self.append(line)
    }

    fn append(&mut self, mut bytes: Vec<u8>) -> io::Result<()> {
        if self.torn {
            bytes.insert(0, b'\n');
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.torn = true;
                    rest = rest.get(written..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.torn = false;
        Ok(())
    }
}

/// As it is, without the buffer of [`io::stdout`]: what that cannot write it would write later.
fn standard_output() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

fn append(path: &Path) -> io::Result<File> {
    // To open a pipe is to wait for its other end.
    if fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        return Err(io::Error::other("it is a pipe"));
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

/// JSON in ASCII alone: nothing that a peer wrote ends a line or moves a terminal's cursor, and
/// nothing of it is lost.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for one in fragment.chars() {
            if matches!(one, ' '..='~') {
                write!(writer, "{one}")?;
            } else {
                for unit in one.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, pin::pin};

    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_file_of_its_owners_alone_is_followed_where_it_is_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = AuditLog::open(&path).unwrap();
        log.write(&"one").await.unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let moved = folder.path().join("audit.jsonl.1");
        fs::rename(&path, &moved).unwrap();
        log.write(&"two").await.unwrap();
        assert_eq!(
            (lines(&moved), lines(&path)),
            (vec!["one".into()], vec!["two".into()])
        );

        fs::remove_file(&path).unwrap();
        log.reopen().unwrap();
        assert!(lines(&path).is_empty());
    }

    /// On the one thread of this runtime, what writes would never come back.
    #[expect(clippy::await_holding_lock, reason = "the lock is the disk that hangs")]
    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_holds_nobody_up_but_who_waits_for_his_line_and_he_gives_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = AuditLog::open(&path).unwrap();
        let disk = log.stream.lock().unwrap();
        let late = log.write(&"one").await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);

        let mut second = pin!(log.write(&"two"));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(disk);
        tokio::time::resume();
        second.await.unwrap();
        assert_eq!(lines(&path), ["one", "two"]);
    }

    #[tokio::test]
    async fn whatever_a_peer_wrote_is_one_line_of_ascii() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = AuditLog::open(&path).unwrap();
        let hostile = "\r\n\u{1b}[2J\u{9b}\u{7f}\u{2028}\u{202e}\"\\\u{1f600}".repeat(100);
        log.write(&hostile).await.unwrap();
        let text = fs::read(&path).unwrap();
        assert!(text.is_ascii());
        assert_eq!(
            text.iter().filter(|byte| byte.is_ascii_control()).count(),
            1
        );
        assert_eq!(lines(&path), [hostile]);
    }

    #[tokio::test]
    async fn a_full_disk_and_a_folder_that_is_gone_are_errors() {
        let full = AuditLog::open("/dev/full").unwrap();
        assert_eq!(
            full.write(&"lost").await.unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs").join("audit.jsonl");
        let error = AuditLog::open(&path).unwrap_err().to_string();
        assert!(error.contains("audit_log_path"), "{error}");
        fs::create_dir(folder.path().join("logs")).unwrap();
        let log = AuditLog::open(&path).unwrap();
        fs::remove_dir_all(folder.path().join("logs")).unwrap();
        let error = log.reopen().unwrap_err().to_string();
        let named = format!("audit_log_path: {}: ", path.display());
        assert!(
            error.contains(&named) && error.contains("No such file"),
            "{error}"
        );
        assert!(log.write(&"lost").await.is_err());
        fs::create_dir(folder.path().join("logs")).unwrap();
        log.write(&"kept").await.unwrap();
        assert_eq!(lines(&path), ["kept"]);
    }
}
