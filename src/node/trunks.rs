//! Trunks that divert pushes to Asterisk itself: endpoints of peers known by their address.
//!
//! Only what is needed to call *out*: an `identify` would let the peer's calls in under another
//! name than the operator gave it in `pjsip.conf`, and costs CPU on every inbound call. Asterisk
//! appends lists on a second PUT, so what differs is deleted first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use crate::ari::AriError;
use crate::ari::client::Client;
use crate::model::id::{InstallationId, TrunkId};
use crate::model::objects::trunk::{Reach, SipAddress, Trunk};
use crate::routing::snapshot::Snapshot;

const CLASS: &str = "res_pjsip";
const PREFIX: &str = "divert-";
const RETRY: Duration = Duration::from_secs(2);
/// How often it is looked whether Asterisk has forgotten an endpoint, and after what pauses.
const LOOKS: u32 = 50;
const LOOK: Duration = Duration::from_millis(20);

/// Tells the provisioning task what is wanted; only the newest wish counts.
#[derive(Debug)]
pub struct Trunks(watch::Sender<Wish>);

#[derive(Clone, Debug, Default)]
struct Wish {
    snapshot: Option<Arc<Snapshot>>,
    /// Counts connections: behind a new one may be an Asterisk that keeps nothing of what was pushed.
    connection: u64,
    /// Counts how often each trunk was seen to be missing or offline: perhaps somebody took something
    /// of it away.
    doubts: BTreeMap<TrunkId, u64>,
}

impl Trunks {
    /// Tells `pushed` each time Asterisk has all that is wanted.
    pub fn start(client: Client, installation: InstallationId, pushed: Arc<Notify>) -> Self {
        let (wish, mut wanted) = watch::channel(Wish::default());
        let asterisk = Asterisk { client, context: context(installation) };
        tokio::spawn(async move {
            let mut done = BTreeMap::new();
            let (mut known, mut doubted) = (0, BTreeMap::new());
            let mut told = String::new();
            while wanted.changed().await.is_ok() {
                let Wish { snapshot: Some(snapshot), connection, doubts } =
                    wanted.borrow_and_update().clone()
                else {
                    continue;
                };
                if connection != known {
                    known = connection;
                    done.clear();
                }
                done.retain(|trunk, _| doubted.get(trunk) == doubts.get(trunk));
                doubted = doubts;
                while let Err(error) = asterisk.provision(&snapshot, &mut done).await {
                    let why = why(&error);
                    if told != why {
                        warn!("trunks could not be made in Asterisk: {why}");
                        told = why;
                    }
                    tokio::time::sleep(RETRY).await;
                    if !error.retry_may_help() || wanted.has_changed().unwrap_or(true) {
                        break;
                    }
                }
                pushed.notify_one();
            }
        });
        Self(wish)
    }

    pub fn want(&self, snapshot: Arc<Snapshot>) {
        self.0.send_modify(|wish| wish.snapshot = Some(snapshot));
    }

    /// Looks again at trunks that were seen to be missing or offline.
    pub fn doubt(&self, trunks: &[TrunkId]) {
        if trunks.is_empty() {
            return;
        }
        self.0.send_modify(|wish| {
            for trunk in trunks {
                *wish.doubts.entry(*trunk).or_default() += 1;
            }
        });
    }

    /// The same over a new connection, where everything is looked at again.
    pub fn want_anew(&self, snapshot: Arc<Snapshot>) {
        self.0.send_modify(|wish| {
            wish.snapshot = Some(snapshot);
            wish.connection += 1;
        });
    }
}

/// In plain words, with what to do.
fn why(error: &AriError) -> String {
    let text = error.to_string();
    if matches!(error, AriError::Refused { .. } | AriError::NotFound { .. }) {
        return format!(
            "{text}; /etc/asterisk/sorcery.conf needs what 'divert print sorcery.conf' shows, and \
             Asterisk a restart"
        );
    }
    text
}

/// The dialplan context of endpoints that nobody calls in over, as there is no identify for them. It
/// does not exist, and says whose they are: several databases may work on one Asterisk.
fn context(installation: InstallationId) -> String {
    format!("divert-none-{}", installation.digits())
}

