//! Datagrams that the kernel dropped because a receive buffer was full.
//!
//! Read from the last column of `/proc/self/net/udp` and `udp6`, found by the socket's inode: exact at
//! once, unlike `SO_RXQ_OVFL`, which is stamped only when a later datagram is queued.

use std::{collections::HashMap, fs, net::UdpSocket, os::fd::AsRawFd};

/// The drop counters of some sockets, as last seen.
#[derive(Debug, Default)]
pub(crate) struct DropWatch {
    /// Inode -> drops at the last poll. The kernel's counter has 32 bits and wraps.
    sockets: HashMap<u64, u32>,
}

impl DropWatch {
    /// Watches `socket`, whose counter is taken to be 0 now.
    pub(crate) fn watch(&mut self, socket: &UdpSocket) {
        let link =
            fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap_or_default();
        let link = link.to_string_lossy().into_owned();
        let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        if let Some(inode) = inode.and_then(|text| text.parse().ok()) {
            self.sockets.insert(inode, 0);
        }
    }

    /// Watches `socket`, which others have had: what the kernel dropped before does not count.
    pub(crate) fn watch_from_now(&mut self, socket: &UdpSocket) {
        self.watch(socket);
        self.poll();
    }

    /// The counters as last seen, by inode.
    pub(crate) fn into_seen(self) -> Vec<(u64, u32)> {
        self.sockets.into_iter().collect()
    }

    /// What others have seen is not new.
    pub(crate) fn go_on_from(&mut self, seen: &[(u64, u32)]) {
        for (inode, drops) in seen {
            if let Some(before) = self.sockets.get_mut(inode) {
                *before = *drops;
            }
        }
    }

    /// Datagrams dropped since the last poll.
    pub(crate) fn poll(&mut self) -> u64 {
        if self.sockets.is_empty() {
            return 0;
        }
        ["/proc/self/net/udp", "/proc/self/net/udp6"]
            .into_iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .map(|table| self.advance(&table))
            .sum()
    }

    fn advance(&mut self, table: &str) -> u64 {
        let mut new = 0;
        for (inode, drops) in table.lines().skip(1).filter_map(inode_and_drops) {
            if let Some(before) = self.sockets.get_mut(&inode) {
                new += u64::from(drops.wrapping_sub(*before));
                *before = drops;
            }
        }
        new
    }
}

/// Columns 10 (inode) and 13 (drops) of a line of the table.
fn inode_and_drops(line: &str) -> Option<(u64, u32)> {
    let mut columns = line.split_ascii_whitespace().skip(9);
    let inode = columns.next()?.parse().ok()?;
    let drops = columns.nth(2)?.parse().ok()?;
    Some((inode, drops))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  301: 0100007F:64E2 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 8880
  302: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 5
";

    #[test]
    fn only_new_drops_of_watched_sockets_count_and_the_counter_may_wrap() {
        let mut watch = DropWatch { sockets: HashMap::from([(4711, 8870)]) };
        assert_eq!(watch.advance(TABLE), 10);
        assert_eq!(watch.advance(TABLE), 0);
        watch.sockets.insert(4711, u32::MAX);
        assert_eq!(watch.advance(TABLE), 8881);
    }

    #[test]
    fn what_another_process_has_counted_is_not_counted_again() {
        let mut before = DropWatch { sockets: HashMap::from([(4711, 0), (4712, 0)]) };
        assert_eq!(before.advance(TABLE), 8885);
        let mut after = DropWatch { sockets: HashMap::from([(4711, 0)]) };
        after.go_on_from(&before.into_seen());
        assert_eq!(after.advance(TABLE), 0);
    }

    #[test]
    fn a_socket_of_ours_is_found_by_its_inode() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut watch = DropWatch::default();
        watch.watch(&socket);
        assert_eq!(watch.sockets.len(), 1);
        assert_eq!(watch.poll(), 0);
    }
}
