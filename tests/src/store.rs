//! What storage nodes have on disk: collectd's CSV files and RRD files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::process::program;

/// All lines of each series below a csv plugin's DataDir, without the heads, sorted.
///
/// A file is `HOST/PLUGIN/TYPE-YYYY-MM-DD`; over midnight a series has two.
pub fn csv_series(dir: &Path) -> BTreeMap<String, Vec<String>> {
    let mut series = BTreeMap::<String, Vec<String>>::new();
    for name in files(dir) {
        let id = name.get(..name.len().saturating_sub(11)).unwrap_or_default().to_owned();
        let text = fs::read_to_string(dir.join(&name)).unwrap_or_default();
        // A line without its end is being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        series.entry(id).or_default().extend(whole.lines().skip(1).map(str::to_owned));
    }
    series.values_mut().for_each(|lines| lines.sort());
    series
}

/// How many whole lines one series has in CSV files below `dir`, the heads not counted.
pub fn csv_count(dir: &Path, id: &str) -> usize {
    let (folder, kind) = id.rsplit_once('/').expect("an identifier has slashes");
    csv_series(&dir.join(folder)).get(kind).map_or(0, Vec::len)
}

/// The series below an rrdtool plugin's DataDir.
pub fn rrd_series(dir: &Path) -> BTreeSet<String> {
    let rrd = |name: String| name.strip_suffix(".rrd").map(str::to_owned);
    files(dir).into_iter().filter_map(rrd).collect()
}

/// `rrdtool info` of each series below `dir`.
pub fn rrd_infos(dir: &Path, series: &BTreeSet<String>) -> BTreeMap<String, String> {
    ask_rrdtool(dir, series, "info")
}

/// `rrdtool lastupdate` of each series below `dir`: its time and values.
pub fn rrd_last_updates(dir: &Path, series: &BTreeSet<String>) -> BTreeMap<String, String> {
    let answers = ask_rrdtool(dir, series, "lastupdate");
    let last = |text: String| text.lines().last().unwrap_or_default().to_owned();
    answers.into_iter().map(|(id, text)| (id, last(text))).collect()
}

/// One rrdtool process for all files: it answers each command and then says `OK`.
fn ask_rrdtool(dir: &Path, series: &BTreeSet<String>, verb: &str) -> BTreeMap<String, String> {
    let mut commands = String::new();
    for id in series {
        assert!(!id.contains(['"', '\n']), "rrdtool cannot be asked for {id:?}");
        commands += &format!("{verb} \"{}.rrd\"\n", dir.join(id).display());
    }
    let mut child = Command::new(program("rrdtool", "rrdtool"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("rrdtool starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let writer = std::thread::spawn(move || stdin.write_all(commands.as_bytes()));
    let output = child.wait_with_output().expect("the output of a child can be read");
    writer.join().expect("writing does not panic").expect("rrdtool reads its commands");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut answers = Vec::new();
    let mut answer = String::new();
    for line in text.lines() {
        assert!(!line.starts_with("ERROR"), "rrdtool {verb}: {line}");
        if line.starts_with("OK ") {
            answers.push(std::mem::take(&mut answer));
        } else {
            answer += line;
            answer.push('\n');
        }
    }
    assert_eq!(answers.len(), series.len(), "answers of rrdtool {verb}");
    series.iter().cloned().zip(answers).collect()
}

/// The paths of all files below `dir`, relative to it; none if there is no such folder.
pub fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(dir.join(&folder)) else { continue };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if let Ok(path) = path.into_os_string().into_string() {
                found.push(path);
            }
        }
    }
    found
}
