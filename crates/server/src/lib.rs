//! server
pub mod cli;
pub mod config;
