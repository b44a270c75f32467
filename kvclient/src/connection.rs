//! The connection to the node that is taken for the primary: none, being dialled, or open.

use std::pin::Pin;

use kv_common::id::Address;
use kv_common::message::client::{ClientToNode, NodeToClient};
use kv_common::message::hello::Hello;
use kv_net::{Connection, FrameReceiver, FrameSender, LinkError};
use kvclient_core::LinkId;

use crate::exchange::{self, Callee};

type Dialled = Result<Connection, String>;

/// The connection that carries requests.
pub(crate) enum Carrier {
    None,
    Dialling {
        link: LinkId,
        address: Address,
        dialling: Pin<Box<dyn Future<Output = Dialled> + Send>>,
    },
    Open(Box<Open>),
}

/// An open connection.
pub(crate) struct Open {
    link: LinkId,
    address: Address,
    receiver: FrameReceiver,
    sender: FrameSender,
}

/// What happens on a connection.
#[allow(
    clippy::large_enum_variant,
    reason = "moved once and never kept, so a box would only cost"
)]
pub(crate) enum Happening {
    Up { link: LinkId },
    Down { link: LinkId, why: String },
    Received { link: LinkId, message: NodeToClient },
    Flushed,
}

impl Carrier {
    /// Begins to dial.
    pub(crate) fn dial(link: LinkId, address: Address, hello: Hello) -> Self {
        let to = address.clone();
        let dialling = Box::pin(async move { exchange::dial(&to, &hello, Callee::Node).await });
        Self::Dialling {
            link,
            address,
            dialling,
        }
    }

    /// Puts a message behind those that wait to be sent.
    pub(crate) fn feed(&mut self, message: &ClientToNode) -> Result<(), LinkError> {
        match self {
            Self::Open(open) => open.sender.feed(message),
            // The core sends only over links that are up; what it knows comes from here.
            Self::None | Self::Dialling { .. } => Ok(()),
        }
    }

    /// Waits for the next thing to happen. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Happening {
        match self {
            Self::None => std::future::pending().await,
            Self::Dialling { dialling, .. } => {
                let dialled = dialling.await;
                self.dialled(dialled)
            }
            Self::Open(open) => match open.next().await {
                Ok(happening) => happening,
                Err(why) => self.down(why),
            },
        }
    }

    /// A message that is already here.
    pub(crate) fn received(&mut self) -> Option<Happening> {
        let Self::Open(open) = self else {
            return None;
        };
        let link = open.link;
        match open.receiver.receive_buffered() {
            Ok(message) => message.map(|message| Happening::Received { link, message }),
            Err(cause) => {
                let why = format!("{}: {cause}", open.address);
                Some(self.down(why))
            }
        }
    }

    fn dialled(&mut self, dialled: Dialled) -> Happening {
        let Self::Dialling { link, address, .. } = std::mem::replace(self, Self::None) else {
            return Happening::Flushed;
        };
        match dialled {
            Ok(connection) => {
                let (receiver, sender) = connection.split();
                *self = Self::Open(Box::new(Open {
                    link,
                    address,
                    receiver,
                    sender,
                }));
                Happening::Up { link }
            }
            Err(why) => Happening::Down { link, why },
        }
    }

    fn down(&mut self, why: String) -> Happening {
        match std::mem::replace(self, Self::None) {
            Self::Open(open) => Happening::Down {
                link: open.link,
                why,
            },
            Self::Dialling { link, .. } => Happening::Down { link, why },
            Self::None => Happening::Flushed,
        }
    }
}

impl Open {
    async fn next(&mut self) -> Result<Happening, String> {
        let broke = |cause: LinkError| format!("{}: {cause}", self.address);
        tokio::select! {
            received = self.receiver.receive() => match received {
                Ok(Some(message)) => Ok(Happening::Received { link: self.link, message }),
                Ok(None) => Err(format!("{} closed the connection", self.address)),
                Err(cause) => Err(broke(cause)),
            },
            flushed = self.sender.flush(), if self.sender.buffered_bytes() > 0 => {
                flushed.map(|()| Happening::Flushed).map_err(broke)
            }
        }
    }
}
