//! A real file system with little room: a tmpfs, which only root may mount.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

pub struct SmallDisk(TempDir);

impl SmallDisk {
    pub fn new(size: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(folder.path());
        let mounted = mount.output().unwrap();
        let text = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "tests of a full disk mount one, as root: {text}");
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn url(&self) -> String {
        format!("sqlite:{}", self.path().join("divert.sqlite").display())
    }

    /// Until not one more byte fits.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [4_096, 1] {
            while match file.write(&vec![7; size]) {
                Ok(written) => written > 0,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::StorageFull);
                    false
                }
            } {}
        }
    }

    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there keeps it until it is done.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
