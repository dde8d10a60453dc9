//! Rows that wait for the store, on disk as well, so that a process which is killed meanwhile costs
//! none of them.
//!
//! One file for each node and database, a row a line, the oldest first. The next process of the node
//! reads it back before it reads anything else from the store. To write a row again changes nothing,
//! so it does not matter how far the last process has got; a line that was torn is the last, and was
//! never promised.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use tracing::{error, info, warn};
use url::Url;

use super::writer::{BATCH, coalesce, store};
use crate::config::{Config, DatabaseUrl};
use crate::store::{Db, Record, StoreError};

/// How long the file may become; from three quarters of it on, the details of calls are left out.
const MOST: u64 = 256 << 20;
/// Where it is for a database that is no file, unless the settings name another directory.
const FOLDER: &str = "/var/lib/divert";

/// Where the lines go. Both may take for ever.
trait Disk: std::fmt::Debug + Send + Sync {
    /// All of it or, when there is no room, nothing.
    fn add(&self, at: u64, text: &[u8]) -> io::Result<()>;
    fn empty(&self) -> io::Result<()>;
}

impl Disk for File {
    fn add(&self, at: u64, text: &[u8]) -> io::Result<()> {
        let added = self.write_all_at(text, at).and_then(|()| self.sync_data());
        if added.is_err() {
            let _ = self.set_len(at);
        }
        added
    }

    fn empty(&self) -> io::Result<()> {
        self.set_len(0)
    }
}

/// The file, which nobody else has while we have it.
#[derive(Debug)]
pub struct Spool {
    /// Nothing is read from it but what an earlier process left.
    file: Arc<File>,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Up to the end of the last whole line.
    len: u64,
    /// Lines that were added since it was empty.
    rows: u64,
    most: u64,
}

impl Spool {
    /// The file of this node and its database; `None`, and a warning, where the directory that is
    /// taken by default cannot be used.
    ///
    /// # Errors
    /// The directory that the settings name cannot be used.
    pub fn of(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some((folder, database)) = place(&config.database) else {
            return Ok(None);
        };
        let folder = config.spool.clone().unwrap_or(folder);
        let start = format!("{}-", config.node.name);
        let path = folder.join(format!("{start}{}.spool", short_hash(&database)));
        match Self::open(path, MOST) {
            Ok(spool) => {
                spool.tell_of_others(&folder, &start);
                Ok(Some(spool))
            }
            Err(error) if config.spool.is_some() => {
                bail!("`spool`: {error:#}; name a directory that divert may write")
            }
            Err(error) => {
                warn!("rows that wait for the database will wait in memory only: {error:#}");
                Ok(None)
            }
        }
    }

