//! Whole-process comparisons: Coco, its peers and bare loops under the same load.
//!
//! The micro-benchmarks stand in `benches/`; the program is `relay`. See [`relay`].

pub mod relay;
