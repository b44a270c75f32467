//! The task behind a client: feeds the dispatcher with what happens, and carries out what it asks
//! for.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use kv_common::command::{Command, Reply};
use kv_common::id::Address;
use kv_common::message::client::{ClientToNode, NodeToClient};
use kv_common::message::hello::Hello;
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;
use kvclient_core::{Dispatcher, Effect, Failure, Input, RequestToken};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Sleep};

use crate::connection::{Carrier, Happening};
use crate::watch::Watched;

/// Requests that may wait for their end at once; callers beyond wait to be taken in.
const OPEN_REQUESTS_MAX: usize = 4096;
/// Questions that may wait to be taken in.
const QUEUE_MAX: usize = 256;
/// How long the end of a session may take.
const RETIRE_WITHIN: Duration = Duration::from_millis(500);
/// How far off the timer stands while nothing waits for a time.
const IDLE: Duration = Duration::from_secs(3600);

/// What a client's handles say to its task.
pub(crate) enum ToDriver {
    /// Execute a command.
    Execute(Execute),
    /// End the session, and say when that is done.
    Retire(oneshot::Sender<()>),
}

/// A command, and who waits for its end.
pub(crate) struct Execute {
    pub(crate) command: Command,
    pub(crate) deadline: Instant,
    pub(crate) end: oneshot::Sender<Result<Reply, Failure>>,
}

/// The task behind a client.
pub(crate) struct Driver {
    inbox: mpsc::Receiver<ToDriver>,
    seen: watch::Receiver<Watched>,
    /// Whether the watch still stands; without coordinators there is none.
    watching: bool,
    hello: Hello,
    core: Dispatcher,
    carrier: Carrier,
    waiting: HashMap<RequestToken, oneshot::Sender<Result<Reply, Failure>>>,
    last_token: u64,
    retiring: Vec<oneshot::Sender<()>>,
    /// What the core calls zero.
    start: Instant,
}

/// How a driver is set up.
pub(crate) struct DriverOptions {
    pub(crate) nodes: Vec<Address>,
    pub(crate) with_session: bool,
    pub(crate) hello: Hello,
}

impl Driver {
    /// Starts the task; must be called within a runtime. It ends when every sender is gone.
    pub(crate) fn start(
        options: DriverOptions,
        seen: watch::Receiver<Watched>,
    ) -> mpsc::Sender<ToDriver> {
        let (sender, inbox) = mpsc::channel(QUEUE_MAX);
        let mut driver = Self {
            inbox,
            seen,
            watching: true,
            hello: options.hello,
            core: Dispatcher::new(options.nodes, options.with_session),
            carrier: Carrier::None,
            waiting: HashMap::new(),
            last_token: 0,
            retiring: Vec::new(),
            start: Instant::now(),
        };
        driver.seen.mark_changed();
        tokio::spawn(driver.run());
        sender
    }

    async fn run(mut self) {
        let mut timer = Box::pin(tokio::time::sleep(IDLE));
        loop {
            self.carry_out();
            self.set_timer(timer.as_mut());
            let room = self.core.open_requests() < OPEN_REQUESTS_MAX;
            tokio::select! {
                message = self.inbox.recv(), if room => match message {
                    Some(message) => self.take_in(message),
                    None => break,
                },
                happening = self.carrier.next() => self.happened(happening),
                changed = self.seen.changed(), if self.watching => match changed {
                    Ok(()) => self.take_map(),
                    Err(_) => self.watching = false,
                },
                () = timer.as_mut() => {
                    timer.as_mut().reset(Instant::now() + IDLE);
                    self.core.handle_timeout(self.now());
                }
            }
        }
        self.end_session(timer).await;
    }

    /// Every handle is gone: only the session is left to be ended.
    async fn end_session(mut self, mut timer: Pin<Box<Sleep>>) {
        self.retire();
        loop {
            self.carry_out();
            self.set_timer(timer.as_mut());
            if self.core.open_requests() == 0 {
                return;
            }
            tokio::select! {
                happening = self.carrier.next() => self.happened(happening),
                () = timer.as_mut() => {
                    timer.as_mut().reset(Instant::now() + IDLE);
                    self.core.handle_timeout(self.now());
                }
            }
        }
    }

