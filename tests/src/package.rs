//! The Debian package with the programs under test.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use crate::coco::{binary, root, target_dir};

/// Packages that were built, by their build numbers.
static BUILT: Mutex<BTreeMap<Option<u32>, PathBuf>> = Mutex::new(BTreeMap::new());

/// The package with this build number, if there is to be one; built once for all tests of the process, by the
/// script that everybody uses.
pub fn package(build: Option<u32>) -> PathBuf {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(build).or_insert_with(|| run_script(build)).clone()
}

/// The same, built now.
pub fn package_anew(build: Option<u32>) -> PathBuf {
    let _one_at_a_time = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    run_script(build)
}

fn run_script(build: Option<u32>) -> PathBuf {
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
