//! What `coco lookup` answers for many names at once.

use std::{collections::BTreeMap, path::Path};

use crate::coco;

/// The owners of each name in each tier, in order: by name, then by tier. One process for all names,
/// which may be any bytes but LF.
pub fn lookup<N: AsRef<[u8]>>(config: &Path, names: &[N]) -> BTreeMap<Vec<u8>, Owners> {
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    let input = [names.join(&b'\n'), b"\n".to_vec()].concat();
    let config = config.to_str().expect("temporary folders have plain names");
    let output = coco::run(&["lookup", "--config", config], &input);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "coco lookup: {error}");
    rows(&output.stdout)
}

/// The owners in each tier.
pub type Owners = BTreeMap<String, Vec<String>>;

/// Reads lines of name, tier and owners with tabs between them, as `coco lookup` and `POST /lookup`
/// write them.
pub fn rows(output: &[u8]) -> BTreeMap<Vec<u8>, Owners> {
    let mut all = BTreeMap::<_, Owners>::new();
    for line in output.split_inclusive(|byte| *byte == b'\n') {
        let row = line.strip_suffix(b"\n").expect("every line is ended");
        let mut columns = row.rsplitn(3, |byte| *byte == b'\t');
        let mut text = || String::from_utf8(columns.next()?.to_vec()).ok();
        let (owners, tier) = (text(), text());
        let (Some(owners), Some(tier), Some(name)) = (owners, tier, columns.next()) else {
            panic!("coco lookup says {}", row.escape_ascii());
        };
        let owners = owners.split(',').filter(|owner| !owner.is_empty()).map(str::to_owned);
        all.entry(name.to_vec()).or_default().insert(tier, owners.collect());
    }
    all
}