    fn take_in(&mut self, message: ToDriver) {
        self.handle_message(message);
        while self.core.open_requests() < OPEN_REQUESTS_MAX
            && let Ok(message) = self.inbox.try_recv()
        {
            self.handle_message(message);
        }
    }

    fn handle_message(&mut self, message: ToDriver) {
        match message {
            ToDriver::Execute(execute) => {
                self.last_token += 1;
                let token = RequestToken(self.last_token);
                self.waiting.insert(token, execute.end);
                let input = Input::Submit {
                    token,
                    command: execute.command,
                    deadline: self.at(execute.deadline),
                };
                self.core.handle(self.now(), input);
            }
            ToDriver::Retire(done) => {
                self.retiring.push(done);
                self.retire();
            }
        }
    }

    fn retire(&mut self) {
        let deadline = self.now().after(RETIRE_WITHIN);
        self.core.handle(self.now(), Input::Retire { deadline });
    }

    fn take_map(&mut self) {
        let map = self.seen.borrow_and_update().map.clone();
        if let Some(map) = map {
            let map = (*map).clone();
            self.core.handle(self.now(), Input::Map(map));
        }
    }

    fn happened(&mut self, happening: Happening) {
        let mut next = Some(happening);
        while let Some(happening) = next {
            let received = matches!(happening, Happening::Received { .. });
            if let Some(input) = input_of(happening) {
                self.core.handle(self.now(), input);
            }
            next = received.then(|| self.carrier.received()).flatten();
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Connect { link, address } => {
                    self.carrier = Carrier::dial(link, address, self.hello.clone());
                }
                Effect::Disconnect { .. } => self.carrier = Carrier::None,
                Effect::AskMap { .. } => {
                    // A small message always fits.
                    let _ = self.carrier.feed(&ClientToNode::Map { id: 0 });
                }
                Effect::Send {
                    link,
                    exchange,
                    stamp,
                    command,
                } => {
                    let request = ClientToNode::Request {
                        id: exchange,
                        stamp,
                        command,
                    };
                    if let Err(cause) = self.carrier.feed(&request) {
                        let why = format!("the request cannot be sent: {cause}");
                        let input = Input::Answer {
                            link,
                            exchange,
                            result: Err(Refusal::NotAllowed { why }),
                        };
                        self.core.handle(self.now(), input);
                    }
                }
                Effect::Finish { token, result } => {
                    if let Some(end) = self.waiting.remove(&token) {
                        // Whoever asked may have stopped waiting.
                        let _ = end.send(result);
                    }
                }
            }
        }
        if self.core.open_requests() == 0 {
            for done in self.retiring.drain(..) {
                let _ = done.send(());
            }
        }
    }

    /// A timer that goes off too early does no harm, and costs less than one that is set anew for
    /// every request.
    fn set_timer(&self, timer: Pin<&mut Sleep>) {
        if let Some(until) = self.core.poll_timeout() {
            let until = self.start + Duration::from_nanos(until.0);
            if until < timer.deadline() {
                timer.reset(until);
            }
        }
    }

    fn now(&self) -> Monotonic {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Monotonic {
        Monotonic::ZERO.after(instant.saturating_duration_since(self.start))
    }
}

fn input_of(happening: Happening) -> Option<Input> {
    match happening {
        Happening::Up { link } => Some(Input::LinkUp { link }),
        Happening::Down { link, why } => Some(Input::LinkDown { link, why }),
        Happening::Received {
            link,
            message: NodeToClient::Answer { id, result },
        } => Some(Input::Answer {
            link,
            exchange: id,
            result,
        }),
        Happening::Received {
            message: NodeToClient::Map { map, .. },
            ..
        } => map.map(Input::Map),
        // Only requests and the map are asked for here.
        Happening::Received { .. } | Happening::Flushed => None,
    }
}
