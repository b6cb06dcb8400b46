//! The image, built by hand as its file says, for no container engine may be here: the linter takes the file, and
//! what the last stage copies is a root file system on which Coco runs, read-only and as the stated user.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::Command,
};

use coco_tests::{
    coco::{self, Coco, root},
    process::{folder, program},
    sink::LineSink,
    tools::{output_of, venv},
    wait::{SOON, wait_until},
};

/// An instruction and its words, over continued lines.
type Instruction = (String, Vec<String>);

/// The instructions of each stage.
fn stages() -> Vec<Vec<Instruction>> {
    let text = fs::read_to_string(root().join("deploy/container/Containerfile")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut stages: Vec<Vec<Instruction>> = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace().map(str::to_owned);
        let name = words.next().unwrap();
        if name == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().unwrap().push((name, words.collect()));
    }
    stages
}

/// The words of the one instruction of this name.
#[track_caller]
fn only<'a>(stage: &'a [Instruction], name: &str) -> &'a [String] {
    let mut found = stage.iter().filter(|(own, _)| own == name);
    let (_, words) = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "more than one {name}");
    words
}

/// Lays what the last stage copies below `image`, out of what the stage before it has made.
fn build(image: &Path) {
    let [build, last] = &stages()[..] else { panic!("two stages") };
    // The program under test is the one that the stage would compile.
    let lay = build.iter().find(|(name, words)| name == "RUN" && words[0] == "sh");
    let [_, script, made, compiled] = &lay.unwrap().1[..] else { panic!("{lay:?}") };
    assert_eq!(compiled, "target/release/coco");
    let copied = [format!("deploy/container/{script}"), script.clone()];
    assert!(build.contains(&("COPY".to_owned(), copied.to_vec())), "{script} is not there");
    let dir = folder();
    let files = dir.path().join(made.strip_prefix('/').unwrap());
    let mut command = Command::new("sh");
    command.arg(root().join(&copied[0])).args([&files, coco::binary()]);
    output_of(&mut command);
    for (_, words) in last.iter().filter(|(name, _)| name == "COPY") {
        let (options, paths): (Vec<_>, Vec<_>) =
            words.iter().partition(|word| word.starts_with("--"));
        let [from, to] = paths[..] else { panic!("{words:?}") };
        assert!(options.contains(&&"--from=build".to_owned()), "{words:?}");
        let from = dir.path().join(from.strip_prefix('/').unwrap());
        let to = image.join(to.strip_prefix('/').unwrap());
        output_of(Command::new("cp").arg("-rT").args([&from, &to]));
        let owner = options.iter().find_map(|option| option.strip_prefix("--chown="));
        if let Some((user, group)) = owner.and_then(|owner| owner.split_once(':')) {
            chown(&to, user.parse().ok(), group.parse().ok()).unwrap();
        }
    }
}

#[test]
fn the_linters_take_the_files() {
    let file = root().join("deploy/container/Containerfile");
    let mut command = Command::new(venv("hadolint"));
    let found = output_of(command.args(["--failure-threshold", "style"]).arg(file));
    assert_eq!(found, "");
    let script = root().join("deploy/container/rootfs.sh");
    output_of(Command::new(program("shellcheck", "shellcheck")).arg(script));
}

#[test]
fn the_last_stage_is_nothing_but_coco_and_its_user_is_that_of_the_chart() {
    let stages = stages();
    let last = stages.last().unwrap();
    assert_eq!(only(last, "FROM"), ["scratch"]);
    assert_eq!(only(last, "STOPSIGNAL"), ["SIGTERM"]);
    assert_eq!(only(last, "ENTRYPOINT"), ["[\"/usr/bin/coco\"]"]);
    assert_eq!(only(last, "CMD"), ["[\"/etc/coco/coco.toml\"]"]);
    let pods = fs::read_to_string(root().join("deploy/kubernetes/coco.yaml")).unwrap();
    let [user] = only(last, "USER") else { panic!("one user") };
    let (user, group) = user.split_once(':').unwrap();
    for line in [format!("runAsUser: {user}\n"), format!("runAsGroup: {group}\n")] {
        assert!(pods.contains(&line), "no {line}");
    }
    for port in only(last, "EXPOSE") {
        let (number, protocol) = port.split_once('/').unwrap();
        let named = format!("protocol: {}, containerPort: {number}", protocol.to_uppercase());
        assert!(pods.contains(&named), "the pod has no {port}");
    }
    let dir = folder();
    build(dir.path());
    let programs = fs::read_dir(dir.path().join("usr/bin")).unwrap();
    let programs: Vec<_> = programs.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(programs, ["coco"]);
}

