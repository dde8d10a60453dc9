//! `divert flows …`: the forwarding flows of the running server.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::{Client, ServerArgs};
use super::terminal::{Style, Terminal, plain, say, say_json, table};
use super::{Failure, explain};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum FlowsCommand {
    /// All forwarding flows with their numbers and destinations
    #[command(after_help = "Example:\n  divert flows list")]
    List(ListArgs),
    /// Who is next in line on a flow, and how each destination stands
    #[command(after_help = "Example:\n  divert flows live \"Solar East\"")]
    Live(explain::LiveArgs),
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Flow {
    pub id: String,
    pub name: String,
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

/// # Errors
/// See [`Client`].
pub async fn flows(command: &FlowsCommand, config: &Config) -> anyhow::Result<()> {
    let args = match command {
        FlowsCommand::List(args) => args,
        FlowsCommand::Live(args) => return explain::live(args, config).await,
    };
    let client = Client::new(&args.server, config)?;
    let answer: Value = client.get("/v1/forwarding-flows", &[("limit", "200".to_owned())]).await?;
    if args.json {
        return say_json(&answer);
    }
    let flows: Vec<Flow> = read_list(answer)?;
    say(&listing(&flows, Terminal::of_stdout()))
}

/// The flow with this id or name.
///
/// # Errors
/// See [`Client`]; [`Failure::Input`] when there is none.
pub async fn find_flow(client: &Client, wanted: &str) -> anyhow::Result<Flow> {
    let answer = client.get("/v1/forwarding-flows", &[("limit", "200".to_owned())]).await?;
    let mut flows: Vec<Flow> = read_list(answer)?;
    let named = flows.iter().map(|flow| (flow.id.as_str(), flow.name.as_str()));
    let nth = pick(wanted, named, "forwarding flow")?;
    Ok(flows.swap_remove(nth))
}

/// What a list of the API holds.
///
/// # Errors
/// It is no such list.
pub fn read_list<T: DeserializeOwned>(answer: Value) -> anyhow::Result<Vec<T>> {
    #[derive(Deserialize)]
    struct List<T> {
        data: Vec<T>,
    }
    Ok(serde_json::from_value::<List<T>>(answer)?.data)
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

fn listing(flows: &[Flow], terminal: Terminal) -> String {
    if flows.is_empty() {
        return "No flows yet: a flow sends calls from your numbers to destinations. Write one and \
                run\n  divert apply FILE\n"
            .to_owned();
    }
    let mut text = String::new();
    for flow in flows {
        let name = terminal.paint(Style::Bold, &plain(&flow.name));
        let id = terminal.paint(Style::Dim, &flow.id);
        let _ = write!(text, "{name}  {id}\n  {}\n", plain(&flow.dids.join(" ")));
        text.push_str(&destinations(&flow.destinations, terminal));
    }
    text
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
        ]
    };
    let rows: Vec<_> = destinations.iter().map(row).collect();
    table(terminal, &["  PRIO", "WEIGHT", "STATE", "MAX LIVE", "NAME"], &rows)
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
