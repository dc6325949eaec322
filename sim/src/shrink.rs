//! Makes a failing run smaller, as long as it fails by the same rule: fewer kinds of accidents and operations, fewer
//! users, fewer rounds. What is left is what a person has to look at.

use crate::fault::Fault;
use crate::operation::Operation;
use crate::plan::Plan;
use crate::world::{Watch, run};

/// Runs that one reduction may take.
const RUNS_MAX: usize = 400;

/// The smallest plan found that still breaks `rule`.
pub fn shrink(plan: &Plan, rule: &str) -> Plan {
    let mut best = *plan;
    let mut runs = 0;
    let mut smaller = true;
    while smaller && runs < RUNS_MAX {
        smaller = false;
        for candidate in candidates(&best) {
            runs += 1;
            if runs < RUNS_MAX && breaks(&candidate, rule) {
                best = candidate;
                smaller = true;
                break;
            }
        }
    }
    best
}

fn breaks(plan: &Plan, rule: &str) -> bool {
    let outcome = run(plan, Watch::default());
    outcome.findings.iter().any(|finding| finding.rule == rule)
}

/// Each a little smaller, the largest steps first.
fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    let rounds = [
        plan.rounds / 2,
        plan.rounds * 3 / 4,
        plan.rounds.saturating_sub(1),
    ];
    let fewer = rounds.into_iter().filter(|rounds| *rounds < plan.rounds);
    all.extend(fewer.map(|rounds| Plan { rounds, ..*plan }));
    if plan.users > 1 {
        all.push(Plan {
            users: plan.users - 1,
            ..*plan
        });
    }
    all.extend(plan.faults.iter().map(|fault: Fault| Plan {
        faults: plan.faults.without(fault),
        ..*plan
    }));
    all.extend(plan.operations.iter().map(|operation: Operation| Plan {
        operations: plan.operations.without(operation),
        ..*plan
    }));
    all
}
