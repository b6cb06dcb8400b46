//! The side of the old process: starts the new one, and gives it everything.

use std::{
    env,
    ffi::OsString,
    io,
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use coco_router::handover::{HandedClient, HandedRecord, Piece};
use tokio::sync::{mpsc, oneshot};

use super::{
    KeptWord, Past, SocketSet, VARIABLE,
    channel::{Channel, VERSION, Word},
    name_of,
};

/// How long the new process may take to be ready.
const READY_MAX: Duration = Duration::from_secs(60);

/// Pieces on their way to the new process.
const PIECES_MAX: usize = 64;

/// Set by systemd for one process only.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// The program as it was started.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This process' own, to be asked for at its start: then nobody has replaced the file yet.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        // As it was called, so that a link to another version is followed anew. A bare name was looked for in
        // `PATH`, and may be that of another file here.
        let called = env::args_os().next().map(PathBuf::from);
        let called = called.filter(|path| path.components().count() > 1 && path.exists());
        let called = called.and_then(|path| std::path::absolute(path).ok());
        let path = called.map_or_else(|| env::current_exe().map(without_mark), Ok)?;
        Ok(Self { path, arguments: env::args_os().skip(1).collect() })
    }

    /// Starts it, gives it the sockets, and returns when it is ready.
    ///
    /// # Errors
    /// Why it is not ready; it has been ended then. Dropping the future ends it too.
    pub(crate) async fn start(self, sockets: SocketSet, past: Past) -> Result<Successor, String> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        let hang_up = HangUp(Some(ours.try_clone().map_err(|error| error.to_string())?));
        let start = move || self.start_now(ours, theirs, &sockets, &past);
        let started = tokio::task::spawn_blocking(start).await;
        let started = started.map_err(|error| error.to_string()).flatten();
        hang_up.disarm();
        started
    }

    fn start_now(
        &self,
        ours: UnixStream,
        theirs: UnixStream,
        sockets: &SocketSet,
        past: &Past,
    ) -> Result<Successor, String> {
        let path = self.path.display();
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .env(VARIABLE, VERSION)
            .env_remove(WATCHDOG_PID)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(|error| format!("cannot start {path}: {error}"))?;
        let mut child = child;
        match prepare(ours, sockets, past) {
            Ok(channel) => Ok(Successor { child, channel }),
            Err(why) => {
                // It may have ended by itself, which its status then tells.
                let _ended: io::Result<()> = child.kill();
                match child.wait() {
                    Ok(status) => Err(format!("the new process was not ready: {why} ({status})")),
                    Err(error) => Err(format!("the new process was not ready: {why} ({error})")),
                }
            }
        }
    }
}

/// The kernel marks the path of a program whose file was removed.
fn without_mark(path: PathBuf) -> PathBuf {
    let text = path.to_str().and_then(|text| text.strip_suffix(" (deleted)"));
    match text {
        Some(text) if !path.exists() => Path::new(text).to_owned(),
        Some(_) | None => path,
    }
}

/// Ends the new process when whoever waits for it does not any more.
struct HangUp(Option<UnixStream>);

impl HangUp {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some(stream) = &self.0 {
            // It may be closed already.
            let _closed: io::Result<()> = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Sends the sockets, and waits for the word that the new process is ready.
fn prepare(stream: UnixStream, sockets: &SocketSet, past: &Past) -> Result<Channel, String> {
    let failed = |error: io::Error| error.to_string();
    let mut channel = Channel::new(stream, READY_MAX).map_err(failed)?;
    let listeners = sockets
        .listeners
        .iter()
        .map(|handed| (name_of(handed.protocol), &handed.address, &handed.socket));
    let services = sockets.services.iter().map(|own| (own.service, &own.address, &own.socket));
    for (protocol, address, socket) in listeners.chain(services) {
        let (protocol, host) = (protocol.to_owned(), address.host.clone());
        let word = Word::Socket { protocol, host, port: address.port };
        channel.send(&word, b"", Some(socket.as_fd())).map_err(failed)?;
    }
    let (upgrades, rings, log) = (past.upgrades, past.rings.clone(), past.log.len());
    let kept = past.kept.as_ref().map(KeptWord::new);
    let body = [past.history.as_slice(), &past.log].concat();
    channel.send(&Word::Prepare { upgrades, rings, kept, log }, &body, None).map_err(failed)?;
    match channel.receive() {
        Ok(Some(message)) if message.word == Word::Ready => Ok(channel),
        Ok(Some(message)) => Err(format!("it said {:?}", message.word)),
        Ok(None) => Err("it ended".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(format!("it was silent for {READY_MAX:?}"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A new process that is ready to take over.
#[derive(Debug)]
pub(crate) struct Successor {
    child: Child,
    channel: Channel,
}

impl Successor {
    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The way to it, and word when all of it has been sent.
    pub(crate) fn feed(self) -> (mpsc::Sender<Piece>, oneshot::Receiver<io::Result<()>>) {
        let (heir, mut pieces) = mpsc::channel(PIECES_MAX);
        let (ended, has_ended) = oneshot::channel();
        let Self { mut channel, child: _child } = self;
        std::thread::spawn(move || {
            let mut sent = Ok(());
            while sent.is_ok()
                && let Some(piece) = pieces.blocking_recv()
            {
                sent = send(&mut channel, piece);
            }
            drop((channel, pieces));
            // Nobody waits any more only when the process ends.
            let _told: Result<(), io::Result<()>> = ended.send(sent);
        });
        (heir, has_ended)
    }
}

fn send(channel: &mut Channel, piece: Piece) -> io::Result<()> {
    match piece {
        Piece::Sockets(drops) => channel.send(&Word::Sockets { drops }, b"", None),
        Piece::Client(HandedClient { protocol, address, started, socket }) => {
            let word = Word::Client {
                protocol: name_of(protocol).to_owned(),
                host: address.host,
                port: address.port,
                skipping: started.skipping,
                begun: started.begun,
            };
            channel.send(&word, &started.bytes, Some(socket.as_fd()))
        }
        Piece::Record(HandedRecord { target: (tier, id), format, samples, payload }) => {
            channel.send(&Word::Record { tier, id, format, samples }, &payload, None)
        }
        Piece::Done((tier, id)) => channel.send(&Word::Done { tier, id }, b"", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_a_removed_file_does_not_bite() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("coco (deleted)");
        let gone = dir.path().join("other (deleted)");
        std::fs::write(&real, "").unwrap();
        assert_eq!(without_mark(real.clone()), real, "a file of that name");
        assert_eq!(without_mark(gone), dir.path().join("other"));
        assert_eq!(without_mark(dir.path().join("coco")), dir.path().join("coco"));
    }

    #[tokio::test]
    async fn a_program_that_is_no_heir_is_ended_and_said_so() {
        let sockets = || SocketSet { listeners: Vec::new(), services: Vec::new() };
        let program = |path: &str, argument: &str| Program {
            path: path.into(),
            arguments: vec![argument.into()],
        };
        let start = |program: Program| program.start(sockets(), Past::default());
        let none = start(program("/no/such/file", "")).await.unwrap_err();
        assert!(none.starts_with("cannot start /no/such/file"), "{none}");
        let ended = start(program("/bin/false", "")).await.unwrap_err();
        assert!(ended.contains("exit status: 1"), "{ended}");
    }
}
