//! Blocks of samples: each is one write of a client, or one datagram.

use anyhow::{Context as _, ensure};
use coco_wire::pickle::encode_frame;

use super::{Fleet, Lines};

/// Of so many names one is checked to be at its owners.
const CHECK_STEP: usize = 101;

/// Of so many hosts one is checked to be at its owner.
const CHECK_STEP_HOSTS: usize = 17;

/// Something that is sent in passes, each of the same blocks.
pub trait Source {
    /// Blocks in a pass.
    fn blocks(&self) -> usize;

    /// The block at this place in the pass; empty beyond its end.
    fn block(&mut self, at: usize) -> &[u8];

    /// Samples in each block.
    fn samples_each(&self) -> u64;

    /// Bytes that a line target gets of one pass, if that is what the targets are.
    fn line_bytes(&self) -> u64;

    /// Samples in a pass.
    fn samples(&self) -> u64 {
        self.blocks() as u64 * self.samples_each()
    }
}

/// Blocks in memory.
#[derive(Debug)]
pub struct Load {
    /// The blocks, in order.
    pub blocks: Vec<Vec<u8>>,
    /// Samples in each block.
    pub each: usize,
    /// Some of the keys, of which it is checked that they arrive at their owners.
    pub keys: Vec<Vec<u8>>,
    line_bytes: u64,
}

impl Load {
    /// Lines of so many names, `each` a block.
    ///
    /// # Errors
    /// The blocks do not come out even.
    pub fn lines(names: usize, each: usize) -> anyhow::Result<Self> {
        let load = Self::chunked(names, each)?;
        let blocks = load.1.iter().map(|lines| lines.concat());
        Ok(Self { blocks: blocks.collect(), ..load.0 })
    }

    /// Pickle frames of so many names, `each` datapoints a frame.
    ///
    /// # Errors
    /// The frames do not come out even.
    pub fn pickles(names: usize, each: usize) -> anyhow::Result<Self> {
        let (mut load, chunks) = Self::chunked(names, each)?;
        load.line_bytes = 0;
        for lines in &chunks {
            let mut frame = Vec::new();
            let bare = lines.iter().filter_map(|line| line.strip_suffix(b"\n"));
            let encoded = encode_frame(bare, &mut frame);
            ensure!(encoded.datapoints == each, "{encoded:?} instead of {each}");
            load.blocks.push(frame);
            // A double leaves in its shortest form.
            for line in lines {
                load.line_bytes += shortest(line)? as u64;
            }
        }
        Ok(load)
    }

    /// The datagrams of a fleet, `each` value lists a datagram.
    pub fn fleet(fleet: Fleet, each: usize) -> Self {
        let hosts = fleet.hosts.iter().step_by(CHECK_STEP_HOSTS);
        let keys = hosts.map(|host| host.clone().into_bytes()).collect();
        Self { blocks: fleet.datagrams, each, keys, line_bytes: 0 }
    }

    /// An empty load, and the lines for its blocks.
    fn chunked(names: usize, each: usize) -> anyhow::Result<(Self, Vec<Vec<Vec<u8>>>)> {
        ensure!(each > 0 && names.is_multiple_of(each), "{names} names in blocks of {each}");
        let lines = Lines::new(0, names);
        let split: Vec<&[u8]> = lines.text.split_inclusive(|&byte| byte == b'\n').collect();
        let chunks = split.chunks(each).map(|chunk| chunk.iter().map(|l| l.to_vec()).collect());
        let keys = lines.names(CHECK_STEP).map(<[u8]>::to_vec).collect();
        let line_bytes = lines.text.len() as u64;
        Ok((Self { blocks: Vec::new(), each, keys, line_bytes }, chunks.collect()))
    }
}

impl Source for Load {
    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn block(&mut self, at: usize) -> &[u8] {
        self.blocks.get(at).map_or(&[], Vec::as_slice)
    }

    fn samples_each(&self) -> u64 {
        self.each as u64
    }

    fn line_bytes(&self) -> u64 {
        self.line_bytes
    }
}

/// Bytes of a line, LF and all, whose value is written as the shortest text of that double.
fn shortest(line: &[u8]) -> anyhow::Result<usize> {
    let line = std::str::from_utf8(line)?;
    let value = line.split(' ').nth(1).context("a line without value")?;
    // `{:?}` and not `{}`: a whole number keeps its ".0".
    Ok(line.len() - value.len() + format!("{:?}", value.parse::<f64>()?).len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_what_they_say() {
        let mut load = Load::lines(1000, 20).unwrap();
        assert_eq!((load.blocks(), load.samples()), (50, 1000));
        assert_eq!(load.block(49).split_inclusive(|&byte| byte == b'\n').count(), 20);
        assert!(load.block(50).is_empty());
        assert!(Load::lines(1000, 30).is_err());
    }

    #[test]
    fn a_value_is_as_long_as_its_shortest_form() {
        assert_eq!(shortest(b"a 12.340000 1\n").unwrap(), b"a 12.34 1\n".len());
        assert_eq!(shortest(b"a 12.000000 1\n").unwrap(), b"a 12.0 1\n".len());
    }
}
