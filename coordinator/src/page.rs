//! The page that shows the cluster live, and the stream of server-sent events that feeds it.

mod live;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use tokio::sync::watch;

use crate::snapshot::Snapshot;

use self::live::Live;

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Nothing but the page's own parts is loaded, and no other site may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Snapshots = watch::Receiver<Arc<Snapshot>>;

/// `/` and what belongs to it.
pub(crate) fn routes(snapshots: Snapshots) -> Router {
    Router::new()
        .route("/", get(async || part("text/html; charset=utf-8", HTML)))
        .route(
            "/page.css",
            get(async || part("text/css; charset=utf-8", STYLE)),
        )
        .route(
            "/page.js",
            get(async || part("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route("/live", get(live))
        .with_state(snapshots)
}

fn part(kind: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // After an upgrade the parts are to fit together.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

/// What each listener has been told.
struct Listener {
    snapshots: Snapshots,
    /// The newest decision.
    decision: u64,
}

/// The newest snapshot, and each later one. Who reads slowly misses some, and no decision.
async fn live(
    State(mut snapshots): State<Snapshots>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    snapshots.mark_changed();
    let listener = Listener {
        snapshots,
        decision: 0,
    };
    let events = stream::unfold(listener, async |mut listener| {
        listener.snapshots.changed().await.ok()?;
        let snapshot = Arc::clone(&listener.snapshots.borrow_and_update());
        let live = Live::of(&snapshot, listener.decision);
        listener.decision = snapshot.events.last().map_or(0, |event| event.number);
        let event = Event::default().json_data(live).ok()?;
        Some((Ok(event), listener))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}
