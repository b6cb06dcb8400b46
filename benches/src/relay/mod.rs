//! One router process at a time, fed from prepared buffers and counted at its targets.
//!
//! ```text
//!   core A (this program)                core B
//!   ─────────────────────                ──────────────────────────
//!   feeder ── TCP or UDP ──────────────▶ the subject: coco, a bare loop, a peer
//!   sinks  ◀───────────── TCP or UDP ─── (its CPU time is the measure)
//! ```
//!
//! CPU time and not wall time is measured, because it does not depend on who else is on the machine.
//! Every case takes turns: one run of each subject, then the next round, so that a slow minute of the
//! machine falls on all of them; ratios are formed within a round. A run counts only when everything
//! that was fed arrived, and for a sample of the names: at its owner.

pub mod bare;
pub mod cases;
pub mod contender;
pub mod corpus;
pub mod drive;
pub mod feed;
pub mod machine;
pub mod plot;
pub mod report;
pub mod scenario;
pub mod sink;
pub mod subject;
pub mod syscalls;
