//! Histories that are known to be right or wrong, and an independent judge of small ones.

use super::{Held, Operation, Record, first_unexplained};
use proptest::prelude::*;

fn record(operation: Operation, invoked_ns: u64, answered_ns: Option<u64>) -> Record {
    Record {
        key: 1,
        operation,
        invoked_ns,
        answered_ns,
    }
}

fn put(value: u64) -> Operation {
    Operation::Put { value }
}

/// Stays for 5, and is gone after 15.
fn put_that_goes(value: u64) -> Operation {
    Operation::PutThatGoes {
        value,
        stays_ns: 5,
        gone_after_ns: 15,
    }
}

fn get(seen: Option<u64>) -> Operation {
    Operation::Get { seen: Some(seen) }
}

fn is_explained(records: &[Record]) -> bool {
    first_unexplained(records).is_none()
}

#[test]
fn a_stale_read_is_found() {
    let mut history = vec![
        record(put(1), 0, Some(10)),
        record(put(2), 20, Some(30)),
        record(get(Some(2)), 40, Some(50)),
    ];
    assert!(is_explained(&history));
    history.push(record(get(Some(1)), 60, Some(70)));
    assert_eq!(first_unexplained(&history), Some(1));
}

#[test]
fn a_lost_write_is_found() {
    let history = [record(put(1), 0, Some(10)), record(get(None), 20, Some(30))];
    assert!(!is_explained(&history));
}

#[test]
fn overlapping_operations_may_take_either_order() {
    for seen in [1, 2] {
        let history = [
            record(put(1), 0, Some(100)),
            record(put(2), 0, Some(100)),
            record(get(Some(seen)), 200, Some(210)),
        ];
        assert!(is_explained(&history));
    }
}

#[test]
fn an_increment_that_took_effect_twice_is_found() {
    let increment = Operation::Incr { by: 1, sum: None };
    let history = [
        record(put(5), 0, Some(1)),
        record(increment.clone(), 2, Some(3)),
        record(get(Some(7)), 4, Some(5)),
    ];
    assert!(!is_explained(&history));
    let unknown = record(increment, 2, None);
    assert!(is_explained(&[history.to_vec(), vec![unknown]].concat()));
}

#[test]
fn an_unknown_write_may_come_late_or_never_but_not_go_back() {
    let late = [
        record(put(1), 0, Some(1)),
        record(put(2), 2, None),
        record(get(Some(1)), 50, Some(51)),
        record(get(Some(2)), 60, Some(61)),
    ];
    assert!(is_explained(&late));
    let back = [late.to_vec(), vec![record(get(Some(1)), 70, Some(71))]].concat();
    assert!(!is_explained(&back));
}

#[test]
fn a_failed_condition_that_took_effect_is_found() {
    let swap = |done| Operation::PutIfEquals {
        expected: 1,
        value: 2,
        done: Some(done),
    };
    let history = |done| {
        [
            record(put(1), 0, Some(1)),
            record(swap(done), 2, Some(3)),
            record(get(Some(2)), 4, Some(5)),
        ]
    };
    assert!(is_explained(&history(true)));
    assert!(!is_explained(&history(false)));
}

#[test]
fn a_long_history_is_judged() {
    // Each write overlaps the next, and the last read is stale.
    let mut records: Vec<Record> = (0..50_000)
        .map(|number| record(put(number), number * 10, Some(number * 10 + 15)))
        .collect();
    let end = 50_000 * 10 + 100;
    records.push(record(get(Some(49_999)), end, Some(end + 1)));
    assert!(is_explained(&records));
    records.push(record(get(Some(7)), end + 2, Some(end + 3)));
    assert!(!is_explained(&records));
}

#[test]
fn a_value_that_goes_neither_goes_too_early_nor_stays_nor_comes_back() {
    let with = |reads: &[(Option<u64>, u64)]| {
        let read = |(seen, at): &(Option<u64>, u64)| record(get(*seen), *at, Some(*at));
        let mut history = vec![record(put_that_goes(1), 10, Some(20))];
        history.extend(reads.iter().map(read));
        is_explained(&history)
    };
    assert!(with(&[(Some(1), 21), (Some(1), 35)]));
    assert!(with(&[(None, 21)]), "it may have gone 5 after it began");
    assert!(!with(&[(Some(1), 36)]), "it is gone 15 after it was done");
    assert!(!with(&[(None, 25), (Some(1), 26)]), "it came back");
    let early = [
        record(put_that_goes(1), 10, Some(11)),
        record(get(None), 13, Some(14)),
    ];
    assert!(!is_explained(&early));
}

/// Tries every order of every subset that holds all answered operations.
fn judge_by_trying_all(records: &[Record]) -> bool {
    fn place(rest: &mut Vec<Record>, held: Option<Held>) -> bool {
        if rest.iter().all(|record| record.answered_ns.is_none()) {
            return true;
        }
        (0..rest.len()).any(|index| {
            let next = rest.remove(index);
            let comes_too_early = rest
                .iter()
                .any(|other| other.answered_ns.is_some_and(|end| end < next.invoked_ns));
            let fits = !comes_too_early && next.afters(held).any(|after| place(rest, after));
            rest.insert(index, next);
            fits
        })
    }
    place(&mut records.to_vec(), None)
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let value = 1..4_u64;
    prop_oneof![
        value.clone().prop_map(put),
        value.clone().prop_map(put_that_goes),
        (value.clone(), value.clone(), any::<Option<bool>>()).prop_map(
            |(expected, value, done)| {
                Operation::PutIfEquals {
                    expected,
                    value,
                    done,
                }
            }
        ),
        proptest::option::of(value.clone()).prop_map(|sum| Operation::Incr { by: 1, sum }),
        any::<Option<bool>>().prop_map(|removed| Operation::Delete { removed }),
        proptest::option::of(value).prop_map(get),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    let times = (0..20_u64, proptest::option::weighted(0.8, 0..10_u64));
    (any_operation(), times).prop_map(|(operation, (invoked_ns, took_ns))| {
        let answered_ns = took_ns.map(|took_ns| invoked_ns + took_ns);
        record(operation, invoked_ns, answered_ns)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_search_finds_what_trying_all_finds(
        records in proptest::collection::vec(any_record(), 1..7)
    ) {
        prop_assert_eq!(is_explained(&records), judge_by_trying_all(&records));
    }
}
