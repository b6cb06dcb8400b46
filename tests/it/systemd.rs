use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::net::UnixDatagram},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use coco_tests::{
    coco::{self, Coco, targets},
    process::{Signal, folder},
    sink::LineSink,
    wait::{SOON, wait_for, wait_until},
};

fn config(port: u16, sink: &LineSink) -> String {
    format!(
        "[graphite]\nbind = \"127.0.0.1:{port}\"\n[tiers.carbon]\nprotocol = \"graphite\"\n{}",
        targets(&[sink.address().to_string()])
    )
}

/// All that comes, read as it comes: the kernel keeps ten words, and a lost one is no reason to fail.
fn listen(notify: UnixDatagram) -> Receiver<String> {
    let (heard, words) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len) = notify.recv(&mut bytes) {
            let word = String::from_utf8_lossy(&bytes[..len]).into_owned();
            if heard.send(word).is_err() {
                return;
            }
        }
    });
    words
}

/// The next word, but for those of the watchdog.
#[track_caller]
fn next(words: &Receiver<String>) -> String {
    wait_for("a word", SOON, || {
        let mut others = words.try_iter().filter(|word| word != "WATCHDOG=1");
        others.next().ok_or_else(|| "none came".to_owned())
    })
}

#[test]
fn systemd_hears_of_the_start_a_reload_an_upgrade_and_the_stop() {
    let (sink, dir) = (LineSink::start(), folder());
    let path = dir.path().join("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    // The thread that listens ends some time after the last word.
    notify.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let words = listen(notify);
    let mut coco = Coco::start_as(&config(0, &sink), coco::binary(), |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    });
    assert_eq!(next(&words), "READY=1\nSTATUS=running");
    coco.reload(&config(0, &sink));
    let word = next(&words);
    let since =
        word.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{word}"));
    assert!(since.parse::<u64>().unwrap() > 0);
    assert_eq!(next(&words), "READY=1\nSTATUS=running; reloaded");
    for _ in 0..2 {
        coco.upgrade();
        assert_eq!(next(&words), format!("MAINPID={}", coco.id()));
        assert_eq!(next(&words), "READY=1\nSTATUS=running");
    }
    // The process that has taken over is the one that is watched.
    for _ in 0..5 {
        assert_eq!(words.recv_timeout(SOON).unwrap(), "WATCHDOG=1");
    }
    // One that cannot start its program anew says so, each time otherwise.
    coco.rewrite("nonsense");
    for number in 1..=2 {
        coco.signal(Signal::SIGUSR2);
        let word = next(&words);
        let beginning =
            format!("STATUS=running; upgrade failed ({number}): the new process was not");
        assert!(word.starts_with(&beginning) && word.contains("exit status: 78"), "{word}");
    }
    coco.signal(Signal::SIGTERM);
    assert!(next(&words).starts_with("STOPPING=1\nSTATUS="));
    coco.wait();
}

/// Runs `coco` with the sockets as systemd hands them over, which only a child before exec can do.
const ACTIVATE: &str = r#"
import os, socket, sys
fds = [int(fd) for fd in sys.argv[1].split(",")]
for place, fd in enumerate(fds):
    os.dup2(fd, 100 + place)
for place in range(len(fds)):
    os.dup2(100 + place, 3 + place)
    os.close(100 + place)
os.environ["LISTEN_FDS"] = str(len(fds))
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"#;

#[test]
fn sockets_of_systemd_are_used_and_those_that_nothing_wants_are_told_of() {
    let sink = LineSink::start();
    let [lines, nobody] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = lines.local_addr().unwrap();
    for socket in [&lines, &nobody] {
        socket2::SockRef::from(socket).set_cloexec(false).unwrap();
    }
    let script = folder();
    let file = script.path().join("activate.py");
    fs::write(&file, ACTIVATE).unwrap();
    let mut coco = Coco::start_as(
        &config(address.port(), &sink),
        &coco_tests::process::program("python3", "python3"),
        |command| {
            command.arg(&file);
            command.arg(format!("{},{}", lines.as_raw_fd(), nobody.as_raw_fd()));
            command.arg(coco::binary());
        },
    );
    // Other tests must not inherit them.
    for socket in [&lines, &nobody] {
        socket2::SockRef::from(socket).set_cloexec(true).unwrap();
    }
    let unwanted = format!("address={}", nobody.local_addr().unwrap());
    assert!(coco.log().contains(&unwanted), "{}", coco.log());
    assert_eq!(coco.listener("line-tcp"), address);
    // They go on over an upgrade, too.
    for number in 1..=2 {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"a 1 1700000000\n").unwrap();
        wait_until("the line", SOON, || sink.count() == number);
        drop(client);
        if number == 1 {
            coco.upgrade();
        }
    }
    coco.stop();
    // Ours is still open: what comes after the stop waits for the next start.
    TcpStream::connect(address).unwrap();
}
