//! What one row of the table is: an input, and a router to take it.

use super::contender::Contender;

/// What is sent in, and how the router is set up.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// The row's name.
    pub name: &'static str,
    /// What is sent.
    pub input: Input,
    /// TCP connections, which send in turn.
    pub clients: usize,
    /// Targets of each tier.
    pub targets: usize,
    /// Owners of each key.
    pub replicas: usize,
    /// Tiers, alike but for their targets.
    pub tiers: usize,
    /// Distinct names; of collectd, hosts.
    pub names: usize,
    /// A regular expression that filters, and matches nothing of the input.
    pub blacklist: Option<&'static str>,
    /// More lines for the configuration of each of Coco's tiers.
    pub tier: &'static str,
    /// Samples sent while it is measured, by whoever is quick.
    pub samples: u64,
    /// The subject has the core of feeder and sinks as well.
    pub both_cores: bool,
    /// Who runs it.
    pub contenders: &'static [Contender],
}

/// Protocol and shape of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Lines over TCP, each client writing so many at once.
    Lines(usize),
    /// More names than fit into memory: lines over TCP, 10,000 at once.
    ManyLines,
    /// Lines over UDP, so many a datagram.
    LineDatagrams(usize),
    /// Pickle frames over TCP, so many datapoints a frame.
    Pickles(usize),
    /// collectd datagrams of 27 value lists of one host.
    Collectd,
    /// collectd datagrams of one value list of each of 27 hosts.
    CollectdMixed,
    /// Those of one host, signed.
    CollectdSigned,
}

impl Scenario {
    /// Ten thousand names over one connection to four targets.
    pub const LINES: Self = Self {
        name: "line",
        input: Input::Lines(10_000),
        clients: 1,
        targets: 4,
        replicas: 1,
        tiers: 1,
        names: 10_000,
        blacklist: None,
        tier: "",
        samples: 10_000_000,
        both_cores: false,
        contenders: &[Contender::Coco],
    };

    /// The datagrams of a thousand hosts to four targets.
    pub const COLLECTD: Self = Self {
        name: "collectd",
        input: Input::Collectd,
        names: 1000,
        samples: 5_265_000,
        ..Self::LINES
    };

    /// Copies of each sample that go out.
    pub fn copies(&self) -> u64 {
        (self.replicas * self.tiers) as u64
    }

    /// The unit of its costs.
    pub fn per_sample(&self) -> &'static str {
        if self.input.is_collectd() { "ns/sample" } else { "ns/line" }
    }
}

impl Input {
    /// It goes to collectd targets.
    pub fn is_collectd(self) -> bool {
        matches!(self, Self::Collectd | Self::CollectdMixed | Self::CollectdSigned)
    }

    /// It comes in datagrams.
    pub fn is_datagrams(self) -> bool {
        self.is_collectd() || matches!(self, Self::LineDatagrams(_))
    }

    /// What Coco's log calls the listener that takes it.
    pub fn listener(self) -> &'static str {
        match self {
            Self::Lines(_) | Self::ManyLines => "line-tcp",
            Self::LineDatagrams(_) => "line-udp",
            Self::Pickles(_) => "pickle",
            Self::Collectd | Self::CollectdMixed | Self::CollectdSigned => "collectd",
        }
    }
}
