//! Lines of the log on their way to standard error, which may be a pipe that nobody reads.
//!
//! A thread of its own writes them: whoever logs hands a line over and goes on. What comes while
//! too many wait is lost and counted, ordinary lines first. Whoever has a line that must not be
//! lost, as each of the audit is, waits until it is written, for a while.

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt,
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait at most.
const MOST: usize = 4 << 20;
/// Of ordinary lines; the rest is left for those that must not be lost.
const ORDINARY: usize = MOST / 4 * 3;
/// Before a pipe that does not let its writer wait is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// The lines that wait.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    came: Condvar,
    /// How many of those that were handed over are done with.
    done: watch::Sender<u64>,
    lost: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    /// Of these, and of the one that is being written.
    bytes: usize,
    handed_over: u64,
    /// Lost since that was last said.
    unsaid: u64,
}

struct Line {
    bytes: Vec<u8>,
    to_tell: Option<ToTell>,
}

/// Who is to know whether a line was written: he is told by himself, and the others sleep on.
/// Dropped, it tells that the line was lost.
type ToTell = oneshot::Sender<bool>;

thread_local! {
    /// Belongs to the line that must not be lost and that this thread hands over next: `tracing`
    /// calls the writer itself, and passes it nothing but bytes.
    static TO_TELL: Cell<Option<ToTell>> = const { Cell::new(None) };
}

