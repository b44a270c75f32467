use kv_common::id::{ClusterId, Epoch};
use proptest::prelude::*;

use super::{AWAITED_MAX, Route, Routes};
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

#[test]
fn a_primary_that_does_not_act_yet_is_asked_again_and_not_the_one_before() {
    let mut routes = Routes::new(Vec::new());
    routes.note_map(map_of_version(1, 1, 1));
    routes.note_map(map_of_version(2, 2, 3));
    for turn in 0..AWAITED_MAX {
        assert_eq!(routes.next_route(), ask(3));
        // It does not know the view, then it knows it and does not act yet.
        if turn % 2 == 0 {
            routes.note_refusal(&address(3), Some(&address(1)), Epoch(1));
        } else {
            routes.note_refusal(&address(3), None, Epoch(2));
        }
        assert!(matches!(routes.next_route(), Route::Pause(_)));
    }
    // It is given up some time, for there may be news elsewhere.
    assert_eq!(routes.next_route(), ask(3));
    routes.note_refusal(&address(3), Some(&address(1)), Epoch(1));
    assert_eq!(routes.next_route(), ask(1));
    routes.note_success();
    assert_eq!(routes.next_route(), ask(3));
}

proptest! {
    /// Whatever nodes say, every known node is asked, none but the map's primary twice, and a pause comes after
    /// finitely many.
    #[test]
    fn every_known_node_is_asked_before_a_pause(
        with_map in any::<bool>(),
        answers in proptest::collection::vec((0_u64..3, 1_u64..9, 0_u64..5), 24),
    ) {
        let mut routes = Routes::new(vec![address(1), address(5)]);
        if with_map {
            routes.note_map(map_of_version(1, 2, 3));
        }
        let mut asked = std::collections::BTreeSet::new();
        let mut answers = answers.into_iter();
        let mut pauses = 0;
        loop {
            match routes.next_route() {
                Route::Ask(whom) => {
                    let again = !asked.insert(whom.clone());
                    prop_assert!(!again || (with_map && whom == address(3)), "{whom} was asked twice");
                    let (kind, other, epoch) = answers.next().expect("few are asked");
                    match kind {
                        0 => routes.note_failure(&whom),
                        1 => routes.note_refusal(&whom, None, Epoch(epoch)),
                        _ => routes.note_refusal(&whom, Some(&address(other)), Epoch(epoch)),
                    }
                }
                Route::Pause(_) if asked.contains(&address(1)) && asked.contains(&address(5)) => break,
                Route::Pause(_) => pauses += 1,
                Route::NobodyKnown => panic!("two nodes are known"),
            }
            prop_assert!(pauses <= AWAITED_MAX);
        }
        prop_assert!(asked.contains(&address(1)) && asked.contains(&address(5)));
    }
}
