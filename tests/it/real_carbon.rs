use std::{
    collections::BTreeMap,
    io::Write,
    net::TcpStream,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coco_tests::{
    carbon::{Carbon, send_pickles},
    coco::{Coco, targets},
    corpus,
    wait::{wait_for, wait_until},
};

/// Names by line, and as many by pickle.
const NAMES: usize = 10_000;

/// Creating 20,000 files takes carbon some time.
const LIMIT: Duration = Duration::from_secs(180);

#[test]
fn names_by_line_and_by_pickle_are_in_the_whisper_files_of_their_owners_by_line() {
    check("graphite", Carbon::line_address);
}

#[test]
fn names_by_line_and_by_pickle_are_in_the_whisper_files_of_their_owners_by_pickle() {
    check("graphite-pickle", Carbon::pickle_address);
}

fn check(protocol: &str, address: fn(&Carbon) -> String) {
    let carbons = [Carbon::start(), Carbon::start()];
    let addresses = carbons.each_ref().map(address);
    let coco = Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\npickle = \"127.0.0.1:0\"\n\
         [tiers.carbon]\nprotocol = \"{protocol}\"\n{}",
        targets(&addresses)
    ));

    let sent = points();
    let line =
        |(name, (time, value)): (&String, &(u64, String))| format!("{name} {value} {time}\n");
    let text: Vec<_> = sent.iter().map(line).collect();
    let (lines, pickles) = text.split_at(NAMES);
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(lines.concat().as_bytes()).unwrap();
    drop(client);
    send_pickles(coco.listener("pickle").port(), &pickles.concat());

    coco.wait_for_ledger("all names", LIMIT, |ledger| match ledger.samples("decoded") {
        decoded if decoded == sent.len() as u64 => Ok(()),
        decoded => Err(format!("{decoded} of {}", sent.len())),
    });
    let ledger = coco.settle();
    assert_eq!(ledger.shed_in_all(), 0, "{ledger}");

    let mut due = addresses.each_ref().map(|_| BTreeMap::new());
    for (name, point) in &sent {
        let owner = coco.owner("carbon", name.as_bytes());
        let place = addresses.iter().position(|address| *address == owner).unwrap();
        due[place].insert(name.clone(), point.clone());
    }
    coco.stop();

    wait_until("carbon to make its files", LIMIT, || {
        carbons.iter().map(Carbon::file_count).sum::<usize>() >= sent.len()
    });
    let names: Vec<_> = sent.keys().cloned().collect();
    for (carbon, due) in carbons.iter().zip(due) {
        assert!(due.len() > NAMES / 2, "{} of {} names on one of two", due.len(), sent.len());
        // A file is made before its first point is written.
        let stored = wait_for("carbon to write its points", LIMIT, || {
            let stored = carbon.stored(&names);
            if stored.len() >= due.len() { Ok(stored) } else { Err(stored.len().to_string()) }
        });
        assert_eq!(carbon.file_count(), due.len(), "files on one carbon");
        for (name, (time, value)) in due {
            let (stored_time, stored_value) = &stored[&name];
            assert_eq!(*stored_time, time, "time of {name}");
            let [stored, sent] = [stored_value, &value].map(|text| text.parse::<f64>().unwrap());
            assert_eq!(stored.to_bits(), sent.to_bits(), "value of {name}: {value}");
        }
    }
}

/// A time and a value for each of the names.
fn points() -> BTreeMap<String, (u64, String)> {
    let mut random = corpus::random();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let point = |number| {
        // Whole minutes, as far back as the whisper files reach with some slack.
        let time = now - now % 60 - 60 * random.u64(0..45);
        let value = match number % 4 {
            0 => random.i32(..).to_string(),
            1 => (random.f64() * 1e6 - 5e5).to_string(),
            2 => format!("{:e}", random.f64() * 1e-9),
            _ => format!("{}.50", random.u8(..)),
        };
        (corpus::metric_name(&mut random, number), (time, value))
    };
    (0..2 * NAMES).map(point).collect()
}
