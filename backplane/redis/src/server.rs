//! The connection: one multiplexed stream to a server, or one to each node of a cluster, made when it is first needed and
//! again whenever it has gone.

use crate::options::Options;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Script};
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// Timeouts that making the connection may take: a server of a cluster that is named and silent takes one by itself.
const CONNECTS: u32 = 4;

pub(crate) struct Server {
    options: Options,
    connection: OnceCell<Connection>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("nodes", &self.options.nodes)
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum Connection {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Server {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            connection: OnceCell::new(),
        }
    }

    /// Asks one thing, within the timeout; the first one makes the connection, which may take a few times as long.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let connecting = timeout(CONNECTS * self.options.timeout, self.connection()).await;
        let connection = connecting.unwrap_or_else(|_| Err(late()))?;
        let answered = async {
            match connection.clone() {
                Connection::Single(mut single) => command.query_async(&mut single).await,
                Connection::Cluster(mut cluster) => command.query_async(&mut cluster).await,
            }
        };
        timeout(self.options.timeout, answered)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    /// Runs a script that reads and writes these keys of one slot.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        code: &str,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> RedisResult<T> {
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        match self.ask(&command("EVALSHA", script.get_hash())).await {
            Err(error) if error.kind() == ErrorKind::Server(redis::ServerErrorKind::NoScript) => {
                self.ask(&command("EVAL", code)).await
            }
            answer => answer,
        }
    }

    async fn connection(&self) -> RedisResult<&Connection> {
        self.connection.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> RedisResult<Connection> {
        let Options { nodes, timeout, .. } = &self.options;
        if self.options.cluster {
            let client = ClusterClientBuilder::new(nodes.iter().map(String::as_str))
                .connection_timeout(*timeout)
                .response_timeout(*timeout)
                .retries(3)
                .build()?;
            return Ok(Connection::Cluster(client.get_async_connection().await?));
        }
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(*timeout))
            .set_response_timeout(Some(*timeout))
            .set_number_of_retries(1);
        let client = Client::open(nodes[0].as_str())?;
        let single = ConnectionManager::new_with_config(client, config).await?;
        Ok(Connection::Single(single))
    }
}

fn late() -> RedisError {
    RedisError::from((ErrorKind::Io, "no answer in time"))
}
