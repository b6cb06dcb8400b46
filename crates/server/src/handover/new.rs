//! The side of the new process: takes what the old one gives.

use std::{
    env,
    io::stdin,
    os::{fd::AsFd, unix::net::UnixStream},
    time::Duration,
};

use anyhow::{Context, bail};
use coco_router::{
    handover::{HandedClient, HandedRecord, HandedSocket, Inheritance, Piece, Started},
    plan::Address,
};
use tokio::{sync::mpsc, time::timeout};

use super::{
    AGENT, API, KeptWord, Past, ServiceSocket, SocketSet, VARIABLE,
    channel::{Channel, Message, VERSION, Word},
    protocol_of,
};

/// How long the old process may take to send its sockets, and to stop reading.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the old process may take to let go of everything.
const END_MAX: Duration = Duration::from_secs(75);

/// Pieces that were read and not taken.
const PIECES_MAX: usize = 64;

/// The old process.
#[derive(Debug)]
pub(crate) struct Predecessor {
    channel: Channel,
    /// Its past, and that it has handed over to this one.
    pub(crate) past: Past,
}

impl Predecessor {
    /// The process that started this one to hand over to it, if it was so, with its sockets.
    ///
    /// # Errors
    /// If it speaks another version, or what is on standard input is not its channel.
    pub(crate) fn meet() -> anyhow::Result<Option<(Self, SocketSet)>> {
        let Some(version) = env::var_os(VARIABLE) else { return Ok(None) };
        if version != VERSION {
            bail!("cannot take over: {VARIABLE} is {version:?}, and this is version {VERSION}");
        }
        let stream = stdin().as_fd().try_clone_to_owned().context("standard input")?;
        let channel = Channel::new(UnixStream::from(stream), PATIENCE)
            .with_context(|| format!("{VARIABLE} is set, and standard input is no channel"))?;
        Self::greet(channel).context("cannot take over").map(Some)
    }

    fn greet(mut channel: Channel) -> anyhow::Result<(Self, SocketSet)> {
        let mut set = SocketSet { listeners: Vec::new(), services: Vec::new() };
        loop {
            let Some(Message { word, body, socket }) = channel.receive()? else {
                bail!("the process before this one has ended");
            };
            match word {
                Word::Socket { protocol, host, port } => {
                    let address = Address { host, port };
                    let socket =
                        socket.context("no socket came, are there too many open files?")?;
                    if let Some(service) = [API, AGENT].into_iter().find(|name| *name == protocol) {
                        set.services.push(ServiceSocket { service, address, socket });
                    } else if let Some(protocol) = protocol_of(&protocol) {
                        set.listeners.push(HandedSocket { protocol, address, socket });
                    }
                }
                Word::Prepare { upgrades, rings, kept, log } => {
                    let mut history = body;
                    let log = history.split_off(history.len().saturating_sub(log));
                    let (upgrades, kept) = (upgrades + 1, kept.map(KeptWord::kept));
                    let past = Past { upgrades, rings, kept, history, log };
                    return Ok((Self { channel, past }, set));
                }
                other => bail!("{other:?} comes too early"),
            }
        }
    }

    /// Says that this process is ready, and returns when the old one has stopped reading, with what it gives
    /// from then on.
    ///
    /// # Errors
    /// If the old process has ended, or does not hand over.
    pub(crate) async fn take_over(mut self) -> anyhow::Result<Estate> {
        self.channel.send(&Word::Ready, b"", None)?;
        // From here on only the end of the old process ends this.
        self.channel.set_patience(None)?;
        let (sender, mut pieces) = mpsc::channel(PIECES_MAX);
        std::thread::Builder::new()
            .name("inheritance".to_owned())
            .spawn(move || read(self.channel, &sender))?;
        match timeout(PATIENCE, pieces.recv()).await {
            Ok(Some(first @ Piece::Sockets(_))) => Ok(Estate { first, pieces }),
            Ok(Some(other)) => bail!("the process before this one gave {other:?} first"),
            Ok(None) => bail!("the process before this one did not hand over"),
            Err(_) => bail!("the process before this one goes on reading"),
        }
    }
}

