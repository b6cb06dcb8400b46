//! `anomalous_coco_send`: `coco ks send` under the name that it had in Coco 1.x.

use std::process::ExitCode;

use coco_server::ks::{What, old};

fn main() -> ExitCode {
    old(What::Send)
}
