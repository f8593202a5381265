//! What takes minutes to build or fetch, once for every clone on the machine.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Error, Result};

/// `$XDG_CACHE_HOME/approzium`, else `~/.cache/approzium`.
pub fn folder() -> Result<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("approzium"))
        .ok_or_else(|| Error::Missing("neither XDG_CACHE_HOME nor HOME names a folder".into()))
}

/// The folder of that name in the cache; made first if it is not there.
///
/// `make` fills an empty folder, which takes its name only when it is complete. One process makes
/// while others wait for it. Names carry the version, so that what is there is never changed.
pub async fn provide(name: &str, make: impl AsyncFnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = folder()?;
    let place = cache.join(name);
    if place.is_dir() {
        return Ok(place);
    }
    let failed = |error: std::io::Error| Error::failed(cache.display(), error);
    fs::create_dir_all(&cache).map_err(failed)?;
    let lock = fs::File::create(cache.join(format!("{name}.lock"))).map_err(failed)?;
    // Not the blocking call: whoever holds the lock may be a task on this very thread.
    while let Err(error) = lock.try_lock() {
        match error {
            fs::TryLockError::WouldBlock => tokio::time::sleep(Duration::from_millis(100)).await,
            fs::TryLockError::Error(error) => return Err(failed(error)),
        }
    }
    if place.is_dir() {
        return Ok(place);
    }
    let draft = tempfile::Builder::new()
        .prefix(&format!("{name}.draft-"))
        .tempdir_in(&cache)
        .map_err(failed)?;
    make(draft.path()).await?;
    let draft = draft.keep();
    fs::rename(&draft, &place).map_err(failed)?;
    Ok(place)
}
