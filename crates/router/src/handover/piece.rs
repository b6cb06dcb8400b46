//! What the old process gives to the new one, piece by piece.

use std::os::fd::OwnedFd;

use crate::plan::{Address, ListenerProtocol};

/// A listening socket for a listener of this protocol and address, as the configuration writes it.
#[derive(Debug)]
pub struct HandedSocket {
    /// What is spoken on it.
    pub protocol: ListenerProtocol,
    /// The address as configured.
    pub address: Address,
    /// The socket, bound.
    pub socket: OwnedFd,
}

/// What the old process tells and gives, in this order for each client and target.
#[derive(Debug)]
pub enum Piece {
    /// The sockets are read no more; datagrams that the kernel dropped on each so far, by inode.
    Sockets(Vec<(u64, u32)>),
    /// An open connection.
    Client(HandedClient),
    /// Samples that a target did not take, oldest first.
    Record(HandedRecord),
    /// Nothing more will be sent to a target.
    Done(TargetKey),
}

/// A target by tier and id.
pub type TargetKey = (String, String);

/// A client's connection.
#[derive(Debug)]
pub struct HandedClient {
    /// What it speaks.
    pub protocol: ListenerProtocol,
    /// The address of its listener, as configured.
    pub address: Address,
    /// What was read of it and not routed.
    pub started: Started,
    /// The connection.
    pub socket: OwnedFd,
}

/// How far a client has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Started {
    /// The beginning of a line or frame whose end has not come.
    pub bytes: Vec<u8>,
    /// The present line is too long, and its rest is passed over.
    pub skipping: bool,
    /// Its first line was seen.
    pub begun: bool,
}

/// Samples for one target, in the form in which a spool keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedRecord {
    /// Whose they are.
    pub target: TargetKey,
    /// What `payload` is.
    pub format: u8,
    /// How many samples.
    pub samples: u32,
    /// The samples.
    pub payload: Vec<u8>,
}
