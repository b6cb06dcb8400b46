//! What a worker has in hand: taken from the queue or from disk, and not yet settled.
//!
//! All that ends a chunk goes through here: sent, shed, given back, handed to the next process.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{Shed, Target, connect::Backoff, smooth::Backlog, window::Window};
use crate::{chunk::Chunk, handover, shared::Shared};

/// Bytes taken from the queue at once.
const TAKE_BYTES: usize = 512 * 1024;

/// What a worker has taken and not yet settled.
#[derive(Debug)]
pub(crate) struct Outbox<'a> {
    pub(crate) target: &'a Target,
    pub(crate) shared: &'a Shared,
    pub(crate) chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that its connection took.
    pub(crate) written: usize,
    /// What was written before it, for the next connection.
    pub(crate) window: Window,
    /// Connections that were to be the last one, and broke.
    pub(crate) unsure: u32,
    /// What is sent evenly to a UDP target.
    pub(crate) backlog: Backlog,
}

impl<'a> Outbox<'a> {
    pub(super) fn new(target: &'a Target, shared: &'a Shared) -> Self {
        let (window, backlog) = (Window::default(), Backlog::default());
        Self { target, shared, chunks: VecDeque::new(), written: 0, window, unsure: 0, backlog }
    }

    /// Everything is settled or on disk, and no more will come.
    pub(crate) fn is_done(&self) -> bool {
        self.can_end() && self.target.queue.is_finished()
    }

    /// What it has not sent is on disk, if there is any, and it need not make sure of what it has.
    pub(crate) fn can_end(&self) -> bool {
        !self.is_unsure() && self.chunks.iter().all(|chunk| chunk.spooled.is_some())
    }

    /// No connection comes after this one by which the target would get what this one loses.
    pub(crate) fn is_unsure(&self) -> bool {
        self.target.is_retired() && self.window.samples() > 0
    }

    /// The same, and nothing more is to be sent.
    pub(crate) fn is_unsure_only(&self) -> bool {
        self.is_unsure() && (self.target.queue.is_finished() || !self.has_more())
    }

    /// All that was sent has arrived.
    pub(crate) fn is_sure(&mut self) {
        self.window = Window::default();
        self.target.set_in_doubt(0);
    }

    /// Whether the window has arrived is not asked any more.
    pub(crate) fn leave_in_doubt(&mut self, why: &'static str) {
        let samples = self.window.samples();
        self.target.meters.left_in_doubt.add(samples);
        self.is_sure();
        let (tier, target) = (&self.target.tier, &self.target.plan.label);
        tracing::warn!(
            tier,
            target,
            samples,
            why,
            "taken out; it may not have got its last samples"
        );
    }

    /// Waits before the next attempt, but not when there is nothing left to send.
    pub(crate) async fn pause(&self, backoff: &mut Backoff) {
        tokio::select! {
            biased;
            () = tokio::time::sleep(backoff.pause()) => {}
            () = self.target.queue.finished(), if self.can_end() => {}
        }
    }

    /// The connection is gone: whole units that it took are sent, the rest goes to the next one, behind the
    /// window. What came from the queue goes back there, so that it can wait on disk.
    pub(crate) fn cut(&mut self) {
        let written = std::mem::take(&mut self.written);
        self.keep_written(written);
        self.window.rewind();
        self.target.set_in_doubt(self.window.samples());
        if let Some(chunk) = self.chunks.front_mut() {
            let (from_disk, samples) = (chunk.spooled.is_some(), chunk.settle(written));
            self.sent(from_disk, samples);
        }
        if self.owes() {
            self.give_back(0);
        }
    }

    /// Gives the queue back what it gave, all but the first `kept` chunks.
    pub(crate) fn give_back(&mut self, kept: usize) {
        if let Some(link) = &self.target.link {
            let mut back = self.chunks.split_off(kept.min(self.chunks.len()));
            // What comes from disk is never in front of what comes from the queue.
            let direct = back.iter().take_while(|chunk| chunk.spooled.is_none()).count();
            let mut from_disk = back.split_off(direct);
            back.iter_mut().for_each(Chunk::trim);
            self.target.queue.give_back(&mut back);
            self.chunks.append(&mut from_disk);
            link.set_direct(false);
        }
    }

    /// The spooler waits until the queue has been given back what can be.
    pub(crate) fn owes(&self) -> bool {
        self.target.link.as_ref().is_some_and(|link| !link.is_clear())
    }

    /// The target was not fed since then, when so many samples had ever fallen to it.
    pub(crate) fn held_back(&mut self, before: u64, since: Instant) {
        let (held, came) = (self.target.held(), self.target.meters.offered.get() - before);
        self.backlog.grew(came, since.elapsed(), held.queued + held.in_flight);
    }

    /// At which rate, in samples a second, the first chunk may go, if it is of a backlog.
    pub(crate) fn backlog_rate(&mut self) -> Option<u64> {
        let is_from_disk = self.chunks.front().is_some_and(|chunk| chunk.spooled.is_some());
        if let Some(link) = self.target.link.as_ref().filter(|_| is_from_disk) {
            self.backlog.is_on_disk(link.rate());
        }
        self.backlog.rate()
    }

