//! The coordinator's page, in a browser. These tests need chromium and chromedriver: `ops/page-check` runs them.

use std::fs;
use std::path::PathBuf;

use process_tests::{Browser, Cluster, ClusterOptions, PATIENCE, http_get, wait_until};

fn with_page() -> Cluster {
    Cluster::start(ClusterOptions {
        coordinator: ["--http-listen", "127.0.0.1:0"].map(str::to_owned).to_vec(),
        ..ClusterOptions::default()
    })
}

fn url(cluster: &Cluster) -> String {
    format!("http://{}/", cluster.coordinator_http_address())
}

/// Leaves a picture where `KV_SCREENSHOT_DIR` says, if it says so.
fn picture(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("KV_SCREENSHOT_DIR") {
        let file = PathBuf::from(folder).join(format!("{name}.png.base64"));
        fs::write(file, browser.screenshot()).expect("the picture is written");
    }
}

fn wait_for_text(browser: &Browser, id: &str, wanted: &str) {
    wait_until(&format!("{id} to show {wanted}"), PATIENCE, || {
        let text = browser.text(id);
        text.contains(wanted).then_some(()).ok_or(text)
    });
}

/// Notes in the page itself how long after a decision was taken it stands there.
const NOTE_DELAYS: &str = "
    window.delays = [];
    new MutationObserver((changes) => {
        for (const change of changes) for (const item of change.addedNodes) {
            const at = Date.parse(item.querySelector('time').dateTime);
            window.delays.push([item.className, Date.now() - at]);
        }
    }).observe(document.getElementById('decisions'), { childList: true });";

/// Counts how often the alert that is read out changes.
const NOTE_ALERTS: &str = "
    window.alerts = 0;
    new MutationObserver(() => window.alerts++)
        .observe(document.getElementById('stale'), { childList: true, characterData: true, subtree: true });";

#[test]
#[ignore = "needs chromium and chromedriver: ops/page-check"]
fn a_failover_is_seen_on_the_page_while_it_happens() {
    let mut cluster = with_page();
    cluster.user().done(&["put", "key", "value"]);
    let browser = Browser::start(1200, 900, false);
    browser.open(&url(&cluster));
    let former = cluster.primary();
    wait_for_text(
        &browser,
        "headline",
        &format!("{former} is primary, 3 of 3 copies in sync"),
    );
    wait_for_text(&browser, "keys", "1");
    // Nobody writes.
    wait_for_text(&browser, "throughput", "0");
    wait_for_text(&browser, "decisions", "first-view");
    picture(&browser, "healthy");

    let _ = browser.run(NOTE_DELAYS);
    cluster.kill_node(&former);
    wait_for_text(&browser, "decisions", "failover-ends");
    picture(&browser, "failover");
    let new = cluster
        .wait_for_other_primary(&former)
        .primary()
        .expect("a primary");
    wait_for_text(
        &browser,
        "headline",
        &format!("{new} is primary, 2 of 3 copies in sync"),
    );
    let delays = browser.run("return window.delays");
    let delays = delays.as_array().expect("a list");
    let seen: Vec<_> = delays
        .iter()
        .filter_map(|delay| Some((delay[0].as_str()?, delay[1].as_i64()?)))
        .collect();
    let failover = seen.iter().find(|(rule, _)| *rule == "failover-ends");
    println!("decisions stood on the page after {seen:?} ms");
    assert!(
        failover.is_some_and(|(_, delay_ms)| *delay_ms < 1000),
        "{seen:?}"
    );
    cluster.start_node(&former);
    wait_for_text(&browser, "headline", "3 of 3 copies in sync");

    let _ = browser.run(NOTE_ALERTS);
    cluster.kill_coordinator();
    wait_for_text(&browser, "headline", "Not live");
    wait_for_text(&browser, "stale", "what stands here is how it was at");
    picture(&browser, "without-coordinator");
    assert_eq!(
        browser.run("return document.body.classList.contains('stale') && !document.title.includes('primary')"),
        true
    );
    cluster.start_coordinator();
    wait_for_text(&browser, "headline", "3 of 3 copies in sync");
    assert_eq!(
        browser.run("return stale.hidden && !document.body.classList.contains('stale')"),
        true
    );
    // Once that it is not live, and nothing while that goes on: each change is read out.
    assert_eq!(browser.run("return window.alerts"), 1);
}

