//! Random crashes, pauses and restarts of real processes under clients that write down what they see.

use std::thread;
use std::time::{Duration, Instant};

use process_tests::{
    Cluster, ClusterOptions, PATIENCE, Proxy, Recorder, Recording, Way, wait_until,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use simulator::history::first_unexplained;

const WORKERS: u64 = 8;
/// Tells the long run how long it is to take, in seconds, and which way.
const DURATION_VARIABLE: &str = "KV_CHAOS_DURATION_S";
const SEED_VARIABLE: &str = "KV_CHAOS_SEED";

/// What happens to the processes.
struct Chaos {
    cluster: Cluster,
    random: StdRng,
    longest_pause: Duration,
}

impl Chaos {
    fn run(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.strike();
            self.wait(Duration::from_millis(100), Duration::from_secs(2));
        }
    }

    fn strike(&mut self) {
        let names = self.cluster.names();
        let name = names[self.random.random_range(0..names.len())].clone();
        match self.random.random_range(0..10) {
            0..=3 => {
                eprintln!("kill {name}");
                self.cluster.kill_node(&name);
                self.wait(Duration::ZERO, Duration::from_secs(2));
                self.cluster.start_node(&name);
            }
            4..=6 => {
                eprintln!("pause {name}");
                self.cluster.node(&name).pause();
                self.wait(Duration::from_millis(50), self.longest_pause);
                self.cluster.node(&name).resume();
            }
            7..=8 => {
                eprintln!("kill the coordinator");
                self.cluster.kill_coordinator();
                self.wait(Duration::ZERO, Duration::from_secs(1));
                self.cluster.start_coordinator();
            }
            _ => {
                eprintln!("kill all");
                self.cluster.kill_all();
                self.cluster.start_coordinator();
                for name in names {
                    self.cluster.start_node(&name);
                }
            }
        }
    }

    /// Lets things take their course: how long is part of what is tried out.
    fn wait(&mut self, least: Duration, most: Duration) {
        let span = most.saturating_sub(least).as_secs_f64();
        thread::sleep(least + Duration::from_secs_f64(span * self.random.random::<f64>()));
    }
}

fn crash_and_judge(
    cluster: Cluster,
    way: Way,
    duration: Duration,
    longest_pause: Duration,
    seed: u64,
) {
    eprintln!("seed {seed}, {} s", duration.as_secs());
    let recorder = Recorder::start(way, WORKERS, seed);
    let mut chaos = Chaos {
        cluster,
        random: StdRng::seed_from_u64(seed),
        longest_pause,
    };
    chaos.run(duration);
    chaos.cluster.wait_for_in_sync(3);
    let recording = recorder.finish();
    judge(&recording);
    chaos.cluster.expect_equal_copies();
}

fn judge(recording: &Recording) {
    let Recording {
        records,
        increments,
        unknown_increments,
        counter,
        longest_silence,
    } = recording;
    let unknown = records.iter().filter(|record| record.answered_ns.is_none());
    eprintln!(
        "{} operations ({} of unknown outcome), {increments} increments ({unknown_increments} unknown), \
         longest time without an answer {longest_silence:?}",
        records.len(),
        unknown.count()
    );
    assert!(records.len() > 100, "the clients hardly got anything done");
    assert_eq!(
        first_unexplained(records),
        None,
        "no order explains this key"
    );
    let possible = *increments..=increments + unknown_increments;
    assert!(
        possible.contains(counter),
        "{counter} is not in {possible:?}"
    );
}

/// A cluster, and the way of its clients through the client library.
fn natively() -> (Cluster, Way) {
    let cluster = Cluster::of_three();
    let coordinator = cluster.coordinator_address().to_owned();
    (cluster, Way::Native { coordinator })
}

/// A cluster, and the way of its clients through a Sentinel and the Redis doors.
fn through_redis() -> (Cluster, Way) {
    let cluster = Cluster::with_redis_doors(3);
    let sentinel = cluster.sentinel_address();
    (cluster, Way::Redis { sentinel })
}

#[test]
fn crashes_and_pauses_leave_a_linearizable_history() {
    let (cluster, way) = natively();
    let duration = Duration::from_secs(15);
    crash_and_judge(cluster, way, duration, Duration::from_secs(2), 1);
}

#[test]
fn redis_clients_see_a_linearizable_history_through_crashes_and_pauses() {
    let (cluster, way) = through_redis();
    let duration = Duration::from_secs(15);
    crash_and_judge(cluster, way, duration, Duration::from_secs(2), 1);
}

#[test]
fn connections_cut_in_the_middle_of_a_frame_lose_nothing() {
    let mut cluster = Cluster::without_daemons(ClusterOptions::default());
    cluster.put_proxies_between(1);
    cluster.start_coordinator();
    for name in cluster.names() {
        cluster.start_node(&name);
    }
    cluster.wait_for_in_sync(3);
    let coordinator = cluster.way_to_coordinator().to_owned();
    let recorder = Recorder::start(Way::Native { coordinator }, WORKERS, 1);
    let cut = |cluster: &Cluster, cutting| cluster.proxies().for_each(|proxy| proxy.cut(cutting));
    let cuts = |cluster: &Cluster| cluster.proxies().map(Proxy::cuts).sum::<u64>();
    cut(&cluster, true);
    wait_until("two hundred cuts", PATIENCE, || match cuts(&cluster) {
        so_far if so_far >= 200 => Ok(()),
        so_far => Err(format!("{so_far} so far")),
    });
    cut(&cluster, false);
    cluster.wait_for_in_sync(3);
    judge(&recorder.finish());
    cluster.expect_equal_copies();
}

#[test]
#[ignore = "takes half an hour; ops/rounds runs it"]
fn half_an_hour_of_crashes_and_pauses() {
    crash_for_long(natively());
}

#[test]
#[ignore = "takes half an hour; ops/rounds runs it"]
fn half_an_hour_of_crashes_and_pauses_under_redis_clients() {
    crash_for_long(through_redis());
}

fn crash_for_long((cluster, way): (Cluster, Way)) {
    let variable = |name: &str| std::env::var(name).ok()?.parse().ok();
    let duration = Duration::from_secs(variable(DURATION_VARIABLE).unwrap_or(1800));
    let seed = variable(SEED_VARIABLE).unwrap_or(1);
    crash_and_judge(cluster, way, duration, Duration::from_secs(20), seed);
}