    /// More waits for the target, in the queue or on disk.
    pub(crate) fn has_more(&self) -> bool {
        let on_disk =
            self.target.link.as_ref().is_some_and(|link| link.held() > 0 && !link.is_without());
        on_disk || self.target.queue.has_more()
    }

    /// Waits until there is more to take, or never will be.
    pub(crate) async fn more(&self) {
        match &self.target.link {
            None => self.target.queue.ready().await,
            Some(link) => {
                link.set_direct(false);
                tokio::select! {
                    biased;
                    () = self.target.queue.ready() => {}
                    () = link.ready() => {}
                }
            }
        }
    }

    /// Returns when a target that is leaving has got all else.
    pub(crate) async fn nothing_more(&self) {
        match &self.target.link {
            None => std::future::pending().await,
            Some(link) => link.nothing_more().await,
        }
    }

    /// Takes more: what was read from disk, else from the queue; or, where what comes now goes first, from
    /// the queue and from disk.
    pub(crate) fn take(&mut self) {
        let Some(link) = &self.target.link else {
            return self.target.queue.take(&mut self.chunks, TAKE_BYTES);
        };
        if !self.target.live_first {
            link.take(&mut self.chunks);
            if !self.chunks.is_empty() {
                return;
            }
        }
        // Told first: what is taken now must not be passed by what goes to disk.
        link.set_direct(true);
        self.target.queue.take(&mut self.chunks, TAKE_BYTES);
        if self.target.live_first {
            link.take(&mut self.chunks);
        }
    }

    /// Settles the chunks that were written whole.
    pub(crate) fn settle_written(&mut self) {
        while let Some(chunk) = self.chunks.front()
            && self.written >= chunk.bytes.len()
        {
            let (end, from_disk, samples) =
                (chunk.bytes.len(), chunk.spooled.is_some(), chunk.samples);
            self.written -= end;
            self.keep_written(end);
            self.drop_first();
            self.sent(from_disk, samples);
        }
    }

    /// Keeps the whole units among the first `end` bytes of the first chunk, in case that they do not arrive.
    fn keep_written(&mut self, end: usize) {
        self.window.set_bound(self.target.resend_bytes());
        if let Some(chunk) = self.chunks.front() {
            self.window.keep(chunk, end);
            // Told before they are counted as sent: what is beyond doubt has arrived.
            self.target.set_in_doubt(self.window.samples());
        }
    }

    /// `samples` went to the kernel, or are stored.
    pub(crate) fn sent(&self, from_disk: bool, samples: u64) {
        if samples > 0 {
            self.target.settle_sent(&self.shared.gate, from_disk, samples);
        }
    }

    /// `samples` are given up.
    pub(crate) fn shed(&self, reason: Shed, from_disk: bool, samples: u64) {
        if samples > 0 {
            self.target.settle_shed(&self.shared.gate, reason, from_disk, samples);
        }
    }

    /// Counts a failed write and shows the first one.
    pub(crate) fn write_failed(&self, error: &std::io::Error) {
        self.target.meters.write_errors.add(1);
        let (tier, target) = (&self.target.tier, &self.target.plan.label);
        self.shared.reports.once("write", target, || {
            tracing::warn!(%error, tier, target, "cannot send; trying on");
        });
    }

    /// The first chunk is done with.
    pub(crate) fn drop_first(&mut self) {
        if let Some(chunk) = self.chunks.pop_front() {
            if let (Some(link), Some(position)) = (&self.target.link, chunk.spooled) {
                link.done(position);
            }
            self.target.queue.recycle(chunk);
        }
    }

    /// Drops the first chunks, if nothing is left of them; one behind others waits until they are sent.
    pub(crate) fn drop_empty(&mut self) {
        while self.chunks.front().is_some_and(Chunk::is_empty) {
            self.drop_first();
        }
    }

    /// The next process, if there is one, gets what this one has not sent and has no disk for. What a reload
    /// has taken out had its time.
    pub(super) async fn hand_over(&mut self) {
        let Some(heir) = self.shared.heir() else { return };
        if self.target.link.is_some() || self.target.end_reason() == Shed::Retired {
            return;
        }
        self.cut();
        let mut chunks: Vec<_> = self.chunks.drain(..).collect();
        self.target.queue.end_into(&mut chunks);
        handover::hand_chunks(&heir, self.target, self.shared, &mut chunks).await;
        self.chunks.extend(chunks);
    }

    /// The time is over. What is left stays on disk or goes there; without a spool it is shed, and said so.
    pub(super) fn give_up(&mut self) {
        self.cut();
        if self.target.link.is_some() {
            self.give_back(0);
            if self.is_unsure() {
                let chunks = self.window.take();
                self.target.hold_again(&self.shared.gate, chunks);
                self.target.set_in_doubt(0);
            }
            return;
        }
        if self.is_unsure() {
            self.leave_in_doubt("it had not read them when its time was over, as far as is known");
        }
        let taken: u64 = self.chunks.drain(..).map(|chunk| chunk.samples).sum();
        let why = self.target.end_reason();
        self.shed(why, false, taken);
        let queued = self.target.shed_queued(&self.shared.gate, why);
        if taken + queued > 0 {
            let (tier, target) = (&self.target.tier, &self.target.plan.label);
            let (samples, why) = (taken + queued, why.as_str());
            tracing::error!(tier, target, samples, why, "shed at its end");
        }
    }
}
