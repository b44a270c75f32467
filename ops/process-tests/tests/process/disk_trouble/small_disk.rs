//! An ext4 of its own for one node, in an image in memory, behind a loop device.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder in a mount namespace of the tests' own.
const DISKS_DIR: &str = "KV_DISKS_DIR";
const IMAGE_BYTES: u64 = 256 << 20;
/// What fills the disk beside the node, and is removed in the end.
const BALLAST_BYTES: usize = 128 << 20;

/// The mounted file system.
pub(super) struct SmallDisk {
    /// Where the image lies: a file system in memory, with a size of its own.
    store: PathBuf,
    folder: PathBuf,
}

impl SmallDisk {
    /// One that is half full of something that can be removed.
    pub(super) fn with_ballast() -> Self {
        let disk = Self::with_room_for(IMAGE_BYTES * 2);
        fs::write(disk.folder.join("ballast"), vec![1; BALLAST_BYTES]).expect("fits");
        disk
    }

    /// One whose device reports an error when more is written than half of what it says it has.
    pub(super) fn promising_more_than_there_is() -> Self {
        Self::with_room_for(IMAGE_BYTES / 2)
    }

    fn with_room_for(bytes: u64) -> Self {
        let disks = PathBuf::from(std::env::var_os(DISKS_DIR).expect("ops/disk-trouble sets it"));
        let disk = Self {
            store: disks.join("store"),
            folder: disks.join("disk"),
        };
        fs::create_dir_all(&disk.store).expect("makes a folder");
        fs::create_dir_all(&disk.folder).expect("makes a folder");
        let size = format!("size={bytes}");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &size, "store"],
            &[disk.store.as_path()],
        );
        let image = File::create(disk.image()).expect("makes the image");
        image.set_len(IMAGE_BYTES).expect("is sparse");
        run("mkfs.ext4", &["-q", "-m", "0"], &[&disk.image()]);
        disk.mount();
        disk
    }

    fn image(&self) -> PathBuf {
        self.store.join("image")
    }

    fn mount(&self) {
        run("mount", &["-o", "loop"], &[&self.image(), &self.folder]);
    }

    /// Where it is mounted.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes space.
    pub(super) fn free_ballast(&self) {
        fs::remove_file(self.folder.join("ballast")).expect("removes");
        let folder = File::open(&self.folder).expect("opens");
        folder.sync_all().expect("syncs");
    }

    /// Lets every write and flush stand still until the returned guard is dropped.
    pub(super) fn freeze(&self) -> Frozen {
        run("fsfreeze", &["--freeze"], &[&self.folder]);
        Frozen(self.folder.clone())
    }

    /// Has the file system find an error in itself and turn read-only under the node, as most do that are
    /// mounted by default.
    pub(super) fn turn_read_only(&self) {
        run(
            "mount",
            &["-o", "remount,errors=remount-ro"],
            &[&self.folder],
        );
        let device = fs::metadata(&self.folder).expect("is mounted").dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let link = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"));
        let link = link.expect("the device has its place");
        let name = link.file_name().expect("it has a name");
        let trigger = Path::new("/sys/fs/ext4")
            .join(name)
            .join("trigger_fs_error");
        fs::write(trigger, "1").expect("root may do that");
    }

    /// Gives the device what it promised, and repairs the file system on it as an operator would. No
    /// process may use it.
    pub(super) fn mend(&self) {
        run("umount", &[], &[&self.folder]);
        let size = format!("remount,size={}", IMAGE_BYTES * 2);
        run("mount", &["-o", &size], &[&self.store]);
        // 1: errors were corrected.
        let repaired = Command::new("e2fsck")
            .args(["-f", "-y"])
            .arg(self.image())
            .output();
        let repaired = repaired.expect("e2fsck runs");
        assert!(
            repaired.status.code().is_some_and(|code| code <= 1),
            "{repaired:?}"
        );
        self.mount();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A node may still be about to end. What stays mounted goes with the namespace.
        for folder in [&self.folder, &self.store] {
            let unmounted = Command::new("umount").arg("--lazy").arg(folder).status();
            if !unmounted.is_ok_and(|status| status.success()) {
                eprintln!("{} stays mounted", folder.display());
            }
        }
    }
}

/// A file system that stands still for as long as this lives.
pub(super) struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        run("fsfreeze", &["--unfreeze"], &[&self.0]);
    }
}

fn run(program: &str, words: &[&str], paths: &[&Path]) {
    let done = Command::new(program).args(words).args(paths).output();
    let done = done.unwrap_or_else(|error| panic!("{program} does not run: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program}: {said}");
}
