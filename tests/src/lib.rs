//! Harness for the tests that run the real `coco` binary with real peers.
//!
//! Everything that a test starts ends with it: processes are killed by their own id when their
//! handle is dropped, and files live in temporary folders. Nothing waits for a fixed time: every
//! wait has a condition and a deadline ([`wait`]). A missing program fails the test and says which
//! package has it; `./test` at the root of the repository installs them all.
//!
//! ```no_run
//! use coco_tests::{coco::Coco, sink::UdpSink};
//!
//! let sink = UdpSink::start();
//! let coco = Coco::start(&format!(
//!     "[listen]\nbind = \"127.0.0.1:0\"\n[tiers.short]\ntargets = [\"{}\"]\n",
//!     sink.address()
//! ));
//! println!("hosts go to {}", coco.lookup(b"web01")["short"]);
//! coco.stop();
//! ```

pub mod alone;
pub mod arrivals;
pub mod breaking;
pub mod c_relay;
pub mod carbon;
pub mod coco;
pub mod collectd;
pub mod corpus;
pub mod datagram;
pub mod fake;
pub mod feed;
pub mod flood;
pub mod http;
pub mod isolation;
pub mod ledger;
pub mod machine;
pub mod marks;
pub mod namespace;
pub mod owners;
pub mod package;
pub mod page;
pub mod port;
pub mod process;
pub mod proxy;
pub mod service;
pub mod sink;
pub mod storage;
pub mod store;
pub mod tools;
pub mod usage;
pub mod wait;