#[test]
#[ignore = "needs chromium and chromedriver: ops/page-check"]
fn a_drained_node_is_shown_as_somebody_wanted_it() {
    let mut cluster = Cluster::start(ClusterOptions {
        coordinator: ["--http-listen", "127.0.0.1:0", "--min-in-sync", "1"]
            .map(str::to_owned)
            .to_vec(),
        ..ClusterOptions::default()
    });
    let drained = cluster.backup();
    cluster.user().done(&["admin", "drain", &drained]);
    let browser = Browser::start(1200, 900, true);
    browser.open(&url(&cluster));
    wait_for_text(&browser, "headline", "2 of 3 copies in sync");
    wait_for_text(&browser, "conditions", &format!("{drained} is drained"));
    picture(&browser, "drained");
    cluster.stop_node(&drained);
    wait_for_text(&browser, "nodes", "away");
    let row = "const row = document.querySelector('tr.drained');";
    assert_eq!(
        browser.run(&format!("{row} return row.querySelector('th').textContent")),
        drained.as_str()
    );
    assert_eq!(
        browser.run(&format!("{row} return row.querySelectorAll('.bad').length")),
        0,
        "nothing about it is alarming"
    );
    assert_eq!(
        browser.run("return conditions.className"),
        "busy",
        "writes go on"
    );
    picture(&browser, "drained-and-stopped");
}

#[test]
#[ignore = "needs chromium and chromedriver: ops/page-check"]
fn a_copy_under_way_is_shown_on_a_phone_in_a_dark_room() {
    let mut cluster = Cluster::without_daemons(ClusterOptions {
        nodes: 2,
        coordinator: ["--http-listen", "127.0.0.1:0", "--expect", "1"]
            .map(str::to_owned)
            .to_vec(),
        ..ClusterOptions::default()
    });
    // What a node starts from is in no log, so the other has to fetch a copy.
    let pairs: String = (0..60_000)
        .map(|number| format!("key-{number} {}\n", "v".repeat(1000)))
        .collect();
    fs::create_dir_all(cluster.data_dir("node-1")).expect("a folder of our own");
    fs::write(cluster.data_dir("node-1").join("db.txt"), pairs).expect("a file of our own");
    cluster.start_coordinator();
    cluster.start_node("node-1");
    cluster.wait_for_in_sync(1);
    let browser = Browser::start(400, 800, true);
    browser.open(&url(&cluster));
    wait_for_text(&browser, "keys", "60,000");
    assert_eq!(
        browser.run("return matchMedia('(prefers-color-scheme: dark)').matches"),
        true
    );
    assert_eq!(
        browser.run("return document.documentElement.scrollWidth <= window.innerWidth"),
        true
    );

    let _ = browser.run(
        "window.copies = []; new MutationObserver(() => {
            const bar = document.querySelector('progress');
            if (!bar) return;
            bar.scrollIntoView({ block: 'center' });
            const words = bar.nextSibling.getBoundingClientRect();
            window.copies.push(words.width > 0 && words.right <= window.innerWidth);
        }).observe(document.getElementById('nodes'), { childList: true, subtree: true, attributes: true });",
    );
    cluster.start_node("node-2");
    wait_until("the copy to be shown", PATIENCE, || {
        let shown = browser.run("return window.copies.length");
        (shown.as_u64() > Some(0))
            .then_some(())
            .ok_or_else(|| browser.text("nodes"))
    });
    picture(&browser, "copy");
    assert_eq!(
        browser.run("return window.copies.every((fits) => fits)"),
        true,
        "how far it is stands on the screen"
    );
    wait_for_text(&browser, "headline", "2 of 2 copies in sync");
}

#[test]
#[ignore = "needs chromium and chromedriver: ops/page-check"]
fn the_page_is_there_for_keyboard_and_screen_reader_and_loads_nothing_from_elsewhere() {
    let cluster = with_page();
    let browser = Browser::start(1200, 900, false);
    browser.open(&url(&cluster));
    wait_for_text(&browser, "headline", "3 of 3 copies in sync");
    for (what, script) in [
        (
            "a language",
            "return document.documentElement.lang === 'en'",
        ),
        (
            "one main heading",
            "return document.querySelectorAll('h1').length === 1",
        ),
        (
            "a headline that is read out",
            "return headline.getAttribute('aria-live') === 'polite'",
        ),
        (
            "named columns",
            "return [...document.querySelectorAll('thead th')].every((cell) => cell.scope === 'col' && cell.textContent)",
        ),
        (
            "named rows",
            "return [...document.querySelectorAll('tbody th')].length === 3",
        ),
        (
            "a table that the keyboard scrolls",
            "return document.querySelector('.scrolls').tabIndex === 0",
        ),
        (
            "a way past the table",
            "const skip = document.querySelector('.skip'); skip.focus(); return document.activeElement === skip && skip.offsetLeft >= 0",
        ),
        (
            "its own parts alone",
            "return performance.getEntriesByType('resource').every((part) => part.name.startsWith(location.origin))",
        ),
    ] {
        assert_eq!(browser.run(script), true, "{what}");
    }
    let page = http_get(&cluster.coordinator_http_address(), "/");
    assert!(
        page.body.contains("<title>")
            && !page.body.contains("http://")
            && !page.body.contains("https://")
    );
}
