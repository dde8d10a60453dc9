//! Finding what somebody typed the name of, among what the server has.

use std::str::FromStr;

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Failure;
use super::client::{Client, ServerArgs};
use super::terminal::{plain, say, say_json};
use crate::model::id::{DestinationId, ForwardingFlowId};

const FLOWS: &str = "/v1/forwarding-flows";
const FLOW: &str = "forwarding flow";
const MOST_PER_PAGE: &str = "200";

/// What commands take that list everything of a kind.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// What narrows the log to a part of the configuration.
#[derive(Args, Debug)]
pub struct Part {
    /// Name or id of a forwarding flow
    #[arg(long)]
    flow: Option<String>,
    /// Name or id of a destination; one that is gone has its id only
    #[arg(long)]
    destination: Option<String>,
}

impl Part {
    /// As parameters of the API, which knows ids only.
    ///
    /// # Errors
    /// See [`Client`]; [`Failure::Input`] for a name that nothing or more than one thing has.
    pub async fn query(&self, client: &Client) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut query = Vec::new();
        if let Some(flow) = &self.flow {
            query.push(("flow", id_of::<ForwardingFlowId>(client, FLOWS, flow, FLOW).await?));
        }
        if let Some(wanted) = &self.destination {
            let flow = query.first().map(|(_, id)| id.as_str());
            query.push(("destination", destination_id(client, flow, wanted).await?));
        }
        Ok(query)
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Flow {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub dids: Vec<String>,
    #[serde(default)]
    pub destinations: Vec<Destination>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Destination {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub priority: i64,
    #[serde(default)]
    pub weight: i64,
    #[serde(default)]
    pub max_live: Option<u32>,
}

/// One page of a list of the API.
#[derive(Debug, Deserialize)]
pub struct Page<T> {
    pub data: Vec<T>,
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(default)]
    has_more: bool,
}

impl<T> Page<T> {
    /// What to ask for the next page with; `None` on the last.
    #[must_use]
    pub fn next(self) -> Option<String> {
        self.next_cursor.filter(|_| self.has_more)
    }
}

/// Everything that a list of the API holds, asked for page by page.
///
/// # Errors
/// See [`Client`].
pub async fn list(
    client: &Client,
    path: &str,
    filter: &[(&str, String)],
) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let mut query = filter.to_vec();
        query.push(("limit", MOST_PER_PAGE.to_owned()));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let mut page: Page<Value> = client.get(path, &query).await?;
        all.append(&mut page.data);
        cursor = page.next();
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

/// Writes such a list: as the one page it would be, or as a table of what `show` makes of it.
///
/// # Errors
/// It is no such list, or standard output is closed.
pub fn say_list<T: DeserializeOwned>(
    all: Vec<Value>,
    as_json: bool,
    show: impl FnOnce(&[T]) -> String,
) -> anyhow::Result<()> {
    if as_json {
        return say_json(&json!({ "data": all, "next_cursor": null, "has_more": false }));
    }
    let all = all.into_iter().map(T::deserialize).collect::<Result<Vec<T>, _>>()?;
    say(&show(&all))
}

/// What the list at `path` has of this id or name.
///
/// # Errors
/// See [`Client`]; [`Failure::Input`] when there is none.
pub async fn find<Id: FromStr>(
    client: &Client,
    path: &str,
    wanted: &str,
    word: &str,
) -> anyhow::Result<Value> {
    if wanted.parse::<Id>().is_ok() {
        return client.get(&format!("{path}/{wanted}"), &[]).await;
    }
    let mut all = list(client, path, &[]).await?;
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let named: Vec<_> = all.iter().map(|one| (text(one, "id"), text(one, "name"))).collect();
    let named = named.iter().map(|(id, name)| (id.as_str(), name.as_str()));
    let nth = pick(wanted, named, word)?;
    Ok(all.swap_remove(nth))
}

/// The same, when only its id is wanted.
///
/// # Errors
/// See [`find`].
pub async fn id_of<Id: FromStr>(
    client: &Client,
    path: &str,
    wanted: &str,
    word: &str,
) -> anyhow::Result<String> {
    // The log may know what the configuration has forgotten.
    if wanted.parse::<Id>().is_ok() {
        return Ok(wanted.to_owned());
    }
    let found = find::<Id>(client, path, wanted, word).await?;
    Ok(found["id"].as_str().unwrap_or_default().to_owned())
}

/// The flow with this id or name.
///
/// # Errors
/// See [`find`].
pub async fn find_flow(client: &Client, wanted: &str) -> anyhow::Result<Flow> {
    Ok(Flow::deserialize(find::<ForwardingFlowId>(client, FLOWS, wanted, FLOW).await?)?)
}

/// A name says which destination is meant in one flow, or if no two flows have it.
async fn destination_id(
    client: &Client,
    flow: Option<&str>,
    wanted: &str,
) -> anyhow::Result<String> {
    if wanted.parse::<DestinationId>().is_ok() {
        return Ok(wanted.to_owned());
    }
    let flows = if let Some(flow) = flow {
        vec![find_flow(client, flow).await?]
    } else {
        let all = list(client, FLOWS, &[]).await?;
        all.into_iter().map(Flow::deserialize).collect::<Result<_, _>>()?
    };
    let named = |flow: &Flow| {
        let named = flow.destinations.iter().map(|it| (it.id.as_str(), it.name.as_str()));
        pick(wanted, named, "destination").map(|nth| flow.destinations[nth].id.clone())
    };
    let found: Vec<_> = flows.iter().filter_map(|flow| Some((flow, named(flow).ok()?))).collect();
    match (found.as_slice(), flows.as_slice()) {
        ([(_, id)], _) => Ok(id.clone()),
        ([], [only]) => Ok(named(only)?),
        ([], _) => Err(Failure::Input(format!("no flow has a destination {wanted:?}")).into()),
        (several, _) => {
            let names = several.iter().map(|(flow, _)| format!("{:?}", plain(&flow.name)));
            let names = names.collect::<Vec<_>>().join(", ");
            let text = format!("{wanted:?} is a destination of {names}\n  = help: add --flow");
            Err(Failure::Input(text).into())
        }
    }
}

/// By id, by name, or by name in another case if that is one only.
///
/// # Errors
/// [`Failure::Input`] with the names there are.
pub fn pick<'a>(
    wanted: &str,
    named: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    word: &str,
) -> Result<usize, Failure> {
    let exact = named.clone().position(|(id, name)| id == wanted || name == wanted);
    let lower = wanted.to_lowercase();
    let mut alike = named.clone().enumerate().filter(|(_, (_, name))| name.to_lowercase() == lower);
    match (exact, alike.next(), alike.next()) {
        (Some(nth), _, _) | (None, Some((nth, _)), None) => Ok(nth),
        _ => {
            let quoted: Vec<String> = named.map(|(_, name)| format!("{:?}", plain(name))).collect();
            let known = if quoted.is_empty() {
                "there is none yet".to_owned()
            } else {
                format!("there is {}", quoted.join(", "))
            };
            Err(Failure::Input(format!("no {word} {wanted:?}\n  = help: {known}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_found_by_id_name_or_case() {
        let named = [("flw_1", "Solar"), ("flw_2", "solar"), ("flw_3", "East")];
        assert_eq!(pick("flw_2", named.into_iter(), "flow").unwrap(), 1);
        assert_eq!(pick("solar", named.into_iter(), "flow").unwrap(), 1);
        assert_eq!(pick("EAST", named.into_iter(), "flow").unwrap(), 2);
        let error = pick("SOLAR", named.into_iter(), "flow").unwrap_err().to_string();
        assert!(error.ends_with("there is \"Solar\", \"solar\", \"East\""), "{error}");
    }
}
