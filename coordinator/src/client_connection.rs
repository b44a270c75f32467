//! The connection of a client: questions and orders to the registry, answers and maps to the client.

use std::rc::Rc;

use kv_common::message::registry::{ClientToCoordinator, CoordinatorToClient};
use kv_net::Connection;
use tokio::sync::mpsc;

use crate::connections::{ConnectionEnd, Door, send};
use crate::registry::Arrival;

/// Questions of one client that may be under way. Further ones are read when some are answered.
const QUESTIONS_MAX: usize = 16;

pub(crate) async fn serve(door: &Rc<Door>, connection: Connection) -> Result<(), ConnectionEnd> {
    let (mut receiver, mut sender) = connection.split();
    let (answers, mut answered) = mpsc::channel(QUESTIONS_MAX);
    let mut maps = door.maps.clone();
    let mut watching = false;
    let mut questions = 0;
    loop {
        tokio::select! {
            received = receiver.receive::<ClientToCoordinator>(), if questions < QUESTIONS_MAX => {
                match received? {
                    Some(ClientToCoordinator::Watch) => {
                        watching = true;
                        maps.mark_changed();
                    }
                    Some(message) => {
                        questions += 1;
                        let answers = answers.clone();
                        door.arrived(Arrival::ClientAsks { message, answers }).await?;
                    }
                    None => return Ok(()),
                }
            }
            changed = maps.changed(), if watching => {
                changed.map_err(|_| ConnectionEnd::Stopping)?;
                let map = maps.borrow_and_update().clone();
                send(&mut sender, &CoordinatorToClient::Map(map)).await?;
            }
            Some(answer) = answered.recv() => {
                questions -= 1;
                send(&mut sender, &answer).await?;
            }
        }
    }
}
