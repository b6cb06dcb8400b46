use std::{fs, io::Write, net::TcpStream, process::Command, time::Duration};

use coco_tests::{
    coco::{self, root},
    flood::Flood,
    http,
    marks::Marks,
    package::{package, package_anew, unpack},
    process::{folder, program},
    service::{API, LINES, LISTS, Service},
    wait::{SOON, wait_for, wait_until},
};

const SAMPLES_MAX: usize = 10_000_000;

fn config(lines: &Marks, lists: &Marks) -> String {
    format!(
        "[listen]\nbind = \"{LISTS}\"\n[graphite]\nbind = \"{LINES}\"\n\
         [spool]\ndirectory = \"/var/lib/coco/spool\"\n\
         [tiers.lists]\n{}[tiers.lines]\nprotocol = \"graphite\"\n{}",
        lists.as_targets(),
        lines.as_targets()
    )
}

#[test]
fn the_package_installs_starts_reloads_upgrades_and_purges() {
    let [first, second] = [1, 2].map(|build| package(Some(build)));
    let site = Service::new(&[("first", &first), ("second", &second)]);
    installed_and_started(&site);
    let (lines, lists) =
        site.machine.inside(|| (Marks::of_lines(2, SAMPLES_MAX), Marks::of_lists(2, SAMPLES_MAX)));
    let config = config(&lines, &lists);
    reloaded(&site, &config);
    upgraded_under_load(&site, &lines, &lists);
    let journal = site.journal();
    // The targets of the test are on its own machine.
    let mut words = journal.lines().filter(|line| !line.contains("may loop back into coco"));
    let complaint = words.find(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    assert_eq!(complaint, None, "{journal}");
    let whole = site.machine.succeed(&["journalctl", "--no-pager", "-o", "cat"]);
    assert!(!whole.contains("reception only permitted"), "{whole}");
    a_program_that_does_not_start_changes_nothing(&site);
    upgraded_where_it_cannot_hand_over(&site, &config);
    the_journal_has_the_level_of_each_line(&site);
    started_again_when_it_dies_or_hangs(&site);
    removed_and_purged(&site, &config);
    started_by_its_sockets(&site);
}

fn installed_and_started(site: &Service) {
    let machine = &site.machine;
    site.install("first");
    site.wait_until_ready();
    assert_eq!(site.show("ActiveState"), "active");
    assert_eq!(site.show("NRestarts"), "0");
    assert_eq!(machine.succeed(&["systemctl", "is-enabled", "coco"]), "enabled");
    machine.succeed(&["coco", "check", "/etc/coco/coco.toml"]);
    machine.succeed(&["systemd-analyze", "verify", "coco.service", "coco.socket"]);
    let owner = machine.succeed(&["stat", "-c", "%U %a", "/var/lib/coco", "/var/lib/coco/spool"]);
    assert_eq!(owner, "coco 750\ncoco 700");
    let user = machine.succeed(&["ps", "-o", "user=", "-p", &site.main().to_string()]);
    assert_eq!(user, "coco");
    // The checks are there for Nagios; of a process so young nothing can be said yet.
    for check in ["errors", "send"] {
        let output = machine.run(&[&format!("/usr/lib/nagios/plugins/check_coco_{check}")]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
    }
    let [check, verify]: [&[&str]; 2] =
        [&["/usr/lib/nagios/plugins/check_coco", "--help"], &["coco", "verify", "--help"]];
    let [check, verify] = [check, verify].map(|words| machine.run(words));
    assert_eq!((check.status, check.stdout), (verify.status, verify.stdout));
}

fn reloaded(site: &Service, config: &str) {
    let main = site.main();
    site.configure("nonsense\n");
    let output = site.machine.run(&["systemctl", "reload", "coco"]);
    assert!(!output.status.success(), "a faulty file is taken");
    site.wait_for_journal("key with no value");
    site.configure(config);
    site.machine.succeed(&["systemctl", "reload", "coco"]);
    wait_for("the new tiers", SOON, || {
        let tiers = site.get("/tiers")?.body;
        if tiers.contains("\"lines\"") { Ok(()) } else { Err(tiers) }
    });
    wait_until("the reload to be over", SOON, || site.show("ActiveState") == "active");
    assert_eq!((site.main(), site.show("NRestarts").as_str()), (main, "0"));
}

fn upgraded_under_load(site: &Service, lines: &Marks, lists: &Marks) {
    let before = site.main();
    let flood = Flood { lines: (LINES, lines), lists: (LISTS, lists) };
    let sent = site.machine.inside(|| {
        flood.during(|| {
            flood.wait_for_flow();
            site.install("second");
            flood.wait_for_flow();
        })
    });
    assert_ne!(site.main(), before, "the new program runs");
    assert_eq!(site.show("NRestarts"), "0", "by no restart");
    flood.wait_for_all(sent);
    flood.assert_once_each(sent);
    for ledger in site.handed_over(1).into_iter().chain([site.ledger()]) {
        ledger.assert_balanced();
        let lost = (ledger.held(), ledger.shed_in_all(), ledger.kernel_dropped());
        assert_eq!(lost, (0, 0, 0), "{ledger}");
    }
    eprintln!("FIGURE {} lines and {} datagrams over the upgrade of the package", sent.0, sent.1);
}

fn a_program_that_does_not_start_changes_nothing(site: &Service) {
    let (machine, main) = (&site.machine, site.main());
    machine.succeed(&["mv", "/usr/bin/coco", "/usr/bin/coco.good"]);
    machine.succeed(&["ln", "-s", "/bin/false", "/usr/bin/coco"]);
    let output = machine.run(&["/usr/lib/coco/hand-over"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("upgrade failed (1)") && said.contains("exit status: 1"), "{said}");
    machine.succeed(&["mv", "-f", "/usr/bin/coco.good", "/usr/bin/coco"]);
    assert_eq!((site.main(), site.show("NRestarts").as_str()), (main, "0"));
    machine.succeed(&["/usr/lib/coco/hand-over"]);
    assert_ne!(site.main(), main);
}

/// Not at all with a faulty configuration, which no new process would start with, or if none gets ready; by a restart
/// if the program is gone.
fn upgraded_where_it_cannot_hand_over(site: &Service, config: &str) {
    let (machine, main) = (&site.machine, site.main());
    site.configure("nonsense\n");
    site.install("second");
    assert_eq!(site.main(), main);
    site.configure(config);
    let unit = "/run/systemd/system/coco.service.d";
    machine.succeed(&["mkdir", "-p", unit]);
    machine.succeed(&["cp", "/usr/bin/coco", "/usr/bin/coco.old"]);
    let start = "[Service]\nExecStart=\nExecStart=/usr/bin/coco.old /etc/coco/coco.toml\n";
    fs::write(machine.path(unit).join("old.conf"), start).unwrap();
    machine.succeed(&["systemctl", "daemon-reload"]);
    machine.succeed(&["systemctl", "restart", "coco"]);
    let main = site.main();
    // A program that does not get ready is no reason to end the one that runs.
    machine.succeed(&["ln", "-sf", "/bin/false", "/usr/bin/coco.old"]);
    site.install("second");
    assert_eq!(site.main(), main);
    // One that is gone cannot start itself anew.
    machine.succeed(&["rm", "-r", unit, "/usr/bin/coco.old"]);
    site.install("second");
    site.wait_until_ready();
    assert_ne!(site.main(), main);
    site.wait_for_journal("cannot start /usr/bin/coco.old");
}

fn the_journal_has_the_level_of_each_line(site: &Service) {
    let of = |priority: &str| {
        let words = ["journalctl", "--no-pager", "-o", "cat", "-u", "coco", "--priority", priority];
        site.machine.succeed(&words)
    };
    let (warnings, rest) = (of("warning"), of("notice..debug"));
    assert!(warnings.contains("Z  WARN ") && !warnings.contains("Z  INFO "), "{warnings}");
    assert!(rest.contains("Z  INFO ") && !rest.contains("Z  WARN "), "{rest}");
}

/// Also one that systemd did not start itself.
fn started_again_when_it_dies_or_hangs(site: &Service) {
    // The watchdog asks for a word each ten seconds.
    for (signal, limit) in [("KILL", SOON), ("STOP", Duration::from_secs(40))] {
        let (main, restarts) = (site.main(), site.show("NRestarts"));
        site.machine.succeed(&["kill", &format!("-{signal}"), &main.to_string()]);
        wait_until("another start", limit, || {
            site.show("NRestarts") != restarts && ![0, main].contains(&site.main())
        });
        site.wait_until_ready();
    }
}

fn removed_and_purged(site: &Service, config: &str) {
    let machine = &site.machine;
    machine.succeed(&["dpkg", "--remove", "coco"]);
    site.wait_for_journal(" stopped residual=0");
    assert!(site.get("/readyz").is_err(), "it runs on");
    assert!(site.exists("/var/lib/coco/spool") && !site.exists("/usr/bin/coco"));
    site.install("second");
    site.wait_until_ready();
    let kept = fs::read_to_string(machine.path("/etc/coco/coco.toml")).unwrap();
    assert_eq!(kept, config, "the administrator's file");

    // A disk of its own at the spool does not stop a purge.
    machine.succeed(&["mount", "-t", "tmpfs", "tmpfs", "/var/lib/coco/spool"]);
    machine.succeed(&["dpkg", "--purge", "coco"]);
    machine.succeed(&["umount", "/var/lib/coco/spool"]);
    machine.succeed(&["rm", "-r", "/var/lib/coco"]);
    for path in ["/etc/coco", "/var/lib/coco", "/usr/bin/coco", "/usr/lib/coco"] {
        assert!(!site.exists(path), "{path} is left");
    }
    assert!(!machine.run(&["getent", "passwd", "coco"]).status.success(), "the user is left");
    assert!(!machine.run(&["getent", "group", "coco"]).status.success(), "the group is left");
    assert_eq!(site.show("LoadState"), "not-found");
    let left = machine.succeed(&["find", "/etc", "/var/lib/systemd", "-name", "*coco*"]);
    assert_eq!(left, "");
    site.install("second");
    site.wait_until_ready();
}

/// A client that comes while Coco is stopped waits in the kernel, and starts it.
fn started_by_its_sockets(site: &Service) {
    let machine = &site.machine;
    machine.succeed(&["systemctl", "stop", "coco"]);
    machine.succeed(&["systemctl", "start", "coco.socket"]);
    assert_eq!(site.show("ActiveState"), "inactive");
    machine.inside(|| {
        let mut client = TcpStream::connect(LINES).unwrap();
        client.write_all(b"a 1 1700000000\n").unwrap();
        wait_for("the line to be read", SOON, || match http::get(API, "/ledger") {
            Ok(answer) if answer.body.contains("\"decoded\":1") => Ok(()),
            other => Err(format!("{other:?}")),
        });
    });
    let journal = site.journal();
    assert!(!journal.contains("no listener is configured"), "{journal}");
    // The socket goes with the service at a removal, or the next client would start it.
    machine.succeed(&["dpkg", "--purge", "coco"]);
    assert!(site.get("/readyz").is_err());
    let failed =
        machine.succeed(&["systemctl", "list-units", "--failed", "--plain", "--no-legend"]);
    assert_eq!(failed, "");
}

#[test]
fn a_process_that_took_over_is_stopped_as_gently_as_one_that_systemd_started() {
    let service = Service::new(&[("coco", &package(Some(1)))]);
    let machine = &service.machine;
    service.install("coco");
    let (lines, lists) =
        machine.inside(|| (Marks::of_lines(2, SAMPLES_MAX), Marks::of_lists(2, SAMPLES_MAX)));
    service.configure(&config(&lines, &lists));
    machine.succeed(&["systemctl", "restart", "coco"]);
    let mut sent = 0;
    for round in 1..=16 {
        service.wait_until_ready();
        let client = send_lines(&service, &mut sent);
        if round % 2 == 0 {
            machine.succeed(&["/usr/lib/coco/hand-over"]);
        } else {
            // In the middle of it, sooner or later.
            machine.succeed(&["systemctl", "kill", "--kill-whom=main", "--signal=USR2", "coco"]);
            let processes = "/sys/fs/cgroup/system.slice/coco.service/cgroup.procs";
            let processes = machine.path(processes);
            wait_until("the new process", SOON, || {
                fs::read_to_string(&processes).is_ok_and(|text| text.lines().count() > 1)
            });
        }
        machine.succeed(&["systemctl", "stop", "coco"]);
        drop(client);
        let state = [service.show("ActiveState"), service.show("Result")];
        assert_eq!(state, ["inactive", "success"], "{round}: {}", service.journal());
        // That of the start of the package, too.
        wait_until("its last words", SOON, || {
            service.journal().matches(" stopped residual=0 ").count() == round + 1
        });
        machine.succeed(&["systemctl", "start", "coco"]);
    }
    wait_until("the last lines", SOON, || lines.arrived() >= sent);
    lines.assert_once_each(sent);
    let journal = service.journal();
    assert!(!journal.contains("SIGKILL"), "{journal}");
    service.wait_until_ready();
    // Nobody is left to be asked when it has ended by itself.
    machine.succeed(&["kill", "-KILL", &service.main().to_string()]);
    wait_until("another start", SOON, || service.show("NRestarts") == "1");
    service.wait_until_ready();
    // Nor has the shell that asks anything to complain of.
    let said = machine.run(&["journalctl", "--quiet", "-o", "cat", "-u", "coco", "-t", "sh"]);
    assert_eq!(String::from_utf8_lossy(&said.stdout), "");
}

/// Sends some numbered lines more, and returns when they are read; their client, which stays.
fn send_lines(service: &Service, sent: &mut usize) -> TcpStream {
    const COUNT: usize = 2_000;
    let lines: String =
        (*sent..*sent + COUNT).map(|n| format!("web{}.load {n} 1700000000\n", n % 97)).collect();
    *sent += COUNT;
    let client = service.machine.inside(|| {
        let mut client = TcpStream::connect(LINES).unwrap();
        client.write_all(lines.as_bytes()).unwrap();
        client
    });
    wait_until("the lines to be read", SOON, || {
        service.ledger().samples("decoded") >= u64::try_from(COUNT).unwrap()
    });
    client
}

#[test]
fn systemd_rates_the_exposure_of_the_unit_low() {
    let output = Command::new(program("systemd-analyze", "systemd"))
        .args(["security", "--offline=true", "--no-pager", "--threshold=15"])
        .arg(root().join("deploy/systemd/coco.service"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "above 1.5:\n{text}");
}

#[test]
fn every_file_of_its_folders_is_in_the_package_and_nothing_else_of_the_machine() {
    let (package, dir) = (package(None), folder());
    unpack(&package, dir.path());
    for (file, place) in [
        ("deploy/systemd/coco.service", "usr/lib/systemd/system/coco.service"),
        ("deploy/systemd/coco.socket", "usr/lib/systemd/system/coco.socket"),
        ("deploy/systemd/coco.sysusers", "usr/lib/sysusers.d/coco.conf"),
        ("deploy/systemd/coco.tmpfiles", "usr/lib/tmpfiles.d/coco.conf"),
        ("deploy/debian/coco.toml", "etc/coco/coco.toml"),
        ("deploy/debian/hand-over", "usr/lib/coco/hand-over"),
        ("deploy/debian/check_coco", "usr/lib/nagios/plugins/check_coco"),
        ("deploy/debian/copyright", "usr/share/doc/coco/copyright"),
        ("deploy/coco.toml", "usr/share/doc/coco/coco.toml"),
    ] {
        let [ours, packed] = [root().join(file), dir.path().join(place)].map(fs::read_to_string);
        assert_eq!(ours.unwrap().trim(), packed.unwrap().trim(), "{file}");
    }
    for check in ["errors", "send"] {
        let link = dir.path().join(format!("usr/lib/nagios/plugins/check_coco_{check}"));
        assert!(link.is_file(), "{link:?} leads nowhere");
    }
    let mut settings = Command::new("dpkg-deb");
    let settings = settings.arg("--info").arg(&package).arg("conffiles").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&settings.stdout), "/etc/coco/coco.toml\n");
    let before = fs::read(&package).unwrap();
    package_anew(None);
    assert!(fs::read(&package).unwrap() == before, "the same programs, another package");
}

#[test]
fn man_pages_render_without_a_warning_and_name_pages_that_exist() {
    let dir = folder();
    unpack(&package(None), dir.path());
    let man = dir.path().join("usr/share/man");
    let mut pages = Vec::new();
    for section in ["man1", "man5"] {
        let entries = fs::read_dir(man.join(section)).unwrap();
        pages.extend(entries.map(|entry| entry.unwrap().path()));
    }
    let names: Vec<_> = pages
        .iter()
        .map(|page| page.file_name().unwrap().to_str().unwrap().trim_end_matches(".gz").to_owned())
        .collect();
    for (page, name) in pages.iter().zip(&names) {
        let output = Command::new(program("man", "man-db"))
            .args(["--warnings=all", "--local-file"])
            .arg(page)
            .envs([("LC_ALL", "C.UTF-8"), ("MANWIDTH", "80"), ("MANPAGER", "cat")])
            .output()
            .unwrap();
        let [text, said] = [&output.stdout, &output.stderr].map(|out| String::from_utf8_lossy(out));
        assert!(output.status.success() && said.is_empty(), "{name}: {said}");
        assert!(text.lines().count() > 10 && text.contains("NAME"), "{name}:\n{text}");
        let (_, others) = text.split_once("SEE ALSO").unwrap_or_else(|| panic!("{name}:\n{text}"));
        // The last line is the foot of the page.
        for word in others.split_whitespace().filter(|word| word.contains('(')).take(3) {
            let other = word.trim_end_matches(',').replace('(', ".").replace(')', "");
            assert!(names.contains(&other), "{name} names {word}");
        }
    }
    let help = coco::run(&["--help"], b"");
    let help = String::from_utf8_lossy(&help.stdout);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    for command in commands.lines().take_while(|line| !line.is_empty()) {
        let Some(name) = command.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) else {
            continue;
        };
        let name = name.split(' ').next().unwrap();
        let page = format!("coco-{name}.1");
        assert!(name == "help" || names.contains(&page), "no page {page}: {names:?}");
    }
}

#[test]
fn help_fits_a_screen_and_has_examples() {
    let help = coco::run(&["--help"], b"");
    let help = String::from_utf8_lossy(&help.stdout);
    let lines = help.lines().count();
    assert!((24..=50).contains(&lines) && help.contains("\nExamples:\n"), "{lines} lines:\n{help}");
    let widest = help.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{help}");
}

#[test]
fn completions_load_and_complete() {
    let dir = folder();
    unpack(&package(None), dir.path());
    let share = dir.path().join("usr/share");
    let bash = r#"
        set -e
        source "$1/coco"
        source "$1/anomalous_coco_send"
        COMP_WORDS=(coco ch) COMP_CWORD=1 COMPREPLY=()
        _coco coco ch coco
        printf '%s\n' "${COMPREPLY[@]}"
        complete -p coco anomalous_coco_send > /dev/null
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", bash, "bash"])
        .arg(share.join("bash-completion/completions"))
        .output()
        .unwrap();
    let [text, said] = [&output.stdout, &output.stderr].map(|out| String::from_utf8_lossy(out));
    assert!(output.status.success() && said.is_empty(), "{said}");
    assert_eq!(text, "check\n");
    for (shell, file) in [
        ("zsh", "zsh/vendor-completions/_coco"),
        ("zsh", "zsh/vendor-completions/_anomalous_coco_send"),
        ("fish", "fish/vendor_completions.d/coco.fish"),
        ("fish", "fish/vendor_completions.d/anomalous_coco_send.fish"),
    ] {
        let mut command = Command::new(program(shell, shell));
        let output = command.arg("-n").arg(share.join(file)).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{file}: {output:?}");
    }
}
