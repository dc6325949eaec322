//! The conversation while it runs: what the client tells and what is typed, to what is sent and shown.
//!
//! What comes through the inbox was never shown on this device, so each line of it is shown, however many there are.
//! Asking for the next event says that the last one was dealt with: while lines are fetched that belong before it, no
//! event is read, the server stops at its window, and nothing is kept here or lost.

use super::history::{Asked, Found, before};
use super::input::Typed;
use super::screen::Screen;
use super::terminal_size;
use super::text::{clean, shown};
use super::transcript::{Changed, Transcript};
use anyhow::{Context as _, Result, bail};
use millpond_client::{
    Client, ClientError, Conversation, Event, Events, Message, ReceiptKind, Sent, Stop, UserId,
};
use std::io::Write as _;
use std::pin::Pin;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug)]
pub(super) struct Who {
    pub(super) me: UserId,
    pub(super) conversation: Conversation,
    pub(super) server: String,
}

/// Lines sent and not yet acknowledged, above which no more input is read.
const WAITING_MAX: usize = 256;
/// Lines shown at the start that are older than what is new.
const HISTORY_LINES: usize = 20;
/// A connection that comes back within this time is not worth a word.
const OUTAGE_QUIET: Duration = Duration::from_millis(1500);
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

pub(super) struct Talk {
    client: Client,
    who: Who,
    screen: Screen,
    wait: Duration,
    transcript: Transcript,
    /// History is shown: from now on lines come in order.
    opened: bool,
    connection: Connection,
    /// Lines that will never be sent.
    refused: usize,
}

#[derive(PartialEq, Eq)]
enum Connection {
    Up,
    /// Down since a moment, and not told yet.
    Shaky(String),
    Down,
}

/// What runs beside the conversation.
struct Waits {
    fetch: Option<Fetch>,
    notice: Pin<Box<Sleep>>,
    end: Pin<Box<Sleep>>,
    input_open: bool,
    resized: Signal,
}

/// Lines on their way, and the one that comes behind them.
struct Fetch {
    lines: Asked,
    held: Option<Message>,
}

impl Talk {
    pub(super) fn new(client: Client, who: Who, screen: Screen, wait: Duration) -> Self {
        Self {
            client,
            who,
            screen,
            wait,
            transcript: Transcript::default(),
            opened: false,
            connection: Connection::Shaky("no answer yet".to_owned()),
            refused: 0,
        }
    }

    pub(super) async fn run(
        mut self,
        mut events: Events,
        mut input: Receiver<Typed>,
    ) -> Result<()> {
        let mut waits = Waits {
            fetch: None,
            notice: Box::pin(sleep_until(Instant::now() + OUTAGE_QUIET)),
            end: Box::pin(sleep_until(Instant::now() + FOREVER)),
            input_open: true,
            resized: signal(SignalKind::window_change()).context("preparing for signals")?,
        };
        while waits.input_open || self.transcript.waiting() > 0 {
            let reads =
                waits.input_open && self.transcript.waiting() < WAITING_MAX && self.is_open();
            tokio::select! {
                biased;
                event = events.next(), if waits.fetch.is_none() => match event {
                    Some(event) => self.event(event, &mut waits)?,
                    None => bail!("the client has stopped"),
                },
                found = answer(&mut waits.fetch), if waits.fetch.is_some() => self.found(found, &mut waits)?,
                () = &mut waits.notice => self.tell_outage(&mut waits)?,
                () = &mut waits.end => break,
                _ = waits.resized.recv() => self.resize(),
                typed = input.recv(), if reads => self.typed(typed, &mut waits).await?,
            }
        }
        if waits.fetch.is_none() {
            deal_with_last(&mut events).await;
        }
        self.client.close().await;
        self.outcome()
    }

    fn outcome(&self) -> Result<()> {
        let waiting = self.transcript.waiting();
        if waiting > 0 {
            bail!(
                "{waiting} lines are not acknowledged; they are kept, and sent when this chat is opened again"
            );
        }
        if self.refused > 0 {
            bail!("{} lines were not sent", self.refused);
        }
        Ok(())
    }

    /// Typing goes on while the server is away, but not before the first answer: history comes first.
    fn is_open(&self) -> bool {
        self.opened || matches!(self.screen, Screen::Pipe)
    }

