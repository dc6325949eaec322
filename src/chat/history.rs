//! Older lines of the conversation. A page holds as many as fit, so one question may take several pages.

use millpond_client::{Client, ClientError, Conversation, From, Message};
use std::pin::Pin;

/// Lines on their way; dropped, they are not asked for any more.
pub(super) type Asked = Pin<Box<dyn Future<Output = Found>>>;

/// Oldest first; with a fault, those that came before it.
pub(super) struct Found {
    pub(super) lines: Vec<Message>,
    pub(super) fault: Option<ClientError>,
}

/// The newest `lines_max` below `seq`.
pub(super) fn before(
    client: Client,
    conversation: Conversation,
    seq: u64,
    lines_max: usize,
) -> Asked {
    Box::pin(async move {
        let mut lines = Vec::new();
        let fault = collect(&client, conversation, seq, lines_max, &mut lines).await;
        lines.reverse();
        Found {
            lines,
            fault: fault.err(),
        }
    })
}

/// Newest first. Every round brings a line or is the last.
async fn collect(
    client: &Client,
    conversation: Conversation,
    mut before: u64,
    lines_max: usize,
    lines: &mut Vec<Message>,
) -> Result<(), ClientError> {
    while before > 1 && lines.len() < lines_max {
        let limit = u64::try_from(lines_max - lines.len()).expect("it fits");
        let page = client.history(conversation, From::Before(before), limit);
        let page = page.await?;
        let Some(oldest) = page.messages.last() else {
            break;
        };
        before = oldest.seq;
        lines.extend(page.messages);
        if page.end {
            break;
        }
    }
    Ok(())
}