/// What an engine does before it starts the first process: the root read-only, and mounted in it the kernel's files,
/// the names of hosts, the configuration and a volume. Its arguments are the root, user:group, the volume, hosts, and
/// what is run; the last of it is the configuration.
const ENGINE: &str = r#"
set -e
image=$1 user=$2 volume=$3 hosts=$4; shift 4
for config; do :; done
mount --bind "$image" "$image"
touch "$image/etc/hosts" "$image/etc/coco/coco.toml"
mkdir -p "$image/proc"
mount -o remount,bind,ro "$image"
mount --rbind /proc "$image/proc"
mount --bind "$hosts" "$image/etc/hosts"
if [ -f "$config" ]; then
  mount --bind "$config" "$image/etc/coco/coco.toml"
  if [ $# = 2 ]; then set -- "$1" /etc/coco/coco.toml; else set -- "$1" "$2" /etc/coco/coco.toml; fi
fi
mount --bind "$volume" "$image/var/lib/coco"
exec chroot --userspec="$user" "$image" "$@"
"#;

#[test]
fn coco_runs_in_the_image_read_only_as_its_user() {
    let (sink, image, volume) = (LineSink::start(), folder(), folder());
    build(image.path());
    for dir in [&image, &volume] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }
    // An engine makes a volume as the folder in the image is.
    output_of(
        Command::new("chown")
            .arg(format!("--reference={}/var/lib/coco", image.path().display()))
            .arg(volume.path()),
    );
    let hosts = volume.path().with_extension("hosts");
    fs::write(&hosts, "127.0.0.1 store-0.store\n").unwrap();
    let stages = stages();
    let last = stages.last().unwrap();
    let user = &only(last, "USER")[0];
    let entry = only(last, "ENTRYPOINT")[0].trim_matches(['[', ']', '"']).to_owned();
    let unshare = program("unshare", "util-linux");
    let in_image = |command: &mut Command| {
        command.args(["--mount", "sh", "-c", ENGINE, "sh"]).arg(image.path()).arg(user);
        command.arg(volume.path()).arg(&hosts).arg(&entry);
    };
    let mut version = Command::new(&unshare);
    in_image(&mut version);
    let said = output_of(version.arg("--version"));
    assert!(said.starts_with("coco 2."), "{said}");
    let config = format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[tiers.a]\nprotocol = \"graphite\"\n\
         targets = [{{ id = \"store-0\", address = \"store-0.store:{}\" }}]\n\
         [spool]\ndirectory = \"/var/lib/coco/spool\"\n",
        sink.address().port()
    );
    let file = volume.path().join("coco.toml");
    fs::write(&file, &config).unwrap();
    let mut check = Command::new(&unshare);
    in_image(&mut check);
    let said = output_of(check.arg("check").arg(&file));
    assert!(said.contains("/etc/coco/coco.toml: good"), "{said}");
    let coco = Coco::start_as(&config, &unshare, in_image);
    let status = fs::read_to_string(format!("/proc/{}/status", coco.id())).unwrap();
    let ids = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    assert!(ids.split_whitespace().skip(1).all(|id| user.starts_with(id)), "{ids}");
    assert_eq!(coco.get("/readyz").status, 200);
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(b"a.b 1 1700000000\n").unwrap();
    wait_until("the line, by the name of the target", SOON, || sink.count() == 1);
    assert!(volume.path().join("spool").is_dir(), "no spool in the volume");
    coco.stop();
    fs::remove_file(hosts).unwrap();
}
