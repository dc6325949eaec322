//! `millpond chat`: two people in two terminals, or a file through a pipe.
//!
//! Everything that can go wrong on the way is the SDK's business; here is what a person sees. Lines typed are sent in
//! order and never twice; what arrives is marked read because it is shown. It must never let a peer's text command
//! the terminal.

mod claims;
mod history;
mod input;
mod place;
mod screen;
mod talk;
mod text;
mod transcript;

use crate::config::Problems;
use crate::token::{SecretArguments, parse_user, sign};
use anyhow::{Context as _, Result};
use millpond_client::{
    Client, Conversation, DeviceId, FileStorage, Options, Provider, Token, TokenError, UserId,
};
use screen::{Screen, Size, Terminal};
use std::io::{IsTerminal as _, stdin, stdout};
use std::sync::Arc;
use std::time::Duration;
use talk::{Talk, Who};

#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Who you are: a number
    #[arg(long = "as", value_name = "ID", value_parser = parse_user)]
    me: UserId,
    /// Whom you talk to: a number; your own is notes to yourself
    #[arg(long, value_name = "ID", value_parser = parse_user)]
    to: UserId,
    /// Where the server listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7400", value_parser = parse_server)]
    server: String,
    /// A token; left out, one is signed with the secret of the server's data folder
    #[arg(long, env = "MILLPOND_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The device the token names, if it names one
    #[arg(long, value_name = "ID", requires = "token")]
    device: Option<u64>,
    /// How long to wait at the end of the input for what is not acknowledged yet
    #[arg(long, default_value = "60s", value_parser = parse_wait)]
    wait: Duration,
    #[command(flatten)]
    secret: SecretArguments,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting")?;
    let result = runtime.block_on(chat(arguments));
    // The thread that reads standard input cannot be interrupted, and nothing needs it any more.
    runtime.shutdown_background();
    result
}

async fn chat(arguments: &Arguments) -> Result<()> {
    if let Some(token) = &arguments.token {
        claims::check(token, arguments.me, arguments.device)
            .map_err(|problem| Problems(vec![problem]))?;
    }
    let place = place::of(arguments)?;
    let device = arguments.device.map(DeviceId);
    let storage = device.map_or_else(
        || FileStorage::new(&place.file),
        |device| FileStorage::with_device(&place.file, device),
    );
    let options = Options::new(arguments.server.clone(), token(arguments)?).storage(storage);
    let (client, events) = Client::connect(options)
        .with_context(|| format!("the state of this chat in {}", place.file.display()))?;
    let who = Who {
        me: arguments.me,
        conversation: Conversation::Direct(arguments.to),
        server: arguments.server.clone(),
    };
    Talk::new(client, who, screen(), arguments.wait)
        .run(events, input::lines())
        .await
}

/// A terminal only where a person both types and reads.
fn screen() -> Screen {
    if stdin().is_terminal() && stdout().is_terminal() {
        Screen::Terminal(Terminal::new(terminal_size()))
    } else {
        Screen::Pipe
    }
}

fn terminal_size() -> Size {
    let size = rustix::termios::tcgetwinsize(stdout()).ok();
    let size = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or(
        Size {
            rows: 24,
            columns: 80,
        },
        |size| Size {
            rows: usize::from(size.ws_row),
            columns: usize::from(size.ws_col),
        },
    )
}

/// Signed anew whenever the server wants one, unless one was given.
fn token(arguments: &Arguments) -> Result<Token> {
    if let Some(token) = &arguments.token {
        return Ok(Token::Fixed(token.clone()));
    }
    let secret = Arc::new(arguments.secret.open()?);
    let me = arguments.me;
    Ok(Token::Provider(Provider::new(move || {
        let signed = sign(&secret, me, None, TOKEN_TTL);
        async move { signed.map_err(|error| TokenError::Stop(format!("{error:#}"))) }
    })))
}

const TOKEN_TTL: Duration = Duration::from_secs(60 * 60);

fn parse_wait(text: &str) -> Result<Duration, String> {
    let parsed = crate::config::parse_duration(text);
    parsed.ok_or_else(|| "wanted one number and one unit, such as 60s".to_owned())
}

/// A name that does not resolve may do so later; one that can never be an address is a mistake.
fn parse_server(text: &str) -> Result<String, String> {
    let wanted = || "wanted a host and a port, such as 127.0.0.1:7400 or [::1]:7400".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wanted)?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port != 0);
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            let may = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.chars().all(may)
        }
    };
    (is_port && is_host)
        .then(|| text.to_owned())
        .ok_or_else(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for text in [
            "127.0.0.1:7400",
            "[::1]:1",
            "chat.example.org:65535",
            "a_b:80",
        ] {
            assert_eq!(parse_server(text).as_deref(), Ok(text));
        }
        for text in [
            "nonsense",
            "127.0.0.1",
            "",
            ":7400",
            "host:",
            "host:0",
            "host:65536",
            "host:+80",
            "::1:7400",
            "[nonsense]:7400",
            "http://host:80",
            "a b:80",
        ] {
            assert!(parse_server(text).is_err(), "{text}");
        }
    }
}
