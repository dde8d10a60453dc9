//! `divert test-call`: places one call into a flow and follows it, step by step, to its end.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::calls::step_line;
use super::client::{Client, ServerArgs};
use super::find::find_flow;
use super::terminal::{Style, Terminal, plain, say, say_json};
use super::view::Call;
use crate::config::Config;
use crate::model::timeline::duration;

/// How often the call is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Looks until a call that was placed must be known: it goes through Asterisk first.
const PATIENCE: u32 = 50;

#[derive(Args, Debug)]
pub struct TestCallArgs {
    /// Name or id of the forwarding flow
    flow: String,
    /// Which of its numbers is called; the first one unless given
    #[arg(long)]
    did: Option<String>,
    /// The number the call seems to come from
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
    /// The name that comes with it
    #[arg(long, value_name = "NAME", requires = "caller")]
    caller_name: Option<String>,
    /// Print the call as JSON when it is over, and no steps
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Deserialize)]
struct Placed {
    id: String,
}

/// Ctrl-C ends the call; it is followed to its end all the same. A second one gives up.
///
/// # Errors
/// [`Failure::Quiet`] when nobody answered; otherwise see [`Client`].
pub async fn run(args: &TestCallArgs, config: &Config) -> anyhow::Result<()> {
    let client = Client::new(&args.server, config)?;
    let terminal = Terminal::of_stdout();
    let flow = find_flow(&client, &args.flow).await?;
    let mut body = json!({});
    if let Some(did) = &args.did {
        body["did"] = Value::from(did.as_str());
    }
    if let Some(number) = &args.caller {
        body["caller"] =
            json!({ "number": number, "name": args.caller_name.as_deref().unwrap_or("") });
    }
    let path = format!("/v1/forwarding-flows/{}/test-calls", flow.id);
    let Placed { id } = client.post(&path, &body).await?;
    if !args.json {
        let name = terminal.paint(Style::Bold, &plain(&flow.name));
        say(&format!("Test call into {name}  {}\n\n", terminal.paint(Style::Dim, &id)))?;
    }

    let call = follow(args, &client, &id, terminal).await?;
    if args.json {
        say_json(&call)?;
    }
    let call = Call::deserialize(&call)?;
    if !args.json {
        say(&receipt(&call, terminal))?;
    }
    if call.result.as_deref() == Some("answered") { Ok(()) } else { bail!(Failure::Quiet(1)) }
}

/// Prints each new step and returns the call when it is over.
async fn follow(
    args: &TestCallArgs,
    client: &Client,
    id: &str,
    terminal: Terminal,
) -> anyhow::Result<Value> {
    let path = format!("/v1/calls/{id}");
    let mut shown = 0;
    let mut unknown = 0;
    let mut ended = false;
    let mut tick = tokio::time::interval(LOOK);
    // One listener for the whole call: it also keeps a signal that comes while the server is asked.
    let mut interrupted = signal(SignalKind::interrupt()).context("SIGINT")?;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = interrupted.recv() => {
                if ended {
                    bail!(Failure::Failed(format!("{id} was left alone while it was ending")));
                }
                ended = true;
                let _: Value = client.post(&format!("{path}/end"), &json!({})).await?;
                continue;
            }
        }
        let answer: Value = match client.get(&path, &[]).await {
            Ok(answer) => answer,
            Err(error) => {
                // Not there yet: the call is still on its way through Asterisk.
                let early = shown == 0 && matches!(error.downcast_ref(), Some(Failure::Input(_)));
                unknown += 1;
                if early && unknown < PATIENCE {
                    continue;
                }
                return Err(error);
            }
        };
        let call = Call::deserialize(&answer)?;
        for entry in call.timeline.iter().skip(shown) {
            if !args.json {
                say(&step_line(entry, terminal))?;
            }
        }
        shown = shown.max(call.timeline.len());
        if call.is_over() {
            return Ok(answer);
        }
    }
}

fn receipt(call: &Call, terminal: Terminal) -> String {
    let (sign, style) = match call.result.as_deref() {
        Some("answered") => ("✔", Style::Good),
        _ => ("✘", Style::Bad),
    };
    let mut result = call.verdict().replace('_', " ");
    if let Some(leg) = call.legs.iter().find(|leg| leg.outcome.as_deref() == Some("answered")) {
        result = format!("{result} by {}", plain(&leg.name));
    }
    format!(
        "\n{} {}, talk {}. Never billed, not in reports.\n  divert calls show {} --ladder\n",
        terminal.paint(style, sign),
        terminal.paint(style, &result),
        duration(call.talk_ms()),
        plain(&call.id),
    )
}
