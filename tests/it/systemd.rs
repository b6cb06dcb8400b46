use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::net::UnixDatagram},
    time::Duration,
};

use coco_tests::{
    coco::{self, Coco, targets},
    process::{Signal, folder},
    sink::LineSink,
    wait::{SOON, wait_until},
};

fn config(port: u16, sink: &LineSink) -> String {
    format!(
        "[graphite]\nbind = \"127.0.0.1:{port}\"\n[tiers.carbon]\nprotocol = \"graphite\"\n{}",
        targets(&[sink.address().to_string()])
    )
}

/// The next word, but for those of the watchdog.
#[track_caller]
fn next(notify: &UnixDatagram) -> String {
    let mut words = [0; 4096];
    loop {
        let len = notify.recv(&mut words).expect("a word within the time");
        let words = String::from_utf8_lossy(&words[..len]);
        if words != "WATCHDOG=1" {
            return words.into_owned();
        }
    }
}

#[test]
fn systemd_hears_of_the_start_a_reload_an_upgrade_and_the_stop() {
    let (sink, dir) = (LineSink::start(), folder());
    let path = dir.path().join("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    notify.set_read_timeout(Some(SOON)).unwrap();
    let mut coco = Coco::start_as(&config(0, &sink), coco::binary(), |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    });
    assert_eq!(next(&notify), "READY=1\nSTATUS=running");
    coco.reload(&config(0, &sink));
    let words = next(&notify);
    let since =
        words.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{words}"));
    assert!(since.parse::<u64>().unwrap() > 0);
    assert_eq!(next(&notify), "READY=1\nSTATUS=running; reloaded");
    for _ in 0..2 {
        coco.upgrade();
        assert_eq!(next(&notify), format!("MAINPID={}", coco.id()));
        assert_eq!(next(&notify), "READY=1\nSTATUS=running");
    }
    // The process that has taken over is the one that is watched.
    notify.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    for _ in 0..5 {
        let mut words = [0; 64];
        let len = notify.recv(&mut words).unwrap();
        assert_eq!(&words[..len], b"WATCHDOG=1");
    }
    coco.signal(Signal::SIGTERM);
    assert!(next(&notify).starts_with("STOPPING=1\nSTATUS="));
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
