//! Files and folders that belong to another user.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// The user under whom servers run that refuse to be root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) group: u32,
}

impl User {
    /// `None` for anyone but root, who can be only who they are. For root: `postgres`, else `nobody`.
    pub(crate) fn unprivileged() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let find = |name: &str| {
            let mut fields = accounts
                .lines()
                .map(|line| line.split(':'))
                .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
            Some(User {
                id: fields.nth(1)?.parse().ok()?,
                group: fields.next()?.parse().ok()?,
            })
        };
        find("postgres").or_else(|| find("nobody")).or(Some(User {
            id: 65_534,
            group: 65_534,
        }))
    }
}

pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, content).map_err(|error| Error::failed(path.display(), error))
}

pub(crate) fn write_private(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let written = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content.as_ref()));
    written.map_err(|error| Error::failed(path.display(), error))
}

/// How a tree is copied.
#[derive(Clone, Copy)]
pub(crate) enum Copy {
    /// New files, which may be changed.
    Content,
    /// Hard links where the file system allows, for files that nobody changes.
    Links,
}

/// Copies a tree, symbolic links as they are.
pub(crate) fn copy_tree(from: &Path, to: &Path, how: Copy) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&source, &target, how)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if !matches!(how, Copy::Links) || fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Gives a tree to a user.
pub(crate) fn give(path: &Path, user: Option<User>) -> io::Result<()> {
    let Some(User { id, group }) = user else {
        return Ok(());
    };
    chown(path, Some(id), Some(group))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), user)?;
        }
    }
    Ok(())
}

/// A temporary folder that a user owns and nobody else can read.
pub(crate) fn folder_of(user: Option<User>) -> Result<tempfile::TempDir> {
    let make = || {
        let folder = tempfile::Builder::new().prefix("approzium-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
        give(folder.path(), user)?;
        Ok(folder)
    };
    make().map_err(|error: io::Error| Error::failed("a temporary folder", error))
}

/// A program on `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| is_executable(candidate))
}

/// Whether the path is a file that may be run.
pub(crate) fn is_executable(path: &Path) -> bool {
    fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
