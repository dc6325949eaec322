//! One script of operations runs against the real ring and the double, step by step, and both must say the same: results,
//! bytes, the end of multishots, what the peers read. Slot numbers may differ, and the order between operations.
//!
//! Scripts come from seeds; each step is chosen by what the double said so far. To replay one that failed:
//! `AGREE_SEED=… cargo test -p millpond-ring --test agree`; `AGREE_SCRIPTS=…` runs more of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod actor;
mod script;
mod worlds;

use actor::{Actor, Outcome, Step};
use millpond_ring::Setup;
use script::Script;
use worlds::{Memory, ROOMY, SETUP, Sockets, World};

const SCRIPTS: u64 = 150;
const STEPS: usize = 150;

#[test]
fn random_scripts_agree() {
    let completions = run_scripts(&SETUP, Sockets::of_one_ring);
    println!("{STEPS} steps per script, {completions} completions compared");
    assert!(completions > 50);
}

/// With buffers enough, a thread's many rings are as one.
#[test]
fn random_scripts_agree_with_many_rings() {
    let completions = run_scripts(&ROOMY, Sockets::of_many_rings);
    println!("{STEPS} steps per script, {completions} completions compared");
    assert!(completions > 50);
}

fn run_scripts<W: World>(setup: &Setup, real: impl Fn() -> W) -> usize {
    let seeds = match (number("AGREE_SEED"), number("AGREE_SCRIPTS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, scripts) => 0..scripts.unwrap_or(SCRIPTS),
    };
    seeds
        .map(|seed| run(seed, Memory::open(setup), real()))
        .sum()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap())
}

fn run(seed: u64, double: Memory, real: impl World) -> usize {
    let (mut double, mut real) = (Actor::new(double), Actor::new(real));
    let mut script = Script::new(seed);
    let (mut history, mut completions) = (Vec::new(), 0);
    for _ in 0..STEPS {
        let step = script.next();
        history.push(step);
        let expected = double.perform(&step, None);
        let said = real.perform(&step, Some(&expected));
        compare(seed, &history, &expected, &said);
        completions += said.said.len();
        script.note(&step, &expected);
    }
    completions
}

fn compare(seed: u64, history: &[Step], expected: &Outcome, said: &Outcome) {
    if expected == said {
        return;
    }
    let recent = &history[history.len().saturating_sub(25)..];
    let steps: Vec<_> = recent.iter().map(|step| format!("    {step:?}")).collect();
    panic!(
        "AGREE_SEED={seed}, step {}:\n{}\n  double: {expected:?}\n  kernel: {said:?}",
        history.len(),
        steps.join("\n")
    );
}

/// Every kind of step and what it leads to, in an order a reader can follow.
#[test]
fn the_written_script_agrees() {
    use Step::{
        AcceptNobody, ArmPoll, ArmRecv, Cancel, CancelAccept, CancelTimeout, Close, Connect,
        GiveBack, PeerClose, PeerFinish, PeerRead, PeerReset, PeerWrite, PollOut, Recv, Send,
        Sleep, Timeout,
    };
    let steps = [
        AcceptNobody,
        CancelAccept,
        CancelAccept,
        Connect,
        Recv(0),
        PeerWrite(0, 100),
        Recv(0),
        Recv(0),
        PollOut(0),
        ArmPoll(0, true),
        PeerWrite(0, 10),
        PeerWrite(0, 10),
        Recv(0),
        Send(0, 1_000),
        PeerRead(0),
        Cancel(0),
        Cancel(0),
        ArmPoll(0, false),
        PeerFinish(0),
        Recv(0),
        Send(0, 10),
        Close(0),
        PeerRead(0),
        Recv(0),
        Close(0),
        ArmPoll(0, true),
        // The buffers run out under a multishot, and under single reads.
        Connect,
        ArmRecv(1),
        PeerWrite(1, 3_000),
        Recv(1),
        ArmRecv(1),
        GiveBack,
        ArmRecv(1),
        PeerClose(1),
        GiveBack,
        Recv(1),
        Send(1, 10),
        Send(1, 10),
        Send(1, 10),
        Recv(1),
        Close(1),
        // Resets, with and without bytes before them.
        Connect,
        ArmPoll(2, true),
        PeerWrite(2, 5),
        PeerReset(2),
        Recv(2),
        Recv(2),
        Recv(2),
        Send(2, 1),
        ArmPoll(2, true),
        Connect,
        ArmRecv(3),
        PeerReset(3),
        Recv(3),
        Connect,
        PeerWrite(4, 7),
        Send(4, 9),
        Close(4),
        PeerRead(4),
        // A socket lingers under an armed operation.
        Connect,
        ArmPoll(5, true),
        Close(5),
        PeerRead(5),
        Cancel(5),
        PeerRead(5),
        // The table is full: the kernel takes the connection and closes it.
        Connect,
        Connect,
        Connect,
        Connect,
        Connect,
        Connect,
        Connect,
        PeerRead(12),
        Timeout,
        Sleep,
        CancelTimeout,
    ];
    let mut double = Actor::new(Memory::open(&SETUP));
    let mut real = Actor::new(Sockets::of_one_ring());
    for (index, step) in steps.iter().enumerate() {
        let expected = double.perform(step, None);
        let said = real.perform(step, Some(&expected));
        compare(0, &steps[..=index], &expected, &said);
    }
}
