//! The Debian package with the programs under test.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use crate::{
    coco::{binary, faulty_binary, root, target_dir},
    process::folder,
};

/// Packages that were built, by their build numbers.
static BUILT: Mutex<BTreeMap<Option<u32>, PathBuf>> = Mutex::new(BTreeMap::new());

/// All that is packed.
const PROGRAMS: [&str; 3] = ["coco", "anomalous_coco_errors", "anomalous_coco_send"];

/// The package with this build number, if there is to be one; built once for all tests of the process, by the
/// script that everybody uses.
pub fn package(build: Option<u32>) -> PathBuf {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(build).or_insert_with(|| run_script(build, programs())).clone()
}

/// The package of the build for tests, which calls itself another version: with a build number that no other one has.
pub fn faulty_package(build: u32) -> PathBuf {
    let folder = folder();
    for name in PROGRAMS {
        let file = if name == "coco" { faulty_binary().to_owned() } else { programs().join(name) };
        let file = fs::canonicalize(file).expect("./test builds it");
        symlink(file, folder.path().join(name)).expect("a new folder takes a link");
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(Some(build)).or_insert_with(|| run_script(Some(build), folder.path())).clone()
}

/// The same, built now.
pub fn package_anew(build: Option<u32>) -> PathBuf {
    let _one_at_a_time = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    run_script(build, programs())
}

/// Where those under test are.
fn programs() -> &'static Path {
    binary().parent().expect("a program is in a folder")
}

fn run_script(build: Option<u32>, programs: &Path) -> PathBuf {
    let mut command = Command::new(root().join("deploy/debian/package.sh"));
    command.arg("--binaries").arg(programs);
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
