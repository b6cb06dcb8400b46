use std::time::Duration;

use coco_tests::{
    isolation::{BAD, HOSTS, Load, Loss, Plan, Scene, Speech, isolated},
    namespace::{Network, alone},
};

const SECOND: Duration = Duration::from_secs(1);

/// Else the kernel takes for a target all that a test sends.
fn small_buffers(network: &Network) {
    network.set("ipv4/tcp_wmem", "4096 16384 65536");
    network.set("ipv4/tcp_rmem", "4096 16384 65536");
}

#[test]
fn a_tcp_target_that_swallows_everything() {
    alone(|network| {
        small_buffers(network);
        let plan =
            Plan { samples: [20, 2, 2], ..Plan::new("TCP black hole", Speech::Lines, Loss::None) };
        isolated(network, plan, |_, load| {
            network.rule(&["-d", BAD], &["DROP"]);
            load.most_goes_by();
            network.heal();
        });
    });
}

#[test]
fn a_tcp_target_that_answers_with_resets() {
    alone(|network| {
        let plan = Plan::new("TCP reset at each connect", Speech::Lines, Loss::Repeated);
        isolated(network, plan, |_, load| {
            // Not what goes back to Coco, which has the same address.
            let to_it = ["-p", "tcp", "-d", BAD, "--dport", "2003"];
            network.rule(&to_it, &["REJECT", "--reject-with", "tcp-reset"]);
            load.most_goes_by();
            network.heal();
        });
    });
}

#[test]
fn a_tcp_target_whose_connections_are_reset_five_times_a_second() {
    alone(|network| {
        let plan = Plan::new("TCP resets in mid-stream", Speech::Lines, Loss::Repeated);
        isolated(network, plan, |scene, load| {
            while load.goes_on_for(SECOND / 5) {
                scene.with(0, |target| target.reset());
            }
        });
    });
}

#[test]
fn a_tcp_target_that_reads_a_kilobyte_a_second() {
    alone(|network| {
        small_buffers(network);
        let plan =
            Plan { samples: [20, 2, 2], ..Plan::new("TCP at 1 kB/s", Speech::Lines, Loss::None) };
        isolated(network, plan, |scene, load| {
            scene.with(0, |target| target.read_at(1000));
            load.goes_by();
            scene.with(0, |target| target.read_at(0));
        });
    });
}

#[test]
fn a_tcp_target_behind_a_thin_line() {
    alone(|network| {
        let plan = Plan::new("TCP at 80 kbit/s", Speech::Lines, Loss::None);
        isolated(network, plan, |_, load| {
            network.limit(HOSTS[0], 80);
            load.goes_by();
            network.unlimit();
        });
    });
}

#[test]
fn a_tcp_target_behind_a_line_that_loses_every_third_packet() {
    alone(|network| {
        let plan = Plan::new("TCP, a third lost", Speech::Lines, Loss::None);
        isolated(network, plan, |_, load| {
            let third = ["-d", BAD, "-m", "statistic", "--mode", "random", "--probability", "0.33"];
            network.rule(&third, &["DROP"]);
            load.most_goes_by();
            network.heal();
        });
    });
}

#[test]
fn a_tcp_target_behind_a_slow_line() {
    alone(|network| {
        let plan = Plan::new("TCP, 300 ms of delay", Speech::Lines, Loss::Repeated);
        isolated(network, plan, |scene, load| {
            let proxy = scene.stand_before(0);
            proxy.delay(SECOND * 3 / 10);
            load.goes_by();
            // It stays until all is there.
            proxy
        });
    });
}

/// The faulty target is away every other second.
fn come_and_go(scene: &Scene, load: &Load) {
    loop {
        scene.close(0);
        let goes_on = load.goes_on_for(SECOND);
        scene.open(0);
        if !goes_on || !load.goes_on_for(SECOND) {
            break;
        }
    }
}

#[test]
fn a_tcp_target_that_comes_and_goes_each_second() {
    alone(|network| {
        let plan = Plan::new("TCP, 1 s off, 1 s on", Speech::Lines, Loss::Repeated);
        isolated(network, plan, come_and_go);
    });
}

#[test]
fn a_tcp_target_that_lost_its_power_and_starts_again() {
    alone(|network| {
        let plan = Plan::new("TCP half open", Speech::Lines, Loss::Repeated);
        isolated(network, plan, |scene, load| {
            // Not even its end is told.
            network.rule(&["-d", BAD], &["DROP"]);
            scene.with(0, |target| target.reset());
            load.goes_on_for(SECOND);
            scene.close(0);
            scene.open(0);
            network.heal();
            load.goes_by();
        });
    });
}

#[test]
fn a_udp_target_that_swallows_everything() {
    alone(|network| {
        let plan = Plan::new("UDP black hole", Speech::Lists, Loss::Taken);
        isolated(network, plan, |_, load| {
            network.rule(&["-d", BAD], &["DROP"]);
            load.most_goes_by();
            network.heal();
        });
    });
}

#[test]
fn a_udp_target_whose_port_is_closed() {
    alone(|network| {
        let plan = Plan::new("UDP refused", Speech::Lists, Loss::Taken);
        isolated(network, plan, |scene, load| {
            scene.close(0);
            load.most_goes_by();
            scene.open(0);
        });
    });
}

#[test]
fn a_udp_target_that_comes_and_goes_each_second() {
    alone(|network| {
        let plan = Plan::new("UDP, 1 s off, 1 s on", Speech::Lists, Loss::Taken);
        isolated(network, plan, come_and_go);
    });
}

#[test]
fn a_udp_target_that_this_machines_firewall_forbids() {
    alone(|network| {
        let plan = Plan::new("UDP forbidden here", Speech::Lists, Loss::None);
        isolated(network, plan, |_, load| {
            network.rule_out(&["-d", BAD], &["DROP"]);
            load.most_goes_by();
            network.heal();
        });
    });
}

#[test]
fn a_udp_target_that_a_router_forbids() {
    alone(|network| {
        let plan = Plan::new("UDP forbidden on the way", Speech::Lists, Loss::Taken);
        isolated(network, plan, |_, load| {
            network.rule(
                &["-p", "udp", "-d", BAD],
                &["REJECT", "--reject-with", "icmp-admin-prohibited"],
            );
            load.most_goes_by();
            network.heal();
        });
    });
}

#[test]
fn a_udp_target_to_which_nothing_leads() {
    alone(|network| {
        let plan = Plan::new("UDP without a route", Speech::Lists, Loss::None);
        isolated(network, plan, |_, load| {
            network.take(HOSTS[0]);
            load.most_goes_by();
            network.add(HOSTS[0]);
        });
    });
}
