//! `anomalous_coco_errors`: `coco ks errors` under the name that it had in Coco 1.x.

use std::process::ExitCode;

use coco_server::ks::{What, old};

fn main() -> ExitCode {
    old(What::Errors)
}
