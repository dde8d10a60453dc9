//! All configuration of one account.
//!
//! What is wrong between its objects is found in `check`, what may be taken out is said in `removal`,
//! the rows to write in `change`, and the difference for people in `plan`.

use std::collections::{BTreeMap, BTreeSet};

use super::id::{DestinationId, ForwardingFlowId, NumberId, ObjectId, ServerId};
use super::number::Did;
use super::object::{Names, Object};
use super::objects::account::AccountSettings;
use super::objects::number::Number;
use super::objects::{KINDS, Kind};

/// The objects of one kind in a configuration.
pub trait Listed: Object + 'static {
    fn list(of: &Configuration) -> &[Self];
    fn list_mut(of: &mut Configuration) -> &mut Vec<Self>;

    /// The one with this id.
    #[must_use]
    fn find(of: &Configuration, id: Self::Id) -> Option<&Self> {
        Self::list(of).iter().find(|one| one.id() == id)
    }
}

macro_rules! configuration {
    ($($section:ident $word:literal $prefix:literal $id:ident $module:ident $object:ident;)*) => {
        #[derive(Clone, Debug, Default, Eq, PartialEq)]
        pub struct Configuration {
            pub account: AccountSettings,
            /// The DIDs of a flow are those numbers whose owner it is.
            pub numbers: Vec<Number>,
            // The kinds of objects, each sorted by name.
            $(pub $section: Vec<super::objects::$module::$object>,)*
        }

        impl Configuration {
            $(
                /// The one with this id.
                #[must_use]
                pub fn $module(
                    &self,
                    id: super::id::$id,
                ) -> Option<&super::objects::$module::$object> {
                    Listed::find(self, id)
                }
            )*
        }

        $(
            impl Listed for super::objects::$module::$object {
                fn list(of: &Configuration) -> &[Self] {
                    &of.$section
                }

                fn list_mut(of: &mut Configuration) -> &mut Vec<Self> {
                    &mut of.$section
                }
            }
        )*
    };
}

for_each_kind!(configuration);

impl Configuration {
    /// Brings everything into the order in which two equal configurations are equal: objects by
    /// name, DIDs by their characters. Destinations keep the order their flow gives them.
    pub fn sort(&mut self) {
        for kind in KINDS {
            kind.sort(self);
        }
        self.numbers.sort_by(|a, b| (&a.did, a.server).cmp(&(&b.did, b.server)));
        for flow in &mut self.forwarding_flows {
            flow.dids.sort();
            flow.dids.dedup();
        }
    }

    /// Makes the numbers say what the flows' DIDs say: each DID of a flow has a number of that
    /// owner on the flow's master, and a number that no flow lists is kept only if it was owned by
    /// nobody before or `keep` names it. Numbers follow their flow to another master.
    pub fn settle_numbers(
        &mut self,
        keep: &BTreeSet<(ServerId, Did)>,
        mint: &mut dyn FnMut() -> u128,
    ) {
        let mut owners: BTreeMap<(ServerId, Did), ForwardingFlowId> = BTreeMap::new();
        for flow in &self.forwarding_flows {
            for did in &flow.dids {
                owners.entry((flow.master, did.clone())).or_insert(flow.id);
            }
        }
        let mut left_behind: BTreeMap<(ForwardingFlowId, Did), Number> = BTreeMap::new();
        self.numbers.retain_mut(|number| {
            let key = (number.server, number.did.clone());
            let before = number.forwarding_flow;
            number.forwarding_flow = owners.remove(&key);
            if number.forwarding_flow.is_some() || keep.contains(&key) {
                return true;
            }
            if let Some(flow) = before {
                left_behind.insert((flow, key.1), number.clone());
            }
            before.is_none()
        });
        for ((server, did), flow) in owners {
            let key = (flow, did);
            let followed = left_behind.remove(&key);
            let (id, tags) = followed.map_or_else(
                || (NumberId::new(mint()), Vec::new()),
                |number| (number.id, number.tags),
            );
            let forwarding_flow = Some(flow);
            self.numbers.push(Number { id, did: key.1, forwarding_flow, server, tags });
        }
    }
}

/// One at a time: whoever writes many objects makes [`AllNames`] first.
impl Names for Configuration {
    fn name(&self, id: ObjectId) -> Option<String> {
        if let Some(id) = id.to::<DestinationId>() {
            let all = self.forwarding_flows.iter().flat_map(|flow| &flow.destinations);
            return all.into_iter().find(|one| one.id == id).map(|one| one.name.clone());
        }
        let kind = Kind::by_prefix(id.prefix())?;
        let found = kind.list(self).into_iter().find(|(known, _)| *known == id);
        found.map(|(_, name)| name.to_owned())
    }
}

/// The names of everything in a configuration, each found at once however many there are.
pub struct AllNames<'a>(BTreeMap<ObjectId, &'a str>);

impl<'a> AllNames<'a> {
    #[must_use]
    pub fn of(whole: &'a Configuration) -> Self {
        let objects = KINDS.iter().flat_map(|kind| kind.list(whole));
        let destinations = whole.forwarding_flows.iter().flat_map(|flow| &flow.destinations);
        let destinations = destinations.map(|one| (one.id.into(), one.name.as_str()));
        Self(objects.chain(destinations).collect())
    }
}

impl Names for AllNames<'_> {
    fn name(&self, id: ObjectId) -> Option<String> {
        self.0.get(&id).map(|name| (*name).to_owned())
    }
}
