//! Finding what somebody typed the name of, among what the server has.

use std::str::FromStr;

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Failure;
use super::client::{Client, ServerArgs};
use super::terminal::{Column, Style, Terminal, plain, say, say_json, table};
use crate::model::id::{CallId, DestinationId, ForwardingFlowId};

const FLOWS: &str = "/v1/forwarding-flows";
const FLOW: &str = "forwarding flow";
pub const MOST_PER_PAGE: &str = "200";
/// Less of an id is rather a name that nobody has.
const LEAST_TYPED: usize = 4;
/// So many ids are named where one was meant.
const MOST_NAMED: usize = 4;

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
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flow.is_none() && self.destination.is_none()
    }

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
    pub tags: Vec<String>,
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
    find_named(client, path, wanted, word, wanted.parse::<Id>().is_ok()).await
}

/// The same, where the caller knows whether it is an id.
///
/// # Errors
/// See [`find`].
pub async fn find_named(
    client: &Client,
    path: &str,
    wanted: &str,
    word: &str,
    is_id: bool,
) -> anyhow::Result<Value> {
    if is_id {
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

/// Whether the id begins as it was typed, with or without the word for its kind in front.
fn begins(id: &str, typed: &str) -> bool {
    let digits = id.split_once('_').map_or(id, |(_, digits)| digits);
    typed.len() >= LEAST_TYPED && (id.starts_with(typed) || digits.starts_with(typed))
}

/// By id, by name, by name in another case or by the beginning of an id if that is one only.
///
/// # Errors
/// [`Failure::Input`] with the names there are, or the ids that begin so.
pub fn pick<'a>(
    wanted: &str,
    named: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    word: &str,
) -> Result<usize, Failure> {
    let exact = named.clone().position(|(id, name)| id == wanted || name == wanted);
    let lower = wanted.to_lowercase();
    let mut alike = named.clone().enumerate().filter(|(_, (_, name))| name.to_lowercase() == lower);
    let short: Vec<(usize, &str)> = named
        .clone()
        .enumerate()
        .filter_map(|(nth, (id, _))| begins(id, wanted).then_some((nth, id)))
        .collect();
    match (exact, alike.next(), alike.next(), short.as_slice()) {
        (Some(nth), ..) | (None, Some((nth, _)), None, _) => Ok(nth),
        (None, None, _, [(nth, _)]) => Ok(*nth),
        (None, None, _, [_, _, ..]) => Err(several(wanted, short.iter().map(|(_, id)| *id))),
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

/// More than one id begins as it was typed.
pub fn several<'a>(typed: &str, ids: impl Iterator<Item = &'a str>) -> Failure {
    let ids = ids.take(MOST_NAMED).map(plain).collect::<Vec<_>>().join(", ");
    Failure::Input(format!("{typed:?} begins several ids\n  = help: type more of {ids}"))
}

/// The call whose id is typed, or the only one whose id begins so.
///
/// # Errors
/// See [`Client`]; [`Failure::Input`] for none and for several.
pub async fn call_id(client: &Client, typed: &CallArg) -> anyhow::Result<CallId> {
    let typed = match typed {
        CallArg::Whole(id) => return Ok(*id),
        CallArg::Beginning(typed) => typed,
    };
    let query = [("id", typed.clone()), ("limit", MOST_NAMED.to_string())];
    let found: Page<Named> = client.get("/v1/calls", &query).await?;
    Ok(only(typed, found.data.iter().map(|call| call.id.as_str()))?.parse()?)
}

/// The one id that begins so.
///
/// # Errors
/// [`Failure::Input`] for none and for several.
pub fn only<'a>(
    typed: &str,
    mut ids: impl Iterator<Item = &'a str> + Clone,
) -> Result<&'a str, Failure> {
    let all = ids.clone();
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(several(typed, all)),
        (None, _) => Err(Failure::Input(format!("no id begins with {typed:?}"))),
    }
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// The id of a call, or its beginning as lists show it.
#[derive(Clone, Debug)]
pub enum CallArg {
    Beginning(String),
    Whole(CallId),
}

impl FromStr for CallArg {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        if let Ok(id) = typed.parse() {
            return Ok(Self::Whole(id));
        }
        match CallId::beginning(typed) {
            Some(_) if typed.len() >= LEAST_TYPED => Ok(Self::Beginning(typed.to_owned())),
            _ => Err("type the id of a call, as call_01m7y97xc1edhbae1qxbqr1c6s, or the first \
                      letters and digits of it, as divert calls list shows them"
                .to_owned()),
        }
    }
}

/// A table of destinations, a little to the right.
#[must_use]
pub fn destinations(destinations: &[Destination], terminal: Terminal) -> String {
    let row = |dest: &Destination| {
        let style = match dest.state.as_str() {
            "active" => Style::Good,
            "draining" | "paused" => Style::Warn,
            _ => Style::Dim,
        };
        let max = dest.max_live.map_or_else(|| "-".to_owned(), |max| max.to_string());
        vec![
            (Style::Plain, format!("  {}", dest.priority)),
            (Style::Plain, dest.weight.to_string()),
            (style, dest.state.clone()),
            (Style::Plain, max),
            (Style::Name, plain(&dest.name)),
            (Style::Dim, plain(&dest.id)),
        ]
    };
    let rows: Vec<_> = destinations.iter().map(row).collect();
    let columns = [
        Column::Whole("  PRIO"),
        Column::Whole("WEIGHT"),
        Column::Whole("STATE"),
        Column::Whole("MAX LIVE"),
        Column::Name("NAME"),
        Column::Id("ID"),
    ];
    table(terminal, &columns, &rows)
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

    #[test]
    fn the_beginning_of_an_id_is_enough_if_no_other_begins_so() {
        let named = [("flw_01m7aaaa", "Solar"), ("flw_01m7aabb", "East"), ("flw_01m8", "01m7aab")];
        assert_eq!(pick("01m7aaa", named.into_iter(), "flow").unwrap(), 0);
        assert_eq!(pick("flw_01m7aabb", named.into_iter(), "flow").unwrap(), 1);
        assert_eq!(pick("01m7aab", named.into_iter(), "flow").unwrap(), 2, "that is a name");
        let error = pick("01m7aa", named.into_iter(), "flow").unwrap_err().to_string();
        assert!(error.ends_with("type more of flw_01m7aaaa, flw_01m7aabb"), "{error}");
        let error = pick("01m", named.into_iter(), "flow").unwrap_err().to_string();
        assert!(error.starts_with("no flow \"01m\""), "{error}");
    }
}
