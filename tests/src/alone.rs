//! A router of a few files and the programs that its stages of delivery call, for what seldom goes wrong.

use std::{
    fs,
    os::unix::{fs::symlink, process::ExitStatusExt},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::{
    coco::root,
    process::{Signal, copy_program, folder},
};

/// Nothing else happens to it.
const FOLDER: &str = "a temporary folder takes files and gives them";

/// Answers as the API does, from files. `HERE` is the folder of the test.
pub const CURL: &str = r#"#!/bin/bash
for url; do :; done
case $url in
  */debug/vars) cat HERE/vars ;;
  */debug/history*) echo '{"interval": 0.2}' ;;
  */reload) . HERE/on_reload; cat HERE/etc/coco.toml > HERE/in_force ;;
esac
"#;

/// Notes what it is asked, and answers as the test has it.
const COCO: &str = r#"#!/bin/bash
case "$*" in
  *--bogus*) exit 3 ;;
  *--help*) exit 0 ;;
  check*--against*) exit "$(cat HERE/against)" ;;
  verify*--save*) [[ $* =~ --save\ ([^ ]+) ]]; echo numbers > "${BASH_REMATCH[1]}" ;;
  verify*) echo "$*" >> HERE/asked; . HERE/on_verify ;;
esac
"#;

/// The new process is there when the package is.
const DPKG: &str = r#"#!/bin/bash
for file; do :; done
count=$(($(wc -l < HERE/upgrades) + 1))
echo >> HERE/upgrades
version=$(cat "$file")
. HERE/on_dpkg
echo '{"process": {"pid": 10'$count', "start_time": 5, "upgrades": '$count', "version": "'$version'"},
  "coco": {"process": {"upgrade_failures": 0, "last_reload": 0}}}' > HERE/vars
"#;

/// One router that is this machine, with versions 1.0, which runs, and 2.0. What a test writes to `on_verify`,
/// `on_dpkg` and `on_reload` is read by the program that is called then.
#[derive(Debug)]
pub struct Alone {
    dir: TempDir,
}

impl Alone {
    /// With nothing that goes wrong.
    pub fn prepare() -> Self {
        let alone = Self { dir: folder() };
        for name in ["bin", "etc", "opt/releases/1.0", "opt/releases/2.0"] {
            fs::create_dir_all(alone.path(name)).expect(FOLDER);
        }
        for (name, text) in [("curl", CURL), ("coco", COCO), ("dpkg", DPKG)] {
            alone.program(&format!("bin/{name}"), text);
        }
        for version in ["1.0", "2.0"] {
            alone.program(&format!("opt/releases/{version}/coco"), "#!/bin/sh\n");
            alone.write(&format!("opt/releases/{version}/coco.deb"), version);
        }
        for name in ["asked", "upgrades", "on_verify", "on_dpkg", "on_reload"] {
            alone.write(name, "");
        }
        alone.write("against", "0");
        alone.write("etc/coco.toml", "old");
        alone.write("in_force", "old");
        alone.write("new.toml", "new");
        symlink("releases/1.0", alone.path("opt/current")).expect(FOLDER);
        let install =
            format!("{} {}", alone.text("bin/dpkg"), alone.text("opt/releases/1.0/coco.deb"));
        assert!(
            Command::new("bash").args(["-c", &install]).status().expect("bash starts").success()
        );
        alone
    }

    /// A file of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file, in which `HERE` is the folder.
    pub fn write(&self, name: &str, text: &str) {
        let text = text.replace("HERE", &self.dir.path().display().to_string());
        fs::write(self.path(name), text).expect(FOLDER);
    }

    /// The same of a program.
    pub fn program(&self, name: &str, text: &str) {
        self.write("text", text);
        copy_program(&self.path("text"), &self.path(name));
    }

    /// What a file has.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(FOLDER)
    }

    /// Runs a stage with these variables; how it ended, and what it has said.
    fn run(&self, words: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
        let path = format!("{}:{}", self.text("bin"), std::env::var("PATH").unwrap_or_default());
        let output = Command::new(root().join("deploy/pipeline").join(words[0]))
            .args(&words[1..])
            .current_dir(self.dir.path())
            .env("PATH", path)
            .env("COCO", self.path("bin/coco"))
            .env("COCO_ROUTERS", "router-1")
            .env("COCO_RUN", "")
            .env("COCO_HOME", self.path("opt"))
            .env("COCO_CONFIG", self.path("etc/coco.toml"))
            .env("COCO_VERIFY_SECONDS", "5")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("bash starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        eprintln!("STAGE {words:?} {variables:?} {}\n{said}", output.status);
        (output, said)
    }

    /// Runs a stage with these variables, which ends with this status and says why.
    #[track_caller]
    pub fn stage_with(&self, words: &[&str], variables: &[(&str, &str)], status: i32, why: &str) {
        let (output, said) = self.run(words, variables);
        assert_eq!(output.status.code(), Some(status), "{words:?} {variables:?}: {said}");
        assert!(said.contains(why), "{words:?} {variables:?}: {said}");
        assert!(!self.path("opt/lock").exists(), "{words:?}: it leaves its lock");
    }

    /// The same without any.
    #[track_caller]
    pub fn stage(&self, words: &[&str], status: i32, why: &str) {
        self.stage_with(words, &[], status, why);
    }

    /// Runs a stage that is ended by a signal; the last thing that it says has these words.
    #[track_caller]
    pub fn ends(&self, words: &[&str], why: &[&str]) {
        let (output, said) = self.run(words, &[]);
        assert_eq!(output.status.signal(), Some(Signal::SIGTERM as i32), "{words:?}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(why.iter().all(|why| last.contains(why)), "{words:?}: {said}");
        assert!(!self.path("opt/lock").exists(), "{words:?}: it leaves its lock");
    }

    /// It runs this version, and would be started with it.
    #[track_caller]
    pub fn runs(&self, version: &str) {
        let vars = self.read("vars");
        assert!(vars.contains(&format!("\"version\": \"{version}\"")), "{vars}");
        let current = fs::read_link(self.path("opt/current")).expect(FOLDER);
        assert_eq!(current, PathBuf::from(format!("releases/{version}")));
    }

    /// What is on the router, and what it has read.
    #[track_caller]
    pub fn has_config(&self, text: &str) {
        assert_eq!([self.read("etc/coco.toml"), self.read("in_force")], [text, text]);
    }
}
