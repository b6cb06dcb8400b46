//! The real rsyslog takes our rule, and gives lines of a real Coco the severity that they have.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use coco_tests::{
    coco::{Coco, root, targets},
    port::free_port,
    process::{Process, folder, program},
    sink::LineSink,
    tools::output_of,
    wait::{SOON, wait_for, wait_until},
};

/// What arrives at a collector of logs, all connections in one text.
struct Collector(TcpListener, Vec<TcpStream>, String);

impl Collector {
    fn read(&mut self) -> &str {
        if let Ok((stream, _)) = self.0.accept() {
            stream.set_nonblocking(true).unwrap();
            self.1.push(stream);
        }
        for stream in &mut self.1 {
            let mut buffer = [0; 65_536];
            match stream.read(&mut buffer) {
                Ok(bytes) => self.2 += &String::from_utf8_lossy(&buffer[..bytes]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        &self.2
    }
}

#[test]
fn rsyslog_forwards_warnings_and_errors_of_coco_by_their_severity() {
    // A log of a real Coco, with a target that refuses.
    let sink = LineSink::start();
    let coco = Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[tiers.a]\nprotocol = \"graphite\"\n{}",
        targets(&[sink.address().to_string(), format!("127.0.0.1:{}", free_port())])
    ));
    wait_until("a warning", SOON, || coco.log().contains(" WARN cannot connect"));
    let log = coco.stop().log;

    let rules = root().join("deploy/rsyslog/coco.conf");
    let rsyslogd = program("rsyslogd", "rsyslog");
    output_of(Command::new(&rsyslogd).arg("-N1").arg("-f").arg(&rules));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (dir, port) = (folder(), free_port());
    let rules = fs::read_to_string(rules).unwrap();
    let forwards = "target=\"logs.example.com\" port=\"514\"";
    assert!(rules.contains(forwards));
    let to = listener.local_addr().unwrap().port();
    let rules = rules.replace(forwards, &format!("target=\"127.0.0.1\" port=\"{to}\""));
    let rest = dir.path().join("syslog");
    fs::write(
        dir.path().join("rsyslog.conf"),
        format!(
            "global(workDirectory=\"{}\")\nmodule(load=\"imptcp\")\n\
             input(type=\"imptcp\" address=\"127.0.0.1\" port=\"{port}\")\n{rules}\n\
             action(type=\"omfile\" file=\"{}\")\n",
            dir.path().display(),
            rest.display(),
        ),
    )
    .unwrap();
    let mut command = Command::new(rsyslogd);
    command.args(["-n", "-f", "rsyslog.conf", "-i", "pid"]).current_dir(dir.path());
    let process = Process::start("rsyslogd", &mut command);
    let mut client = wait_for("rsyslog", SOON, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .map_err(|error| format!("{error}\n{}", process.log()))
    });
    // As by `logger`: with one severity for all.
    let odd = "thread 'main' panicked at nowhere";
    let made = "2026-11-25T21:20:21.414539Z ERROR what is made up field=1";
    let sent: Vec<_> = log.lines().chain([made, odd]).collect();
    for line in &sent {
        writeln!(client, "<30>Nov 25 21:20:21 router-1 coco[7]: {line}").unwrap();
    }
    writeln!(client, "<30>Nov 25 21:20:21 router-1 other[8]: the last one").unwrap();
    wait_until("what is not Coco's", SOON, || {
        fs::read_to_string(&rest).is_ok_and(|rest| rest.contains("the last one"))
    });
    assert!(!fs::read_to_string(&rest).unwrap().contains("coco["), "kept in two places");
    let mut collector = Collector(listener, Vec::new(), String::new());
    let mut expected = vec![format!("<27>1 "), format!(" {odd}")];
    let mut quiet = 0;
    for line in &sent {
        let mut words = line.split_whitespace().skip(1);
        let level = words.next().unwrap();
        let text = line.split_once(&format!("{level} ")).unwrap().1;
        match level {
            "WARN" => expected.push(format!("router-1 coco 7 - - {text}")),
            "ERROR" => expected.push(format!("router-1 coco 7 - - {text}")),
            _ => quiet += 1,
        }
    }
    assert!(quiet > 3 && expected.len() > 3, "{sent:?}");
    wait_for("all of them", Duration::from_secs(30), || {
        let got = collector.read();
        match expected.iter().find(|line| !got.contains(line.as_str())) {
            Some(missing) => Err(format!("{missing} is not in:\n{got}\n{}", process.log())),
            None => Ok(()),
        }
    });
    let got = collector.read();
    let warning = got.split("<28>1 ").skip(1).any(|line| line.contains(" - - cannot connect"));
    assert!(warning, "{got}");
    assert!(!got.contains("listening") && !got.contains("<30>"), "{got}");
}
