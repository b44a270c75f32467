//! The whole key space at one position, as it comes from the primary.

use bytes::Bytes;
use kv_common::message::client::{ClientToNode, DumpSummary, NodeToClient};
use kv_common::refusal::Refusal;
use tokio::time::{Duration, Instant};

use crate::client::Client;
use crate::cluster::DUMP_TIMEOUT;
use crate::error::ClientError;
use crate::exchange::{Callee, EXCHANGE, Question};

/// How long nothing may come while an export is under way.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// An export under way, in the `db.txt` format.
pub struct Export {
    question: Question,
    summary: DumpSummary,
}

impl Export {
    /// What is coming.
    #[must_use]
    pub fn summary(&self) -> &DumpSummary {
        &self.summary
    }

    /// The next bytes; none when the export is whole.
    ///
    /// # Errors
    /// When it breaks off; what came so far is then of no use.
    pub async fn next_part(&mut self) -> Result<Option<Bytes>, ClientError> {
        match self.question.answer(Instant::now() + SILENCE_MAX).await? {
            NodeToClient::ExportPart { bytes, .. } => Ok(Some(bytes)),
            NodeToClient::ExportEnds { .. } => Ok(None),
            other => Err(self.question.unexpected(&other)),
        }
    }
}

impl Client {
    /// Begins an export of the whole key space at one position.
    ///
    /// # Errors
    /// When no primary begins one within the client's timeout.
    pub async fn export(&self) -> Result<Export, ClientError> {
        let deadline = self.deadline();
        loop {
            let error = match self.try_export().await {
                Ok(export) => return Ok(export),
                Err(ClientError::Refused(refusal)) if refusal.asks_for_retry() => {
                    at_deadline(refusal)
                }
                Err(error @ ClientError::NobodyToAsk { .. }) => error,
                Err(error) => return Err(error),
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_export(&self) -> Result<Export, ClientError> {
        let address = self.where_is_primary().await?.address;
        let question = ClientToNode::Export { id: EXCHANGE };
        let hello = &self.shared.hello;
        let deadline = self.deadline();
        let mut question =
            Question::ask(&address, hello, Callee::Node, &question, deadline).await?;
        match question.answer(Instant::now() + DUMP_TIMEOUT).await? {
            NodeToClient::ExportBegins { result, .. } => Ok(Export {
                question,
                summary: result?,
            }),
            other => Err(question.unexpected(&other)),
        }
    }
}

fn at_deadline(refusal: Refusal) -> ClientError {
    match refusal {
        Refusal::NotPrimary { .. } | Refusal::TakingOver { .. } => ClientError::NobodyToAsk {
            why: refusal.to_string(),
        },
        refusal => ClientError::Refused(refusal),
    }
}
