//! The statements that the driver prepares, one of each on every connection to a cluster.

use crate::Keyspace;
use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::statement::prepared::PreparedStatement;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Statement {
    PutConversation,
    PutMarks,
    PutInbox,
    PutUser,
    PutPartition,
    /// The row at one key of a conversation.
    Conversation,
    ConversationAscending,
    ConversationDescending,
    Marks,
    InboxAscending,
    InboxDescending,
    User,
    Partition,
}

/// At most 3 MiB, if all have the largest payload.
const HISTORY_PAGE_ROWS: i32 = 50;
/// Some 40 bytes each.
const INBOX_PAGE_ROWS: i32 = 1_000;

impl Statement {
    const ALL: [Self; 13] = [
        Self::PutConversation,
        Self::PutMarks,
        Self::PutInbox,
        Self::PutUser,
        Self::PutPartition,
        Self::Conversation,
        Self::ConversationAscending,
        Self::ConversationDescending,
        Self::Marks,
        Self::InboxAscending,
        Self::InboxDescending,
        Self::User,
        Self::Partition,
    ];

    fn cql(self, keyspace: &Keyspace) -> String {
        let put = |table: &str, columns: &str| {
            let marks = columns.split(',').map(|_| "?").collect::<Vec<_>>();
            let marks = marks.join(", ");
            format!("INSERT INTO {keyspace}.{table} ({columns}) VALUES ({marks}) USING TIMESTAMP ?")
        };
        let at = |table: &str, key: &str| {
            format!("SELECT row_value FROM {keyspace}.{table} WHERE {key}")
        };
        let range = |table: &str, key: &str, order: &str| {
            format!(
                "SELECT row_key, row_value FROM {keyspace}.{table} \
                 WHERE {key} AND row_key >= ? AND row_key <= ? ORDER BY {order} LIMIT ?"
            )
        };
        const CONVERSATION: &str = "conversation = ? AND kind = ?";
        const USER: &str = "user_id = ?";
        match self {
            Self::PutConversation => put("conversations", "conversation, kind, row_key, row_value"),
            Self::PutMarks => put("marks", "conversation, row_value"),
            Self::PutInbox => put("inboxes", "user_id, row_key, row_value"),
            Self::PutUser => put("users", "user_id, row_value"),
            Self::PutPartition => put("partitions", "stage, number, row_value"),
            Self::Conversation => at(
                "conversations",
                "conversation = ? AND kind = ? AND row_key = ?",
            ),
            Self::ConversationAscending => {
                range("conversations", CONVERSATION, "kind ASC, row_key ASC")
            }
            Self::ConversationDescending => {
                range("conversations", CONVERSATION, "kind DESC, row_key DESC")
            }
            Self::Marks => at("marks", "conversation = ?"),
            Self::InboxAscending => range("inboxes", USER, "row_key ASC"),
            Self::InboxDescending => range("inboxes", USER, "row_key DESC"),
            Self::User => at("users", USER),
            Self::Partition => at("partitions", "stage = ? AND number = ?"),
        }
    }

    fn page_rows(self) -> Option<i32> {
        match self {
            Self::ConversationAscending | Self::ConversationDescending => Some(HISTORY_PAGE_ROWS),
            Self::InboxAscending | Self::InboxDescending => Some(INBOX_PAGE_ROWS),
            Self::PutConversation
            | Self::PutMarks
            | Self::PutInbox
            | Self::PutUser
            | Self::PutPartition
            | Self::Conversation
            | Self::Marks
            | Self::User
            | Self::Partition => None,
        }
    }
}

pub(crate) struct Statements(Vec<PreparedStatement>);

impl Statements {
    pub(crate) async fn prepare(
        session: &Session,
        keyspace: &Keyspace,
    ) -> Result<Self, PrepareError> {
        let mut all = Vec::with_capacity(Statement::ALL.len());
        for statement in Statement::ALL {
            let mut prepared = session.prepare(statement.cql(keyspace)).await?;
            // Rows of one position are the same bytes with the same timestamp, however often they are written.
            prepared.set_is_idempotent(true);
            if let Some(rows) = statement.page_rows() {
                prepared.set_page_size(rows);
            }
            all.push(prepared);
        }
        Ok(Self(all))
    }

    pub(crate) fn of(&self, statement: Statement) -> &PreparedStatement {
        &self.0[statement as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Statement;
    use crate::Keyspace;

    #[test]
    fn each_statement_stands_at_its_place_and_binds_what_it_names() {
        let keyspace = Keyspace::parse("mill").unwrap();
        for (place, statement) in Statement::ALL.into_iter().enumerate() {
            assert_eq!(statement as usize, place);
        }
        assert_eq!(
            Statement::PutInbox.cql(&keyspace),
            "INSERT INTO mill.inboxes (user_id, row_key, row_value) VALUES (?, ?, ?) USING TIMESTAMP ?"
        );
        assert_eq!(
            Statement::Partition.cql(&keyspace),
            "SELECT row_value FROM mill.partitions WHERE stage = ? AND number = ?"
        );
    }
}
