//! Pickled datapoints: routed as the lines that they stand for.

use std::mem::take;

use coco_wire::pickle;

use super::{Pipeline, Source};

/// Bytes of pickled datapoints that are routed at once: a frame may hold many times its size.
const DATAPOINTS_BYTES: usize = 64 * 1024;

impl Pipeline {
    /// Routes the datapoints of one pickle frame, as the lines that they stand for.
    pub(crate) fn pickle(&mut self, frame: &[u8], from: &Source<'_>) {
        if self.work.watches {
            self.watch_pickle(frame, |pipeline| pipeline.any_pickle(frame, from));
        } else {
            self.any_pickle(frame, from);
        }
    }

    /// The same, whatever it is.
    fn any_pickle(&mut self, frame: &[u8], from: &Source<'_>) {
        let mut lines = take(&mut self.work.datapoints);
        let now = self.work.now.unix_seconds;
        let decoded = pickle::decode(frame, |element| match element {
            Ok(datapoint) => {
                datapoint.append_to(now, &mut lines);
                lines.push(b'\n');
                if lines.len() >= DATAPOINTS_BYTES {
                    self.lines(&lines, from);
                    lines.clear();
                }
            }
            Err(error) => {
                self.reject(error.as_str(), from, || "element of a pickle".to_owned());
            }
        });
        self.lines(&lines, from);
        lines.clear();
        self.work.datapoints = lines;
        if let Err(error) = decoded {
            self.reject(error.kind.as_str(), from, || {
                format!("pickle of {} bytes: {error}", frame.len())
            });
        }
    }
}
