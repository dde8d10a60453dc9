//! Taking things out of a configuration, which is refused while something else needs them.

use std::fmt::Display;

use super::check;
use super::configuration::{Configuration, Listed as _};
use super::id::{DestinationId, ForwardingFlowId, NumberId, ObjectId};
use super::objects::Kind;
use super::objects::forwarding_flow::ForwardingFlow;
use super::objects::number::Number;
use super::problem::Problem;
use super::stickiness::RepeatAction;

/// The configuration without this object; a flow takes the numbers it owned along.
///
/// # Errors
///
/// One problem for each thing that still uses it, or one that it does not exist.
pub fn remove(
    from: &Configuration,
    kind: &Kind,
    id: ObjectId,
) -> Result<Configuration, Vec<Problem>> {
    let all = kind.list(from);
    let found = all.iter().find(|(known, _)| *known == id);
    let (_, name) = found.ok_or_else(|| vec![not_found(id)])?;
    refuse_if_used(check::users_of(from, id), kind.word, name)?;
    let mut left = from.clone();
    kind.retain(&mut left, &|known| known != id);
    if let Some(flow) = id.to::<ForwardingFlowId>() {
        left.numbers.retain(|number| number.forwarding_flow != Some(flow));
    }
    Ok(left)
}

/// The configuration without this destination.
///
/// # Errors
///
/// One problem when it does not exist, is the last of its flow, or is where repeated callers go.
pub fn remove_destination(
    from: &Configuration,
    flow: ForwardingFlowId,
    id: DestinationId,
) -> Result<Configuration, Vec<Problem>> {
    let mut left = from.clone();
    let found = ForwardingFlow::list_mut(&mut left).iter_mut().find(|one| one.id == flow);
    let flow = found.ok_or_else(|| vec![not_found(flow)])?;
    let at = flow.destinations.iter().position(|destination| destination.id == id);
    let at = at.ok_or_else(|| vec![not_found(id)])?;
    if flow.destinations.len() == 1 {
        let message = format!(
            "{} is the last destination of forwarding flow {}",
            flow.destinations[at].name, flow.name
        );
        let hint = "add another destination first, or pause this one, or remove the flow";
        return Err(vec![Problem::new("", "no_destination", message, hint)]);
    }
    if flow.repeat_caller.is_some_and(|rule| rule.then == RepeatAction::Destination(id)) {
        let users = vec![format!("the rule for repeated callers of forwarding flow {}", flow.name)];
        refuse_if_used(users, "destination", &flow.destinations[at].name)?;
    }
    flow.destinations.remove(at);
    Ok(left)
}

/// The configuration without this number, and the flow that owned it without its DID.
///
/// # Errors
///
/// One problem when it does not exist.
pub fn remove_number(from: &Configuration, id: NumberId) -> Result<Configuration, Vec<Problem>> {
    let mut left = from.clone();
    take_number(&mut left, id)?;
    Ok(left)
}

/// Takes a number out, here and from the DIDs of its owner.
pub(super) fn take_number(from: &mut Configuration, id: NumberId) -> Result<Number, Vec<Problem>> {
    let at = from.numbers.iter().position(|number| number.id == id);
    let number = from.numbers.remove(at.ok_or_else(|| vec![not_found(id)])?);
    for flow in &mut from.forwarding_flows {
        if Some(flow.id) == number.forwarding_flow {
            flow.dids.retain(|did| *did != number.did);
        }
    }
    Ok(number)
}

fn refuse_if_used(users: Vec<String>, kind: &str, name: &str) -> Result<(), Vec<Problem>> {
    let problems = in_use(users, kind, name);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// One problem for each thing that still uses this one.
pub(super) fn in_use(users: Vec<String>, kind: &str, name: &str) -> Vec<Problem> {
    let problem = |user: String| {
        let message = format!("{kind} {name} is still used by {user}");
        // There is always an account.
        let how = if user == check::ACCOUNT { "change" } else { "change or remove" };
        Problem::new("", "in_use", message, format!("{how} {user} first"))
    };
    users.into_iter().map(problem).collect()
}

pub(super) fn not_found(id: impl Display) -> Problem {
    Problem::new("", "not_found", format!("there is no {id}"), "ask for the list and take an id")
}