    fn event(&mut self, event: Event, waits: &mut Waits) -> Result<()> {
        match event {
            Event::Connected { .. } => self.connected(),
            Event::Disconnected { why, .. } => {
                if self.connection == Connection::Up {
                    waits.notice.as_mut().reset(Instant::now() + OUTAGE_QUIET);
                }
                if self.connection != Connection::Down {
                    self.connection = Connection::Shaky(why.to_string());
                }
                Ok(())
            }
            Event::Message(message) if message.conversation == self.who.conversation => {
                self.message(message, waits)
            }
            Event::Sent(sent) if sent.conversation == self.who.conversation => self.sent(sent),
            Event::Failed {
                client_msg_id,
                code,
                message,
                ..
            } => self.failed(client_msg_id, &format!("{code} {}", clean(&message))),
            Event::Receipt {
                kind,
                conversation,
                up_to,
                user,
            } if conversation == self.who.conversation => self.receipt(kind, up_to, user),
            Event::Reset { .. } => {
                self.transcript.forget_shown();
                self.opened = false;
                self.notice("the server's inbox starts anew; this is its history")
            }
            Event::Stopped { why: Stop::Closed } => Ok(()),
            Event::Stopped { why } => bail!("{why}"),
            Event::Synced if !self.opened => {
                waits.fetch = Some(self.fetch(u64::MAX, HISTORY_LINES, None));
                Ok(())
            }
            Event::Synced | Event::Message(_) | Event::Sent(_) | Event::Receipt { .. } => Ok(()),
        }
    }

    fn connected(&mut self) -> Result<()> {
        let was_down = self.connection == Connection::Down;
        self.connection = Connection::Up;
        if was_down {
            self.notice("connected")
        } else {
            Ok(())
        }
    }

    fn fetch(&self, seq: u64, lines_max: usize, held: Option<Message>) -> Fetch {
        let lines = before(self.client.clone(), self.who.conversation, seq, lines_max);
        Fetch { lines, held }
    }

    fn found(&mut self, found: Found, waits: &mut Waits) -> Result<()> {
        let held = waits.fetch.take().and_then(|fetch| fetch.held);
        self.opened = true;
        if let Some(fault) = found.fault {
            self.notice(&format!("older lines are missing here: {fault}"))?;
        }
        found
            .lines
            .iter()
            .chain(&held)
            .try_for_each(|message| self.show(message))
    }

    /// The first new line waits for the older ones. A stub is a line of this device without its text: history has it.
    fn message(&mut self, message: Message, waits: &mut Waits) -> Result<()> {
        if self.opened && !(message.stub && self.is_forgotten(&message)) {
            return self.show(&message);
        }
        if self.opened {
            waits.fetch = Some(self.fetch(message.seq.saturating_add(1), 1, None));
        } else if !message.stub {
            waits.fetch = Some(self.fetch(message.seq, HISTORY_LINES, Some(message)));
        }
        Ok(())
    }

    /// Typed in an earlier run, and not on this screen.
    fn is_forgotten(&self, message: &Message) -> bool {
        let id = message.origin.map(|origin| origin.client_msg_id);
        !self.transcript.was_shown(message.seq)
            && !id.is_some_and(|id| self.transcript.is_of_this_run(id))
    }

    fn show(&mut self, message: &Message) -> Result<()> {
        if !self.transcript.is_new(message.seq) {
            return Ok(());
        }
        let Some(author) = message.author() else {
            return self.show_own(message);
        };
        let out = self.screen.line(&format!("{author}: {}", shown(message)));
        print(&out)?;
        let (client, conversation, seq) = (self.client.clone(), self.who.conversation, message.seq);
        // A mark is cumulative: if this one is lost with the client, the next start sends it again.
        tokio::spawn(async move { client.mark_read(conversation, seq).await });
        Ok(())
    }

    /// What I have sent from elsewhere or before; a line typed here is on the screen already.
    fn show_own(&mut self, message: &Message) -> Result<()> {
        let id = message.origin.map(|origin| origin.client_msg_id);
        if message.stub || id.is_some_and(|id| self.transcript.wrote_here(id)) {
            return Ok(());
        }
        let changed = self.transcript.found(message.seq);
        let out = self
            .screen
            .own(&format!("{}: {}", self.who.me, shown(message)), changed);
        print(&out)
    }

