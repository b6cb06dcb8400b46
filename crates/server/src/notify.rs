//! What systemd is told (`Type=notify`): ready, reloading, stopping, the process that goes on, and that the
//! data path beats.
//!
//! Datagrams to the socket that `NOTIFY_SOCKET` names, as sd_notify(3) describes them. Without that variable
//! nothing is sent. A lost word is no reason to fail.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use coco_router::Handle;
use rustix::time::{ClockId, clock_gettime};

/// While every shard was heard within this time, the data path beats.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Tells systemd. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notifier(Option<Arc<Place>>);

#[derive(Debug)]
struct Place {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
    /// The end was said: a reload that is under way is not told of any more.
    is_ending: AtomicBool,
    /// Another process is the one that is heard from now on.
    is_left: AtomicBool,
}

impl Notifier {
    /// As the environment says.
    pub(crate) fn from_env() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let watchdog = watchdog(
            env::var("WATCHDOG_USEC").ok().as_deref(),
            env::var("WATCHDOG_PID").ok().as_deref(),
        );
        match Place::new(&name, watchdog) {
            Ok(place) => Self(Some(Arc::new(place))),
            Err(error) => {
                tracing::warn!(%error, ?name, "NOTIFY_SOCKET cannot be used");
                Self::default()
            }
        }
    }

    /// Everything is bound and recovered, or reloaded.
    pub(crate) fn ready(&self, status: &str) {
        self.tell_before_the_end(&format!("READY=1\nSTATUS={status}"));
    }

    /// The configuration is read again; [`ready`](Self::ready) ends that.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell_before_the_end(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// The process goes on, as the new one was not ready. The number tells one failure from the one before:
    /// whoever asked for the upgrade waits for another status.
    pub(crate) fn not_upgraded(&self, failures: u64, why: &str) {
        let why = why.replace('\n', " ");
        self.tell_before_the_end(&format!("STATUS=running; upgrade failed ({failures}): {why}"));
    }

    /// The process ends.
    pub(crate) fn stopping(&self, status: &str) {
        self.end(false);
        self.tell(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// Another process goes on as this service; nothing is said after that.
    pub(crate) fn main_is(&self, id: u32) {
        self.end(true);
        self.tell(&format!("MAINPID={id}"));
    }

    /// Says at half the time that systemd asks for that the data path beats, while it does; until another
    /// process is the one that is heard.
    pub(crate) async fn watch(self, handle: Handle) {
        let Some(interval) = self.0.as_ref().and_then(|place| place.watchdog) else { return };
        let mut ticks = tokio::time::interval((interval / 2).max(Duration::from_millis(1)));
        loop {
            ticks.tick().await;
            if self.0.as_ref().is_none_or(|place| place.is_left.load(Ordering::Relaxed)) {
                return;
            }
            if handle.silence() <= SILENCE_MAX {
                self.tell("WATCHDOG=1");
            }
        }
    }

    fn end(&self, is_left: bool) {
        if let Some(place) = &self.0 {
            place.is_ending.store(true, Ordering::Relaxed);
            place.is_left.store(is_left, Ordering::Relaxed);
        }
    }

    fn tell_before_the_end(&self, words: &str) {
        if self.0.as_ref().is_some_and(|place| !place.is_ending.load(Ordering::Relaxed)) {
            self.tell(words);
        }
    }

    fn tell(&self, words: &str) {
        if let Some(place) = &self.0
            && let Err(error) = place.socket.send_to_addr(words.as_bytes(), &place.address)
        {
            tracing::debug!(%error, words, "systemd cannot be told");
        }
    }
}

impl Place {
    /// A path, or a name in the abstract space after `@`.
    fn new(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match name.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
            Some((b'/', _)) => SocketAddr::from_pathname(name)?,
            Some(_) | None => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let socket = UnixDatagram::unbound()?;
        // Whoever does not read it must not hold up the data path.
        socket.set_nonblocking(true)?;
        let [is_ending, is_left] = [(), ()].map(|()| AtomicBool::new(false));
        Ok(Self { socket, address, watchdog, is_ending, is_left })
    }
}

/// The time within which the watchdog wants to hear of this process.
fn watchdog(microseconds: Option<&str>, process: Option<&str>) -> Option<Duration> {
    let is_ours = process.is_none_or(|id| id == process::id().to_string());
    let microseconds = microseconds?.parse().ok().filter(|&time| time > 0 && is_ours)?;
    Some(Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_for_the_process_that_it_names() {
        let ours = process::id().to_string();
        assert_eq!(watchdog(Some("10000000"), None), Some(Duration::from_secs(10)));
        assert_eq!(watchdog(Some("10000000"), Some(&ours)), Some(Duration::from_secs(10)));
        for (time, id) in
            [(Some("1"), Some("1")), (Some("0"), None), (Some("x"), None), (None, None)]
        {
            assert_eq!(watchdog(time, id), None, "{time:?} {id:?}");
        }
    }

    #[test]
    fn words_go_to_a_path_and_to_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("coco-notify-{}", process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, name) in [
            (UnixDatagram::bind(&path).unwrap(), path.as_os_str()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), OsStr::new(&format!("@{name}"))),
        ] {
            let notifier = Notifier(Some(Arc::new(Place::new(name, None).unwrap())));
            notifier.reloading();
            notifier.main_is(7);
            let mut words = [0; 512];
            let len = socket.recv(&mut words).unwrap();
            assert!(words[..len].starts_with(b"RELOADING=1\nMONOTONIC_USEC="));
            let len = socket.recv(&mut words).unwrap();
            assert_eq!(&words[..len], b"MAINPID=7");
            // A reload that comes to its end meanwhile must not call the service back.
            notifier.ready("reloaded");
            socket.set_nonblocking(true).unwrap();
            assert!(socket.recv(&mut words).is_err(), "a word after the last one");
        }
        assert!(Place::new(OsStr::new("vsock:2:1"), None).is_err());
    }
}
