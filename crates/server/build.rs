//! Makes the version: that of the package, and behind `+` what `COCO_BUILD` names, as in `2.0.0+b7`.

use std::env::{VarError, var};

fn main() -> Result<(), String> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=COCO_BUILD");
    let package = var("CARGO_PKG_VERSION").map_err(|error| error.to_string())?;
    let version = match var("COCO_BUILD") {
        Ok(build) if build.is_empty() => package,
        Ok(build) if is_metadata(&build) => format!("{package}+{build}"),
        Err(VarError::NotPresent) => package,
        Ok(_) | Err(VarError::NotUnicode(_)) => {
            return Err("COCO_BUILD: letters, digits, dots and hyphens only".to_owned());
        }
    };
    println!("cargo:rustc-env=COCO_VERSION={version}");
    Ok(())
}

/// What may stand behind the `+` of a version, as semver.org has it.
fn is_metadata(build: &str) -> bool {
    build.split('.').all(|part| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}