    async fn typed(&mut self, typed: Option<Typed>, waits: &mut Waits) -> Result<()> {
        match typed {
            Some(Typed::Line(line)) if line.trim_ascii().is_empty() => Ok(()),
            Some(Typed::Line(line)) => self.send(line).await,
            Some(Typed::TooLong) => self.refuse("a line was too long and was not sent"),
            Some(Typed::Broken(why)) => bail!("standard input: {why}"),
            None => {
                waits.input_open = false;
                waits.end.as_mut().reset(Instant::now() + self.wait);
                Ok(())
            }
        }
    }

    async fn send(&mut self, line: Vec<u8>) -> Result<()> {
        let typed = String::from_utf8_lossy(&line).into_owned();
        match self.client.enqueue(self.who.conversation, line).await {
            Ok(id) => {
                let number = self.transcript.wrote(id);
                let text = format!("{}: {}", self.who.me, clean(&typed));
                print(&self.screen.typed(&typed, &text, number))
            }
            Err(ClientError::Stopped) => Ok(()),
            Err(error) => self.refuse(&format!("not sent: {error}")),
        }
    }

    fn sent(&mut self, sent: Sent) -> Result<()> {
        let changed = self.transcript.sent(sent.client_msg_id, sent.seq);
        self.ticked(changed)
    }

    fn failed(&mut self, client_msg_id: u64, why: &str) -> Result<()> {
        let changed = self.transcript.failed(client_msg_id);
        self.ticked(changed)?;
        self.refuse(&format!("the server refused a line: {why}"))
    }

    fn receipt(&mut self, kind: ReceiptKind, up_to: u64, user: Option<UserId>) -> Result<()> {
        if user == Some(self.who.me) && self.who.conversation != Conversation::Direct(self.who.me) {
            return Ok(());
        }
        let changed = match kind {
            ReceiptKind::Delivered => self.transcript.delivered(up_to),
            ReceiptKind::Read | ReceiptKind::Played => self.transcript.read(up_to),
        };
        self.ticked(changed)
    }

    fn ticked(&mut self, changed: impl IntoIterator<Item = Changed>) -> Result<()> {
        let screen = &mut self.screen;
        changed
            .into_iter()
            .try_for_each(|changed| print(&screen.ticked(changed)))
    }

    fn refuse(&mut self, why: &str) -> Result<()> {
        self.refused += 1;
        self.notice(why)
    }

    fn tell_outage(&mut self, waits: &mut Waits) -> Result<()> {
        waits.notice.as_mut().reset(Instant::now() + FOREVER);
        let Connection::Shaky(why) = std::mem::replace(&mut self.connection, Connection::Down)
        else {
            self.connection = Connection::Up;
            return Ok(());
        };
        let server = self.who.server.clone();
        self.notice(&format!(
            "not connected to {server} ({}); trying on",
            clean(&why)
        ))
    }

    /// Not part of the conversation: in a pipe it goes beside it.
    fn notice(&mut self, text: &str) -> Result<()> {
        match &mut self.screen {
            Screen::Pipe => {
                // Nobody may be there to read it; the lines themselves matter.
                let _unread = writeln!(std::io::stderr(), "millpond: {text}");
                Ok(())
            }
            screen @ Screen::Terminal(_) => print(&screen.line(&format!("— {text} —"))),
        }
    }

    fn resize(&mut self) {
        if let Screen::Terminal(terminal) = &mut self.screen {
            terminal.resize(terminal_size());
        }
    }
}

/// Never, when nothing was asked.
async fn answer(fetch: &mut Option<Fetch>) -> Found {
    match fetch {
        Some(fetch) => (&mut fetch.lines).await,
        None => std::future::pending().await,
    }
}

/// Asking says that the last event was dealt with; the one that may come is not, and comes again to the next run.
async fn deal_with_last(events: &mut Events) {
    let _comes_again = tokio::time::timeout(Duration::ZERO, events.next()).await;
}

fn print(out: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(out.as_bytes())
        .and_then(|()| stdout.flush())
        .context("standard output")
}