/// Where the endpoints are made.
struct Asterisk {
    client: Client,
    context: String,
}

impl Asterisk {
    /// Makes the endpoints of this database those of the snapshot.
    async fn provision(
        &self,
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
            if !self.exists(trunk, address).await? {
                self.push(trunk, address).await?;
                info!("trunk {:?} now leads to {address}", trunk.name);
            }
            done.insert(trunk.id, address.clone());
        }
        for name in self.client.endpoints("PJSIP").await?.into_keys() {
            let is_a_trunk = name.strip_prefix(PREFIX).and_then(TrunkId::from_digits).is_some();
            if is_a_trunk && !wanted.contains(&name) && self.made(&name).await? {
                self.remove(&name).await?;
                info!("endpoint {name} of a trunk that is gone was removed");
            }
        }
        done.retain(|id, _| wanted.contains(&format!("{PREFIX}{}", id.digits())));
        Ok(())
    }

    /// Whether the endpoint was made from this database.
    async fn made(&self, name: &str) -> Result<bool, AriError> {
        let endpoint = self.client.dynamic(CLASS, "endpoint", name).await?;
        Ok(endpoint.is_some_and(|endpoint| holds(&endpoint, &[("context", &self.context)])))
    }

    /// Whether the endpoint is there, exactly as it would be pushed.
    async fn exists(&self, trunk: &Trunk, address: &SipAddress) -> Result<bool, AriError> {
        if !self.is_listed(&trunk.endpoint()).await? {
            return Ok(false);
        }
        let Some(aor) = self.client.dynamic(CLASS, "aor", &trunk.endpoint()).await? else {
            return Ok(false);
        };
        let Some(endpoint) = self.client.dynamic(CLASS, "endpoint", &trunk.endpoint()).await?
        else {
            return Ok(false);
        };
        let contact = contact(address);
        let leads_there = holds(&aor, &[("contact", contact.as_str())]) && holds(&aor, QUALIFY);
        let own = [("context", self.context.as_str())];
        Ok(leads_there && holds(&endpoint, ENDPOINT) && holds(&endpoint, &own))
    }

    async fn push(&self, trunk: &Trunk, address: &SipAddress) -> Result<(), AriError> {
        let name = trunk.endpoint();
        self.remove(&name).await?;
        // Asterisk takes it out of its list a moment later, and one of this name that was made anew
        // by then would go with it.
        for _ in 0..LOOKS {
            if !self.is_listed(&name).await? {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let contact = contact(address);
        self.client.put_dynamic(CLASS, "aor", &name, &[("contact", contact.as_str())]).await?;
        let mut endpoint = vec![("aors", name.as_str()), ("context", &self.context)];
        endpoint.extend(ENDPOINT);
        self.client.put_dynamic(CLASS, "endpoint", &name, &endpoint).await?;
        // Afterwards: a contact that is watched from the first moment on counts as absent until it was
        // asked for the first time, some seconds later.
        self.client.put_dynamic(CLASS, "aor", &name, QUALIFY).await
    }

    /// Whether it is among the endpoints that can be called.
    async fn is_listed(&self, name: &str) -> Result<bool, AriError> {
        match self.client.endpoint("PJSIP", name).await {
            Err(AriError::NotFound { .. }) => Ok(false),
            found => found.map(|_| true),
        }
    }

    async fn remove(&self, name: &str) -> Result<(), AriError> {
        self.client.delete_dynamic(CLASS, "endpoint", name).await?;
        self.client.delete_dynamic(CLASS, "aor", name).await
    }
}

/// What the address of record of a trunk is, besides its contact.
///
/// Asterisk asks a peer whether it is there (`OPTIONS`), and calls none that does not say so: the
/// rhythm is what a dead trunk costs its callers, and how long one that is back stays unused.
const QUALIFY: &[(&str, &str)] = &[("qualify_frequency", "5"), ("qualify_timeout", "2.0")];

/// What the endpoint of a trunk is, besides its address of record and its context.
const ENDPOINT: &[(&str, &str)] = &[
    ("disallow", "all"),
    ("allow", "ulaw,alaw"),
    ("direct_media", "no"),
    ("dtmf_mode", "rfc4733"),
    ("rtp_symmetric", "yes"),
    // Who diverted the call before us stays here; so does what was written into that header.
    ("send_diversion", "no"),
    ("send_pai", "yes"),
    // A withheld number is asserted to nobody (RFC 3325 §7).
    ("trust_id_outbound", "no"),
];

fn contact(address: &SipAddress) -> String {
    format!("sip:{address}")
}

/// Whether an object of Asterisk's has these settings, however it writes them.
fn holds(object: &[(String, String)], settings: &[(&str, &str)]) -> bool {
    settings.iter().all(|(name, wanted)| {
        // Part of another one, and never told.
        *name == "disallow"
            || object.iter().any(|(attribute, value)| attribute == name && is_same(value, wanted))
    })
}

/// Asterisk reads `yes` and says `true`, reads `a,b` and says `(a|b)`, reads 2.0 and says 2.000000.
fn is_same(told: &str, set: &str) -> bool {
    let plain = |text: &str| match text {
        "yes" => "true".to_owned(),
        "no" => "false".to_owned(),
        other => other.trim_matches(['(', ')']).replace('|', ","),
    };
    let number = |text: &str| text.parse::<f64>().map(f64::to_bits).ok();
    plain(told) == plain(set) || number(told).is_some_and(|told| number(set) == Some(told))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::model::configuration::Configuration;
    use crate::model::objects::account::DEFAULT_ACCOUNT;
    use crate::node::tests::client_of;

    async fn done(pushed: &Notify) {
        let told = tokio::time::timeout(Duration::from_secs(30), pushed.notified()).await;
        told.expect("nobody looked");
    }

    /// An Asterisk that has nothing of what it was told to make.
    #[tokio::test]
    async fn a_trunk_that_is_looked_into_is_made_again_where_it_is_gone() {
        let server = MockServer::start().await;
        let none = ResponseTemplate::new(200).set_body_json(json!([]));
        let list = Mock::given(method("GET")).and(path("/ari/endpoints/PJSIP"));
        list.respond_with(none.clone()).mount(&server).await;
        Mock::given(method("PUT")).respond_with(none).mount(&server).await;
        let made = async || {
            let requests = server.received_requests().await.unwrap();
            requests.iter().filter(|request| request.method.as_str() == "PUT").count()
        };
        let id = TrunkId::new(1);
        let reach = Reach::Address("127.0.0.1:5060".parse().unwrap());
        let trunks = vec![Trunk::new(id, "peer", reach)];
        let configuration = Configuration { trunks, ..Configuration::default() };
        let snapshot = Arc::new(Snapshot::build(&[(DEFAULT_ACCOUNT, configuration)], None));
        let pushed = Arc::new(Notify::new());
        let trunks = Trunks::start(client_of(&server), InstallationId::new(1), Arc::clone(&pushed));

        trunks.want_anew(Arc::clone(&snapshot));
        done(&pushed).await;
        let once = made().await;
        assert!(once > 0);
        trunks.want(Arc::clone(&snapshot));
        done(&pushed).await;
        assert_eq!(made().await, once, "it was made already");
        trunks.doubt(&[]);
        trunks.doubt(&[id]);
        done(&pushed).await;
        assert_eq!(made().await, 2 * once, "somebody took it away");
        trunks.want_anew(snapshot);
        done(&pushed).await;
        assert_eq!(made().await, 3 * once, "behind a new connection may be a new Asterisk");
    }

    #[test]
    fn settings_are_known_again_however_asterisk_writes_them() {
        for (told, set) in
            [("true", "yes"), ("false", "no"), ("(ulaw|alaw)", "ulaw,alaw"), ("2.000000", "2.0")]
        {
            assert!(is_same(told, set), "{told}");
        }
        for (told, set) in [("true", "no"), ("15", "5"), ("", "5"), ("(alaw)", "ulaw,alaw")] {
            assert!(!is_same(told, set), "{told}");
        }
        let told = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let object = [told("qualify_frequency", "5"), told("qualify_timeout", "2.000000")];
        assert!(holds(&object, QUALIFY));
        assert!(!holds(&object[..1], QUALIFY));
    }
}
