use kv_common::id::{ClusterId, Epoch};
use proptest::prelude::*;

use super::{Route, Routes};
use crate::fixture::{address, map_of_version};

fn ask(number: u64) -> Route {
    Route::Ask(address(number))
}

#[test]
fn the_maps_primary_comes_first_then_the_others_then_a_pause() {
    let mut routes = Routes::new(Vec::new());
    assert_eq!(routes.next_route(), Route::NobodyKnown);
    assert!(routes.note_map(map_of_version(1, 1, 2)));
    for expected in [2, 1, 3] {
        assert_eq!(routes.next_route(), ask(expected));
        routes.note_failure(&address(expected));
    }
    assert!(matches!(routes.next_route(), Route::Pause(_)));
    assert_eq!(routes.next_route(), ask(2));
}

#[test]
fn a_newer_map_is_followed_at_once_and_an_older_one_never() {
    let mut routes = Routes::new(Vec::new());
    assert!(routes.note_map(map_of_version(5, 2, 2)));
    routes.note_failure(&address(2));
    routes.note_failure(&address(3));
    assert!(!routes.note_map(map_of_version(4, 1, 1)));
    assert!(routes.note_map(map_of_version(6, 3, 3)));
    assert_eq!(routes.next_route(), ask(3));
    let mut foreign = map_of_version(9, 9, 1);
    foreign.cluster = ClusterId(2);
    assert!(!routes.note_map(foreign));
    assert_eq!(routes.primary(), Some(&address(3)));
}

#[test]
fn a_map_without_news_of_the_primary_is_no_reason_to_begin_again() {
    let mut routes = Routes::new(Vec::new());
    routes.note_map(map_of_version(1, 1, 2));
    routes.note_failure(&address(2));
    assert!(!routes.note_map(map_of_version(2, 1, 2)));
    assert_eq!(routes.next_route(), ask(1));
}

#[test]
fn a_hint_leads_to_a_primary_that_no_map_told_of() {
    let mut routes = Routes::new(vec![address(7)]);
    assert_eq!(routes.next_route(), ask(7));
    routes.note_refusal(&address(7), Some(&address(8)), Epoch(3));
    assert_eq!(routes.next_route(), ask(8));
    // A node that is behind does not lead back.
    routes.note_refusal(&address(8), Some(&address(9)), Epoch(2));
    assert!(matches!(routes.next_route(), Route::Pause(_)));
    assert_eq!(routes.primary(), Some(&address(8)));
}

#[test]
fn two_nodes_that_name_each_other_do_not_make_a_busy_loop() {
    let mut routes = Routes::new(vec![address(1), address(2)]);
    let mut asked = 0;
    loop {
        match routes.next_route() {
            Route::Ask(whom) => {
                asked += 1;
                let other = if whom == address(1) { 2 } else { 1 };
                routes.note_refusal(&whom, Some(&address(other)), Epoch(1));
            }
            Route::Pause(_) => break,
            Route::NobodyKnown => panic!("two nodes are known"),
        }
    }
    assert_eq!(asked, 2);
}

proptest! {
    /// Whatever nodes say, every known node is asked, and a pause comes after finitely many.
    #[test]
    fn every_known_node_is_asked_before_a_pause(
        with_map in any::<bool>(),
        answers in proptest::collection::vec((0_u64..3, 1_u64..9, 0_u64..5), 16),
    ) {
        let mut routes = Routes::new(vec![address(1), address(5)]);
        if with_map {
            routes.note_map(map_of_version(1, 2, 3));
        }
        let mut asked = std::collections::BTreeSet::new();
        let mut answers = answers.into_iter();
        loop {
            match routes.next_route() {
                Route::Ask(whom) => {
                    prop_assert!(asked.insert(whom.clone()), "{whom} was asked twice");
                    let (kind, other, epoch) = answers.next().expect("few are asked");
                    match kind {
                        0 => routes.note_failure(&whom),
                        1 => routes.note_refusal(&whom, None, Epoch(epoch)),
                        _ => routes.note_refusal(&whom, Some(&address(other)), Epoch(epoch)),
                    }
                }
                Route::Pause(_) => break,
                Route::NobodyKnown => panic!("two nodes are known"),
            }
        }
        prop_assert!(asked.contains(&address(1)) && asked.contains(&address(5)));
    }
}
