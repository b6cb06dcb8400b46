//! D and p against those of scipy, on the pairs of `testdata/ks.tsv`.

use coco_checks::ks::{Statistic, asymptotic};

const PAIRS: &str = include_str!("../testdata/ks.tsv");

const TOLERANCE: f64 = 1e-9;

fn sample(text: &str) -> Vec<f64> {
    text.split(' ').map(|value| value.parse().expect("a number")).collect()
}

#[test]
fn a_thousand_pairs_agree_with_scipy() {
    let (mut pairs, mut exact_pairs, mut tied) = (0, 0, 0);
    for row in PAIRS.lines().filter(|line| !line.starts_with('#')) {
        let [n, m, d, exact, stephens, a, b] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        let (a, b) = (sample(a), sample(b));
        let [n, m]: [usize; 2] = [n, m].map(|size| size.parse().unwrap());
        assert_eq!((a.len(), b.len()), (n, m));
        tied += usize::from(a.iter().any(|value| b.contains(value)));
        let found = Statistic::of(&a, &b).unwrap();
        let near = |what: &str, found: f64, wanted: &str| {
            let wanted: f64 = wanted.parse().unwrap();
            // To so many places of the number itself, not only of what is left of 1.
            assert!(
                (found - wanted).abs() <= TOLERANCE * wanted,
                "{what} {found}, not {wanted}: {row}"
            );
        };
        near("D", found.d(), d);
        if exact == "-" {
            assert!(n * m > 10_000);
            near("p", found.p(), stephens);
        } else {
            near("p", found.p(), exact);
            exact_pairs += 1;
        }
        near("p by Stephens", asymptotic(n, m, found.d()), stephens);
        pairs += 1;
    }
    assert_eq!((pairs, exact_pairs), (1_000, 900));
    assert!(tied > 500, "{tied} pairs with ties");
}
