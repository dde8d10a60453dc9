//! Finding what somebody typed the name of, among what the server has.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Failure;
use super::client::Client;
use super::terminal::plain;

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
