//! File systems in image files. All mounts are the calling namespace's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files take what is written, not this.
const IMAGE_BYTES: u64 = 1 << 30;
const COPY_TRIES: usize = 200;

/// A mounted image. Unmounted when the value goes.
#[derive(Debug)]
pub(crate) struct Mounted {
    image: PathBuf,
    mount_point: PathBuf,
    /// The counters of its block device.
    counters: PathBuf,
}

/// Makes an empty file system in `image`.
pub(crate) fn create(image: &Path) {
    let file = fs::File::create(image).expect("the image is created");
    file.set_len(IMAGE_BYTES)
        .expect("the image gets its length");
    // Nothing that the file system would do by itself later.
    let nothing_later = "lazy_itable_init=0,lazy_journal_init=0";
    run(Command::new("mkfs.ext4")
        .args(["-q", "-F", "-E", nothing_later])
        .arg(image));
}

impl Mounted {
    /// Mounts `image` at `mount_point`, as after a start of the machine.
    pub(crate) fn mount(image: &Path, mount_point: &Path) -> Self {
        fs::create_dir_all(mount_point).expect("the mount point is made");
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(image)
            .arg(mount_point));
        let mut find = Command::new("findmnt");
        let device = run(find.args(["-n", "-o", "SOURCE"]).arg(mount_point));
        let name = device.trim().trim_start_matches("/dev/").to_owned();
        Self {
            image: image.to_owned(),
            mount_point: mount_point.to_owned(),
            counters: Path::new("/sys/block").join(name).join("stat"),
        }
    }

    /// Copies the image as it is at this moment, without what the system holds in memory. What the
    /// system writes by itself during a copy would mix two moments, so the copy is repeated until
    /// nothing was written meanwhile.
    pub(crate) fn cut(&self, copy: &Path) {
        for _ in 0..COPY_TRIES {
            let before = self.writes();
            run(Command::new("cp")
                .arg("--sparse=always")
                .arg(&self.image)
                .arg(copy));
            if self.writes() == before {
                return;
            }
        }
        panic!("the system does not stop writing to the image");
    }

    /// What was ever written to the device, and what is under way.
    fn writes(&self) -> (Vec<u64>, u64) {
        let text = fs::read_to_string(&self.counters).expect("the device has counters");
        let counters: Vec<u64> = text
            .split_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        // Writes and sectors written; requests under way.
        (counters[4..7].to_vec(), counters[8])
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut command = Command::new("umount");
        let status = command.arg(&self.mount_point).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.mount_point.display());
        }
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
