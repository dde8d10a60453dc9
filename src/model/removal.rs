//! Taking things out of a configuration, which is refused while something else needs them.

use std::fmt::Display;

use super::billing::RateDeck;
use super::check;
use super::configuration::{Configuration, Named, Number};
use super::id::{DestinationId, ForwardingFlowId, NumberId, RateDeckId, ServerId, TrunkId};
use super::problem::Problem;
use super::server::Server;
use super::stickiness::RepeatAction;
use super::trunk::Trunk;

/// The configuration without this rate deck.
///
/// # Errors
///
/// One problem for each thing that still uses it, or one that it does not exist.
pub fn remove_rate_deck(
    from: &Configuration,
    id: RateDeckId,
) -> Result<Configuration, Vec<Problem>> {
    let name = &from.rate_deck(id).ok_or_else(|| vec![not_found(id)])?.name;
    refuse_if_used(check::users_of_rate_deck(from, id), RateDeck::KIND, name)?;
    let mut left = from.clone();
    left.rate_decks.retain(|deck| deck.id != id);
    Ok(left)
}

/// The configuration without this server.
///
/// # Errors
///
/// One problem for each thing that still uses it, or one that it does not exist.
pub fn remove_server(from: &Configuration, id: ServerId) -> Result<Configuration, Vec<Problem>> {
    let name = &from.server(id).ok_or_else(|| vec![not_found(id)])?.name;
    refuse_if_used(check::users_of_server(from, id), Server::KIND, name)?;
    let mut left = from.clone();
    left.servers.retain(|server| server.id != id);
    Ok(left)
}

/// The configuration without this trunk.
///
/// # Errors
///
/// One problem for each thing that still uses it, or one that it does not exist.
pub fn remove_trunk(from: &Configuration, id: TrunkId) -> Result<Configuration, Vec<Problem>> {
    let name = &from.trunk(id).ok_or_else(|| vec![not_found(id)])?.name;
    refuse_if_used(check::users_of_trunk(from, id), Trunk::KIND, name)?;
    let mut left = from.clone();
    left.trunks.retain(|trunk| trunk.id != id);
    Ok(left)
}

/// The configuration without this flow and the numbers it owned.
///
/// # Errors
///
/// One problem when it does not exist.
pub fn remove_forwarding_flow(
    from: &Configuration,
    id: ForwardingFlowId,
) -> Result<Configuration, Vec<Problem>> {
    from.forwarding_flow(id).ok_or_else(|| vec![not_found(id)])?;
    let mut left = from.clone();
    left.forwarding_flows.retain(|flow| flow.id != id);
    left.numbers.retain(|number| number.forwarding_flow != Some(id));
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
    let found = left.forwarding_flows.iter_mut().find(|candidate| candidate.id == flow);
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
    if users.is_empty() {
        return Ok(());
    }
    let problem = |user: String| {
        let message = format!("{kind} {name} is still used by {user}");
        let hint = format!("change or remove {user} first");
        Problem::new("", "in_use", message, hint)
    };
    Err(users.into_iter().map(problem).collect())
}

pub(super) fn not_found(id: impl Display) -> Problem {
    Problem::new("", "not_found", format!("there is no {id}"), "ask for the list and take an id")
}
