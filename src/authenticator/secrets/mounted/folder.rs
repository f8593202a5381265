//! The folder as a whole: whether there are records in it, and whether they are good.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{Trouble, Unavailable, followed::Readable, place::Place},
    RecordKey, Users, file_name, unavailable,
};
use crate::{error::printable, stamp::Stamp};

/// Files that readiness finds bad before it looks no further.
const MAX_BAD: usize = 16;

/// Where the files are mounted.
#[derive(Clone)]
pub(super) struct Folder(pub(super) Arc<Path>);

impl Folder {
    pub(super) fn of(path: PathBuf) -> Self {
        Folder(path.into())
    }

    pub(super) fn there(&self) -> Result<(), Unavailable> {
        let problem = match fs::metadata(&self.0) {
            Ok(metadata) if metadata.is_dir() => return Ok(()),
            Ok(_) => "it is not a folder".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(unavailable(Trouble::Unreachable, &self.0, &problem))
    }

    /// Whether anybody can be let in: some database's file holds a record. What is wrong with others
    /// is no reason to let nobody in.
    fn holds_records(&self) -> Result<(), Unavailable> {
        self.there()?;
        let (mut first, mut bad) = (None, 0);
        for name in self.names()? {
            let Some(place) = named(&self.name(name)?) else {
                continue;
            };
            match self.records(place) {
                Ok(()) => return Ok(()),
                Err(problem) => {
                    first.get_or_insert(problem);
                    bad += 1;
                }
            }
            if bad == MAX_BAD {
                break;
            }
        }
        Err(first.unwrap_or_else(|| self.empty()))
    }

    /// Of every file, and which are no database's by their names.
    pub(super) fn all(&self) -> Result<String, Unavailable> {
        self.there()?;
        let names = self.names()?.map(|name| self.name(name));
        let mut names = names.collect::<Result<Vec<_>, _>>()?;
        names.sort();
        let (mut good, mut bad, mut others) = (0_usize, Vec::new(), Vec::new());
        for name in names.iter().filter(|name| !name.starts_with('.')) {
            match named(name).map(|place| self.records(place)) {
                Some(Ok(())) => good += 1,
                Some(Err(problem)) => bad.push(problem),
                None => others.push(printable(name)),
            }
        }
        if let Some(first) = bad.first() {
            let also = match bad.len() {
                1 => String::new(),
                all => format!(" (and {} more)", all - 1),
            };
            return Err(Unavailable::new(first.trouble, format!("{first}{also}")));
        }
        if good == 0 {
            return Err(self.empty());
        }
        let mut said = format!("files of databases that can be read: {good}");
        if !others.is_empty() {
            others.truncate(3);
            said += &format!("; no database's by their names: {}", others.join(", "));
        }
        Ok(said)
    }

    fn records(&self, place: Place) -> Result<(), Unavailable> {
        let folder = self.clone();
        let users = Users { folder, place };
        if users.read()?.1.is_empty() {
            let problem = "it names no user";
            return Err(unavailable(Trouble::Malformed, &users.path(), &problem));
        }
        Ok(())
    }

    fn names(&self) -> Result<fs::ReadDir, Unavailable> {
        fs::read_dir(&self.0).map_err(|error| self.unreadable(&error))
    }

    fn name(&self, entry: io::Result<fs::DirEntry>) -> Result<String, Unavailable> {
        let entry = entry.map_err(|error| self.unreadable(&error))?;
        Ok(entry.file_name().to_string_lossy().into_owned())
    }

    fn unreadable(&self, error: &io::Error) -> Unavailable {
        unavailable(Trouble::Unreachable, &self.0, error)
    }

    fn empty(&self) -> Unavailable {
        let problem = "it holds no database's file, such as db.internal_5432: mount the Secret here, \
                       or name its keys so";
        unavailable(Trouble::Unreachable, &self.0, &problem)
    }
}

impl Readable for Folder {
    type Content = ();

    fn path(&self) -> PathBuf {
        self.0.to_path_buf()
    }

    fn is_as(&self, _: &Stamp) -> Result<bool, Unavailable> {
        Ok(false)
    }

    fn read(&self) -> Result<(Stamp, ()), Unavailable> {
        self.holds_records().map(|()| (Stamp::never(), ()))
    }
}

/// The database whose file is called so.
fn named(name: &str) -> Option<Place> {
    let (host, port) = name.rsplit_once('_')?;
    let host = match host.strip_prefix("IPV6-") {
        Some(address) => address.replace('-', ":"),
        None => host.to_owned(),
    };
    let place = Place::of(&RecordKey::new(&host, port.parse().ok()?, ""))?;
    // No login would find a name with capitals, or a port with a zero before it.
    (file_name(&place) == name).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_database_s_if_a_login_would_look_for_it() {
        for name in ["db.internal_5432", "my_db_5432", "IPV6-2001-db8--7_5432"] {
            assert_eq!(file_name(&named(name).unwrap()), name);
        }
        for name in [
            "..data",
            "..2026_01",
            "ca.crt",
            "db:5432",
            "DB_5432",
            "db_05432",
            "db_65536",
            "_5432",
            "db_",
            "IPV6-x_5432",
        ] {
            assert!(named(name).is_none(), "{name}");
        }
    }
}