    /// Opens or makes the file, at most `most` bytes long, for us alone.
    ///
    /// # Errors
    /// It cannot be opened, or another process has it.
    pub fn open(path: PathBuf, most: u64) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).with_context(|| path.display().to_string())?;
        if file.try_lock().is_err() {
            bail!("{} is in use by another divert", path.display());
        }
        let len = file.metadata().with_context(|| path.display().to_string())?.len();
        let file = Arc::new(file);
        let disk = Arc::clone(&file) as Arc<dyn Disk>;
        Ok(Self { file, disk, path, len, rows: 0, most })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many rows were added since it was empty.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds rows, as far as there is room for them. Slots are left out: what holds one is seen in
    /// Asterisk; and signs of life, which say nothing later.
    ///
    /// # Errors
    /// Nothing was added.
    pub fn append(&mut self, rows: &[Record]) -> io::Result<()> {
        let (mut text, mut added) = (Vec::new(), 0);
        for row in rows {
            if matches!(
                row,
                Record::Alive { .. } | Record::SlotReleased { .. } | Record::SlotTaken(_)
            ) {
                continue;
            }
            let room = if row.is_detail() { self.most / 4 * 3 } else { self.most };
            let before = text.len();
            serde_json::to_writer(&mut text, row)?;
            text.push(b'\n');
            if self.len + text.len() as u64 > room {
                text.truncate(before);
            } else {
                added += 1;
            }
        }
        self.disk.add(self.len, &text)?;
        self.len += text.len() as u64;
        self.rows += added;
        Ok(())
    }

    /// All its rows are in the store.
    pub fn clear(&mut self) {
        if self.len > 0
            && let Err(error) = self.disk.empty()
        {
            // They will be written once more, which changes nothing.
            warn!(%error, "{} could not be emptied", self.path.display());
        }
        (self.len, self.rows) = (0, 0);
    }

    /// Writes what an earlier process left to the store.
    ///
    /// # Errors
    /// The store is away: nothing is forgotten, and it may be tried again.
    pub async fn replay(&mut self, db: &Db, node: &str) -> Result<(), ReplayError> {
        if self.len == 0 {
            return Ok(());
        }
        (&*self.file).rewind()?;
        let mut lines = BufReader::new(&*self.file);
        let (mut batch, mut line, mut count) = (Vec::new(), Vec::new(), 0);
        let mut refused = Vec::new();
        loop {
            line.clear();
            // Bytes, because a line may be torn in the middle of a character.
            let is_over = lines.read_until(b'\n', &mut line)? == 0 || !line.ends_with(b"\n");
            if !is_over {
                count += 1;
                match serde_json::from_slice(&line) {
                    Ok(row) => batch.push(row),
                    Err(error) => {
                        let text = String::from_utf8_lossy(line.trim_ascii_end());
                        refused.push((text.into_owned(), error.to_string()));
                    }
                }
            }
            if batch.len() == BATCH || (is_over && !batch.is_empty()) {
                coalesce(&mut batch);
                for (row, error) in store(db, node, &batch).await? {
                    refused.push((serde_json::to_string(&row)?, error.to_string()));
                }
                batch.clear();
            }
            if is_over {
                break;
            }
        }
        // Only now: each further try would find them again.
        for (row, why) in refused {
            self.set_aside(&row, &why);
        }
        info!(rows = count, "rows that had waited in {} are in the store", self.path.display());
        self.clear();
        Ok(())
    }

    /// Keeps a row that the store refuses where a person may look at it.
    pub fn set_aside(&self, row: &str, why: &str) {
        let path = self.path.with_extension("refused");
        let added = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{row}\n").as_bytes()));
        match added {
            Ok(()) => error!("a row was refused ({why}); it is kept in {}", path.display()),
            Err(error) => error!("a row was refused ({why}) and is lost ({error}): {row}"),
        }
    }

    /// Rows of another database, perhaps of this one under another name: nobody writes them.
    fn tell_of_others(&self, folder: &Path, start: &str) {
        for found in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, name) = (found.path(), found.file_name());
            let is_spool = path.extension().is_some_and(|end| end == "spool")
                && name.to_string_lossy().starts_with(start);
            if is_spool && path != self.path && found.metadata().is_ok_and(|meta| meta.len() > 0) {
                warn!(
                    "rows for another database wait in {}: start divert on that one, or rename \
                     the file to {}",
                    path.display(),
                    self.path.display()
                );
            }
        }
    }
}

/// Why what an earlier process left is not in the store.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("reading the rows that waited: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Write(#[from] serde_json::Error),
}

/// The directory beside a database, and what tells it from others on this machine; `None` for one
/// that ends with the process anyway.
fn place(url: &DatabaseUrl) -> Option<(PathBuf, String)> {
    let Some(path) = url.sqlite_path() else {
        let url = Url::parse(url.expose()).ok()?;
        let (host, port) = (url.host_str().unwrap_or_default(), url.port().unwrap_or(5432));
        return Some((FOLDER.into(), format!("{host}:{port}{}", url.path())));
    };
    if path == Path::new(":memory:") {
        return None;
    }
    let path = std::path::absolute(path).ok()?;
    Some((path.parent()?.to_owned(), path.display().to_string()))
}

fn short_hash(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(4).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// A disk that lets nothing through until it is told to.
    #[derive(Debug)]
    pub struct Hanging {
        file: Arc<File>,
        hangs: Mutex<bool>,
        changed: Condvar,
    }

    impl Hanging {
        /// The spool of such a disk.
        pub fn spool(path: PathBuf) -> (Spool, Arc<Self>) {
            let mut spool = Spool::open(path, MOST).unwrap();
            let (file, changed) = (Arc::clone(&spool.file), Condvar::new());
            let disk = Arc::new(Self { file, hangs: Mutex::new(true), changed });
            spool.disk = Arc::clone(&disk) as Arc<dyn Disk>;
            (spool, disk)
        }

        pub fn hang(&self, hangs: bool) {
            *self.hangs.lock().unwrap() = hangs;
            self.changed.notify_all();
        }

        fn wait(&self) {
            let hangs = self.hangs.lock().unwrap();
            drop(self.changed.wait_while(hangs, |hangs| *hangs).unwrap());
        }
    }

    impl Disk for Hanging {
        fn add(&self, at: u64, text: &[u8]) -> io::Result<()> {
            self.wait();
            self.file.add(at, text)
        }

        fn empty(&self) -> io::Result<()> {
            self.wait();
            self.file.empty()
        }
    }
}
