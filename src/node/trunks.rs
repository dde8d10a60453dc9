//! Trunks that divert pushes to Asterisk itself: endpoints of peers known by their address.
//!
//! Only what is needed to call *out*: an `identify` would let the peer's calls in under another
//! name than the operator gave it in `pjsip.conf`, and costs CPU on every inbound call. Asterisk
//! appends lists on a second PUT, so what differs is deleted first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::ari::AriError;
use crate::ari::client::Client;
use crate::model::id::TrunkId;
use crate::model::trunk::{Reach, SipAddress, Trunk};
use crate::routing::snapshot::Snapshot;

const CLASS: &str = "res_pjsip";
const PREFIX: &str = "divert-";
const RETRY: Duration = Duration::from_secs(2);

/// Tells the provisioning task what is wanted; only the newest wish counts.
#[derive(Debug)]
pub struct Trunks(watch::Sender<Wish>);

#[derive(Clone, Debug, Default)]
struct Wish {
    snapshot: Option<Arc<Snapshot>>,
    /// Counts connections: behind a new one may be an Asterisk that keeps nothing of what was pushed.
    connection: u64,
}

impl Trunks {
    pub fn start(client: Client) -> Self {
        let (wish, mut wanted) = watch::channel(Wish::default());
        tokio::spawn(async move {
            let mut done = BTreeMap::new();
            let mut known = 0;
            while wanted.changed().await.is_ok() {
                let Wish { snapshot: Some(snapshot), connection } =
                    wanted.borrow_and_update().clone()
                else {
                    continue;
                };
                if connection != known {
                    known = connection;
                    done.clear();
                }
                while let Err(error) = provision(&client, &snapshot, &mut done).await {
                    warn!(%error, "trunks could not be pushed to Asterisk");
                    tokio::time::sleep(RETRY).await;
                    if !error.retry_may_help() || wanted.has_changed().unwrap_or(true) {
                        break;
                    }
                }
            }
        });
        Self(wish)
    }

    pub fn want(&self, snapshot: Arc<Snapshot>) {
        self.0.send_modify(|wish| wish.snapshot = Some(snapshot));
    }

    /// The same over a new connection, where everything is looked at again.
    pub fn want_anew(&self, snapshot: Arc<Snapshot>) {
        self.0.send_modify(|wish| {
            wish.snapshot = Some(snapshot);
            wish.connection += 1;
        });
    }
}

/// Makes Asterisk's dynamic endpoints those of the snapshot.
async fn provision(
    client: &Client,
    snapshot: &Snapshot,
    done: &mut BTreeMap<TrunkId, SipAddress>,
) -> Result<(), AriError> {
    let mut wanted = BTreeSet::new();
    for trunk in snapshot.trunks() {
        let Reach::Address(address) = &trunk.reach else {
            continue;
        };
        wanted.insert(trunk.endpoint());
        if done.get(&trunk.id) == Some(address) {
            continue;
        }
        if !exists(client, trunk, address).await? {
            push(client, trunk, address).await?;
            info!("trunk {:?} now leads to {address}", trunk.name);
        }
        done.insert(trunk.id, address.clone());
    }
    for name in client.endpoints("PJSIP").await? {
        let is_ours = name.strip_prefix(PREFIX).and_then(TrunkId::from_digits).is_some();
        if is_ours && !wanted.contains(&name) {
            remove(client, &name).await?;
            info!("endpoint {name} of a trunk that is gone was removed");
        }
    }
    done.retain(|id, _| wanted.contains(&format!("{PREFIX}{}", id.digits())));
    Ok(())
}

fn contact(address: &SipAddress) -> String {
    format!("sip:{address}")
}

async fn exists(client: &Client, trunk: &Trunk, address: &SipAddress) -> Result<bool, AriError> {
    let aor = client.dynamic(CLASS, "aor", &trunk.endpoint()).await?;
    let endpoint = client.dynamic(CLASS, "endpoint", &trunk.endpoint()).await?;
    let leads_there = aor.is_some_and(|fields| {
        fields.iter().any(|(name, value)| name == "contact" && *value == contact(address))
    });
    Ok(leads_there && endpoint.is_some())
}

async fn push(client: &Client, trunk: &Trunk, address: &SipAddress) -> Result<(), AriError> {
    let name = trunk.endpoint();
    remove(client, &name).await?;
    let contact = contact(address);
    let aor = [("contact", contact.as_str()), ("qualify_frequency", "15")];
    client.put_dynamic(CLASS, "aor", &name, &aor).await?;
    let endpoint = [
        ("aors", name.as_str()),
        ("disallow", "all"),
        ("allow", "ulaw,alaw"),
        // Nobody calls in over it: there is no identify.
        ("context", "divert-none"),
        ("direct_media", "no"),
        ("dtmf_mode", "rfc4733"),
        ("rtp_symmetric", "yes"),
        ("send_pai", "yes"),
        ("trust_id_outbound", "yes"),
    ];
    client.put_dynamic(CLASS, "endpoint", &name, &endpoint).await
}

async fn remove(client: &Client, name: &str) -> Result<(), AriError> {
    client.delete_dynamic(CLASS, "endpoint", name).await?;
    client.delete_dynamic(CLASS, "aor", name).await
}
