//! What was held is sorted to those who would get it if it came now, and no copy is lost or made.

use coco_wire::{
    collectd::{Decoder, Item},
    names::Names,
};

use super::*;
use crate::{chunk::Chunk, pipeline::Sorter, routes::Routes};

fn routes(tier: TierPlan) -> Routes {
    let (blacklist, limits) = (None, Limits::default());
    let plan = Plan {
        listeners: Vec::new(),
        blacklist,
        tiers: vec![tier],
        limits,
        spool: None,
        ringless: Vec::new(),
    };
    Routes::new(&plan, &Registry::default())
}

#[test]
fn lines_go_to_the_last_of_their_owners_as_they_are() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for names in [Names::Sorted, Names::AsIs, Names::Carbon { normalize_tags: true }] {
        for replicas in 1..=3 {
            let plan = TierPlan {
                names: names.clone(),
                ..tier("t", TargetProtocol::LineTcp, 5, replicas)
            };
            let routes = routes(plan);
            let tier = &routes.tiers[0];
            let mut chunk = Chunk::default();
            for n in 0..500 {
                let tags = ["", ";b=2;a=1", ";a=1"][random.usize(..3)];
                chunk.push_line(
                    format!("name{}{tags} {n} 1700000000", random.u32(..100)).as_bytes(),
                );
            }
            let mut sorter = Sorter::new(tier);
            sorter.sort(&chunk);
            let mut count = 0;
            for (slot, part) in sorter.finish() {
                for text in part.bytes.split(|&byte| byte == b'\n').filter(|text| !text.is_empty())
                {
                    let name = text.split(|&byte| byte == b' ').next().unwrap();
                    let owners = routes.owners(name);
                    assert_eq!(owners[0].targets.last(), Some(&format!("t-{slot}").as_str()));
                    assert!(chunk.bytes.windows(text.len()).any(|window| window == text));
                    count += 1;
                }
                assert_eq!(
                    part.bytes.split(|&byte| byte == b'\n').count() as u64 - 1,
                    part.samples
                );
            }
            assert_eq!((count, sorter.shed.is_empty()), (500, true), "seed {seed}");
        }
    }
}

#[test]
fn datagrams_go_as_they_are_or_are_taken_apart_and_no_list_is_lost() {
    let routes = routes(tier("t", TargetProtocol::Collectd, 3, 1));
    let mut chunk = Chunk::default();
    let hosts: Vec<String> = (0..40).map(|n| format!("web{n}")).collect();
    let mixed: Vec<_> = hosts.iter().map(|host| (host.as_str(), "cpu")).collect();
    chunk.push_frame(&datagram(&mixed[..20]), 20);
    chunk.push_frame(&datagram(&[("web07", "cpu"), ("web07", "load")]), 2);
    chunk.push_frame(&datagram(&mixed[20..]), 20);
    chunk.push_frame(b"no datagram", 7);
    let mut sorter = Sorter::new(&routes.tiers[0]);
    sorter.sort(&chunk);
    let mut count = 0;
    for (slot, part) in sorter.finish() {
        let (mut start, mut samples) = (0, 0);
        for frame in &part.frames {
            for item in Decoder::new(&part.bytes[start..frame.end]) {
                let Item::Values(list) = item else { panic!("{item:?}") };
                let owners = routes.owners(list.identity.host);
                assert_eq!(owners[0].targets, [format!("t-{slot}")]);
                samples += 1;
            }
            start = frame.end;
        }
        assert_eq!(samples, part.samples);
        count += samples;
    }
    assert_eq!((count, sorter.shed), (42, vec![(Shed::SpoolCorrupt, 7)]));
}
