//! Why samples are dropped on purpose: each reason is a counter of its own.

/// Why samples were dropped on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// The target's queue was full; its oldest samples went.
    QueueFull,
    /// All queues together held too much memory, and this one more than its part.
    Memory,
    /// The sample does not fit into one datagram of the tier's size.
    Oversize,
    /// The name is none that the relay whose names the tier follows would take.
    BadName,
    /// The process stopped before the target took them.
    Shutdown,
    /// A reload took the target out, and it did not take them in the time that it then had.
    Retired,
    /// On disk for longer than the spool keeps samples.
    SpoolAge,
    /// Damaged on disk.
    SpoolCorrupt,
    /// What the target is sent comes back to this process.
    Loop,
}

impl Shed {
    /// Every reason, in the order they are shown.
    pub const ALL: [Self; 9] = [
        Self::QueueFull,
        Self::Memory,
        Self::Oversize,
        Self::BadName,
        Self::Shutdown,
        Self::Retired,
        Self::SpoolAge,
        Self::SpoolCorrupt,
        Self::Loop,
    ];

    /// The reason as counters name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Memory => "memory",
            Self::Oversize => "oversize",
            Self::BadName => "bad_name",
            Self::Shutdown => "shutdown",
            Self::Retired => "retired",
            Self::SpoolAge => "spool_age",
            Self::SpoolCorrupt => "spool_corrupt",
            Self::Loop => "loop",
        }
    }
}
