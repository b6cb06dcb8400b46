//! More names than fit into memory: one block of lines, in which the hosts are written anew.

use std::fmt::Write as _;

use super::Source;

/// Series of each host.
const PER_HOST: usize = 40;

/// Hosts in a block.
const HOSTS: usize = 250;

/// Digits of a host's number: 400 million names.
const DIGITS: usize = 7;

/// Where the digits stand in a line.
const DIGITS_AT: usize = "dc0.production.web".len();

/// Lines of so many distinct names, 10,000 a block.
#[derive(Debug)]
pub struct ManyNames {
    text: Vec<u8>,
    /// Where each line begins.
    starts: Vec<usize>,
    blocks: usize,
}

impl ManyNames {
    /// At least `names` of them: whole blocks.
    pub fn new(names: usize) -> Self {
        let (mut text, mut starts) = (String::new(), Vec::new());
        for series in (0..HOSTS).flat_map(|_| 0..PER_HOST) {
            starts.push(text.len());
            // Writing into memory does not fail.
            let _written = writeln!(
                text,
                "dc0.production.web{:0DIGITS$}.servers.cpu.{}.s{}.percent {}.5 1700000000",
                0,
                series / 8,
                series % 8,
                10 + series,
            );
        }
        let blocks = names.div_ceil(HOSTS * PER_HOST);
        Self { text: text.into_bytes(), starts, blocks }
    }
}

impl Source for ManyNames {
    fn blocks(&self) -> usize {
        self.blocks
    }

    fn block(&mut self, at: usize) -> &[u8] {
        for (host, starts) in self.starts.chunks_exact(PER_HOST).enumerate() {
            let mut digits = [b'0'; DIGITS];
            let mut number = at * HOSTS + host;
            for digit in digits.iter_mut().rev() {
                *digit += u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
            for start in starts {
                let place = self.text.get_mut(start + DIGITS_AT..start + DIGITS_AT + DIGITS);
                if let Some(place) = place {
                    place.copy_from_slice(&digits);
                }
            }
        }
        &self.text
    }

    fn samples_each(&self) -> u64 {
        (HOSTS * PER_HOST) as u64
    }

    fn line_bytes(&self) -> u64 {
        (self.text.len() * self.blocks) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_names_are_distinct_and_all_blocks_as_long() {
        let mut many = ManyNames::new(24_001);
        let (mut names, mut bytes) = (HashSet::new(), 0);
        for at in 0..many.blocks() {
            let block = many.block(at);
            bytes += block.len() as u64;
            let lines = block.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            names.extend(lines.map(|l| l.split(|&b| b == b' ').next().unwrap().to_vec()));
        }
        assert_eq!(names.len() as u64, many.samples());
        assert_eq!(bytes, many.line_bytes());
    }
}