impl Lines {
    pub(super) fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Lines(Arc::new(Shared {
            waiting: Mutex::default(),
            came: Condvar::new(),
            done: watch::Sender::new(0),
            lost: AtomicU64::new(0),
        }));
        let shared = lines.0.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_all(out))?;
        Ok(lines)
    }

    /// How many were lost.
    pub(super) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    pub(super) fn hand_over(&self, line: &[u8], may_be_lost: bool) {
        let to_tell = if may_be_lost { None } else { TO_TELL.take() };
        let mut waiting = self.0.waiting();
        let most = if may_be_lost { ORDINARY } else { MOST };
        if waiting.bytes + line.len() > most {
            waiting.unsaid += 1;
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += line.len();
        waiting.handed_over += 1;
        waiting.lines.push_back(Line {
            bytes: line.to_vec(),
            to_tell,
        });
        drop(waiting);
        self.0.came.notify_one();
    }

    /// Has a line handed over that must not be lost, and returns when it is written, or cannot be, or
    /// was not for so long: then it may still be written later. No line is none that is lost.
    pub(super) async fn surely(
        &self,
        hand_over: impl FnOnce(),
        within: Duration,
    ) -> io::Result<()> {
        let deadline = tokio::time::Instant::now() + within;
        if self.0.is_full() {
            let room = Box::pin(self.0.room());
            // It may find its place all the same.
            let _ = tokio::time::timeout_at(deadline, room).await;
        }
        let (to_tell, written) = oneshot::channel();
        TO_TELL.set(Some(to_tell));
        hand_over();
        if TO_TELL.take().is_some() {
            // A filter kept it.
            return Ok(());
        }
        match tokio::time::timeout_at(deadline, written).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(io::Error::other("standard error does not take it")),
            Ok(Err(_)) => Err(io::Error::other("there is no room for it")),
            Err(_) => {
                let late = format!("standard error does not take it within {within:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, late))
            }
        }
    }

    /// Waits until all that was handed over is written, but not for ever.
    pub(super) fn flush(&self, within: Duration) {
        let all = self.0.waiting().handed_over;
        let begun = Instant::now();
        while *self.0.done.borrow() < all && begun.elapsed() < within {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        self.waiting().bytes > ORDINARY
    }

    async fn room(&self) {
        let mut done = self.done.subscribe();
        // Its own thread never ends.
        while self.is_full() && done.changed().await.is_ok() {}
    }

    fn write_all(&self, mut out: impl Write) {
        loop {
            let mut waiting = self.waiting();
            let line = loop {
                if let Some(line) = waiting.lines.pop_front() {
                    break line;
                }
                let unsaid = std::mem::take(&mut waiting.unsaid);
                if unsaid > 0 {
                    drop(waiting);
                    ::tracing::warn!(
                        lines = unsaid,
                        "lines of the log were lost: standard error was not read as fast as they came",
                    );
                    waiting = self.waiting();
                } else {
                    let came = self.came.wait(waiting);
                    waiting = came.unwrap_or_else(PoisonError::into_inner);
                }
            };
            drop(waiting);
            let is_written = write(&mut out, &line.bytes).is_ok();
            if !is_written {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            self.waiting().bytes -= line.bytes.len();
            self.done.send_modify(|done| *done += 1);
            if let Some(to_tell) = line.to_tell {
                // Who gave it up does not hear of it.
                let _ = to_tell.send(is_written);
            }
        }
    }
}

fn write(out: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match out.write(line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => line = line.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// One line, whole in each write.
pub(super) struct Writer {
    lines: Lines,
    may_be_lost: bool,
}

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.hand_over(line, self.may_be_lost);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Writer;

    fn make_writer(&'a self) -> Writer {
        Writer {
            lines: self.clone(),
            may_be_lost: true,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Writer {
        Writer {
            lines: self.clone(),
            may_be_lost: metadata.target() != super::AUDIT,
        }
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, pipe},
        sync::mpsc,
    };

    use futures_util::future::join_all;

    use super::*;

    /// Takes a line each time it is told to.
    struct Stuck(mpsc::Receiver<()>, mpsc::Sender<Vec<u8>>);

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_lost_and_counted_ordinary_lines_first() {
        let (go, told) = mpsc::channel();
        let (written, read) = mpsc::channel();
        let lines = Lines::to(Stuck(told, written)).unwrap();
        let ordinary = vec![b'x'; ORDINARY / 3];
        for _ in 0..4 {
            lines.hand_over(&ordinary, true);
        }
        assert_eq!(lines.lost(), 1);
        // Whoever has one that must not be lost is told that it is not written.
        let audit = || lines.hand_over(b"audit", false);
        let late = lines.surely(audit, Duration::from_secs(5)).await;
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(lines.lost(), 1);
        lines.hand_over(&vec![b'x'; MOST / 4], false);
        assert_eq!(lines.lost(), 2);

        for _ in 0..4 {
            go.send(()).unwrap();
        }
        let written: Vec<_> = (0..4).map(|_| read.recv().unwrap().len()).collect();
        assert_eq!(written, [ordinary.len(), ordinary.len(), ordinary.len(), 5]);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_line_that_cannot_be_written_is_told() {
        let (read, out) = pipe().unwrap();
        drop(read);
        let lines = Lines::to(out).unwrap();
        let within = Duration::from_secs(60);
        for lost in 1..=2 {
            let audit = || lines.hand_over(b"audit", false);
            let failed = lines.surely(audit, within).await.unwrap_err();
            assert_eq!(failed.kind(), io::ErrorKind::Other, "{failed}");
            assert_eq!(lines.lost(), lost);
        }
        // Nobody wants it: a filter says so.
        lines.surely(|| {}, within).await.unwrap();
        let too_long = || lines.hand_over(&vec![b'x'; MOST + 1], false);
        let failed = lines.surely(too_long, within).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::Other, "{failed}");
        assert_eq!(lines.lost(), 3);
    }

    #[tokio::test]
    async fn whoever_waits_for_his_line_finds_it_written() {
        let (mut reader, writer) = pipe().unwrap();
        let lines = Lines::to(writer).unwrap();
        for number in 0..100 {
            let line = format!("{number:03}\n");
            let hand_over = || lines.hand_over(line.as_bytes(), false);
            lines
                .surely(hand_over, Duration::from_secs(60))
                .await
                .unwrap();
            let mut found = [0; 4];
            reader.read_exact(&mut found).unwrap();
            assert_eq!(found, line.as_bytes());
        }
    }

    #[tokio::test]
    async fn all_who_wait_at_once_find_their_lines_written() {
        let (go, told) = mpsc::channel();
        let (written, read) = mpsc::channel();
        let lines = Lines::to(Stuck(told, written)).unwrap();
        let hand_over = || lines.hand_over(b"line", false);
        let all = (0..50).map(|_| lines.surely(hand_over, Duration::from_secs(60)));
        let all = join_all(all);
        tokio::pin!(all);
        assert!(futures_util::poll!(&mut all).is_pending());
        for _ in 0..49 {
            go.send(()).unwrap();
            read.recv().unwrap();
        }
        assert!(futures_util::poll!(&mut all).is_pending(), "the last one's");
        go.send(()).unwrap();
        for ended in all.await {
            ended.unwrap();
        }
    }
}
