//! The Debian package with the programs under test.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use crate::coco::{binary, root, target_dir};

/// Builds it, with this build number if there is one, by the script that everybody uses.
pub fn package(build: Option<u32>) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(root().join("deploy/debian/package.sh"));
    command.arg("--binaries").arg(binary().parent().expect("a program is in a folder"));
    if let Some(build) = build {
        command.args(["--build-number", &build.to_string()]);
    }
    let output = command.env("CARGO_TARGET_DIR", target_dir()).output().expect("bash starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "package.sh: {}\n{said}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let path = PathBuf::from(text.lines().last().unwrap_or_default());
    assert!(path.is_file(), "package.sh leaves {path:?}\n{said}");
    path
}

/// Unpacks a package below a folder; nothing of it is run.
pub fn unpack(package: &Path, folder: &Path) {
    let status = Command::new("dpkg-deb").arg("--extract").arg(package).arg(folder).status();
    assert!(status.expect("Debian has dpkg-deb").success(), "{package:?} is no package");
}