/// Reads pieces until the old process closes its end.
fn read(mut channel: Channel, pieces: &mpsc::Sender<Piece>) {
    loop {
        match channel.receive() {
            Ok(Some(message)) => {
                if let Some(piece) = piece(message)
                    && pieces.blocking_send(piece).is_err()
                {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "cannot read what the process before this one gives");
                return;
            }
        }
    }
}

fn piece(Message { word, body, socket }: Message) -> Option<Piece> {
    match word {
        Word::Sockets { drops } => Some(Piece::Sockets(drops)),
        Word::Client { protocol, host, port, skipping, begun } => {
            let Some(socket) = socket else {
                tracing::error!("a client got lost: this process may open no more files");
                return None;
            };
            let (protocol, address) = (protocol_of(&protocol)?, Address { host, port });
            let started = Started { bytes: body, skipping, begun };
            Some(Piece::Client(HandedClient { protocol, address, started, socket }))
        }
        Word::Record { tier, id, format, samples } => {
            let target = (tier, id);
            Some(Piece::Record(HandedRecord { target, format, samples, payload: body }))
        }
        Word::Done { tier, id } => Some(Piece::Done((tier, id))),
        Word::Socket { .. } | Word::Prepare { .. } | Word::Ready => None,
    }
}

/// What the old process gives.
#[derive(Debug)]
pub(crate) struct Estate {
    first: Piece,
    pieces: mpsc::Receiver<Piece>,
}

impl Estate {
    /// Begins to read the sockets; the task that it returns takes the rest, and ends with the old process.
    pub(crate) async fn settle(self, mut inheritance: Inheritance) -> tokio::task::JoinHandle<()> {
        let Self { first, mut pieces } = self;
        inheritance.take(first).await;
        tokio::spawn(async move {
            let take_all = async {
                while let Some(piece) = pieces.recv().await {
                    inheritance.take(piece).await;
                }
            };
            if timeout(END_MAX, take_all).await.is_err() {
                tracing::error!("the process before this one does not end; not waiting any longer");
            }
            let is_complete = inheritance.is_complete();
            inheritance.finish();
            if is_complete {
                tracing::info!("the process before this one is done");
            } else {
                tracing::error!(
                    "the process before this one ended before it was done: what it still held is lost"
                );
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use coco_router::{handover::Kept, plan::TargetProtocol};

    use super::*;

    #[test]
    fn what_comes_too_early_or_not_at_all_is_an_error() {
        for words in [&[][..], &[Word::Ready], &[Word::Sockets { drops: Vec::new() }]] {
            let (left, right) = UnixStream::pair().unwrap();
            let mut left = Channel::new(left, PATIENCE).unwrap();
            words.iter().for_each(|word| left.send(word, b"", None).unwrap());
            drop(left);
            let right = Channel::new(right, PATIENCE).unwrap();
            assert!(Predecessor::greet(right).is_err(), "{words:?}");
        }
        let (left, right) = UnixStream::pair().unwrap();
        let mut left = Channel::new(left, PATIENCE).unwrap();
        let rings = vec!["carbon".to_owned()];
        let kept = Kept {
            directory: "/a".into(),
            tiers: [("carbon".to_owned(), TargetProtocol::Pickle)].into(),
        };
        let word = Word::Prepare { upgrades: 3, rings, kept: Some(KeptWord::new(&kept)), log: 5 };
        left.send(&word, b"numberslines", None).unwrap();
        let (predecessor, set) =
            Predecessor::greet(Channel::new(right, PATIENCE).unwrap()).unwrap();
        assert_eq!(predecessor.past.history, b"numbers");
        assert_eq!(predecessor.past.log, b"lines");
        assert_eq!(predecessor.past.rings, ["carbon"]);
        assert_eq!(predecessor.past.kept, Some(kept));
        assert_eq!((predecessor.past.upgrades, set.listeners.len()), (4, 0));
    }
}
