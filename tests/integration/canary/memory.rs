//! The memory of another process, by `/proc`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use approzium_peers::{Error, Result};

use super::forms::Needles;

const CHUNK: usize = 1 << 20;
const PAGE: u64 = 4096;

/// A process whose memory may be read.
pub(super) struct Memory {
    process: u32,
    content: File,
}

/// What a search found, and where: the name of a mapping, an address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Finds(pub(super) BTreeMap<String, BTreeSet<String>>);

pub(super) struct Mapping {
    start: u64,
    end: u64,
    /// A path, `[heap]`, `[stack]`, or nothing.
    name: String,
}

impl Memory {
    /// # Errors
    /// [`Error::Missing`] where there is no `/proc`, or where it lets nobody read: as the child's
    /// parent it takes a `kernel.yama.ptrace_scope` of at most 1.
    pub(super) fn of(process: u32) -> Result<Self> {
        match File::open(format!("/proc/{process}/mem")) {
            Ok(content) => Ok(Memory { process, content }),
            Err(error) => Err(Error::Missing(format!(
                "the memory of a process cannot be read on this machine: {error}; see \
                 kernel.yama.ptrace_scope"
            ))),
        }
    }

    /// Searches everything that the process itself can read.
    pub(super) fn search(&self, needles: &Needles) -> Finds {
        let mut finds = BTreeMap::<String, BTreeSet<String>>::new();
        self.each_piece(needles.longest(), |mapping, start, piece| {
            needles.search(piece, |what, at| {
                let place = format!("{} {:#x}", mapping.name, start + at as u64);
                finds.entry(what.to_owned()).or_default().insert(place);
            });
        });
        Finds(finds)
    }

    /// That there is something to read: a heap, stacks, what has no name.
    pub(super) fn assert_is_readable(&self) {
        let mut kinds = BTreeSet::new();
        self.each_piece(0, |mapping, _, _| {
            kinds.insert(mapping.name.clone());
        });
        for kind in ["[heap]", "[stack]", ""] {
            assert!(kinds.contains(kind), "no memory {kind:?}: {kinds:?}");
        }
    }

    /// Calls `visit` with pieces of memory and their addresses. Whatever is as long as `overlap` or
    /// shorter is in one of them as a whole.
    pub(super) fn each_piece(&self, overlap: usize, mut visit: impl FnMut(&Mapping, u64, &[u8])) {
        let mut buffer = vec![0; overlap + CHUNK];
        for mapping in self.mappings() {
            let mut kept = 0;
            let mut at = mapping.start;
            while at < mapping.end {
                let wanted = usize::try_from(mapping.end - at).unwrap().min(CHUNK);
                match self.content.read_at(&mut buffer[kept..kept + wanted], at) {
                    Ok(read) if read > 0 => {
                        let filled = kept + read;
                        visit(&mapping, at - kept as u64, &buffer[..filled]);
                        at += read as u64;
                        kept = overlap.min(filled);
                        buffer.copy_within(filled - kept..filled, 0);
                    }
                    // Beyond the end of a file, or given back meanwhile.
                    _ => {
                        kept = 0;
                        at = (at / PAGE + 1) * PAGE;
                    }
                }
            }
        }
    }

    fn mappings(&self) -> Vec<Mapping> {
        // None of a process that has ended.
        let table = std::fs::read_to_string(format!("/proc/{}/maps", self.process));
        let table = table.unwrap_or_default();
        table.lines().filter_map(Mapping::parse).collect()
    }
}

impl Mapping {
    /// `start-end permissions offset device inode name`, if it can be read.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let readable = fields.next()?.starts_with('r');
        let name = fields.nth(3).unwrap_or_default().to_owned();
        // The kernel's own, the same in every process, which cannot be read from outside.
        let kernels = name.starts_with("[vvar") || name == "[vsyscall]";
        (readable && !kernels).then(|| Mapping {
            start: u64::from_str_radix(start, 16).unwrap(),
            end: u64::from_str_radix(end, 16).unwrap(),
            name,
        })
    }
}

/// Searches over and over, while the process works.
pub(super) struct Watch {
    enough: Arc<AtomicBool>,
    searching: JoinHandle<Vec<Finds>>,
}

impl Watch {
    pub(super) fn over(memory: Arc<Memory>, needles: Arc<Needles>) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        let searching = std::thread::spawn(move || {
            let mut searches = Vec::new();
            while !told.load(Ordering::Relaxed) {
                searches.push(memory.search(&needles));
            }
            searches
        });
        Watch { enough, searching }
    }

    /// What each of the searches found.
    pub(super) fn end(self) -> Vec<Finds> {
        self.enough.store(true, Ordering::Relaxed);
        self.searching.join().expect("the search did not panic")
    }
}
