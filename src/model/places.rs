//! Where in a document its objects stand.

use std::collections::BTreeMap;

use super::id::{ForwardingFlowId, ObjectId};
use super::number::Did;

/// Where in a document each object came from; those that came from elsewhere are not in it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Places {
    account: Option<String>,
    objects: BTreeMap<ObjectId, String>,
    dids: BTreeMap<ForwardingFlowId, BTreeMap<Did, String>>,
}

impl Places {
    /// The object stands at this JSON pointer.
    pub fn put(&mut self, id: impl Into<ObjectId>, pointer: impl Into<String>) {
        self.objects.insert(id.into(), pointer.into());
    }

    /// The settings of the account stand at this JSON pointer.
    pub fn put_account(&mut self, pointer: impl Into<String>) {
        self.account = Some(pointer.into());
    }

    /// This flow was given this DID at this JSON pointer.
    pub fn put_did(&mut self, flow: ForwardingFlowId, did: &Did, pointer: impl Into<String>) {
        self.dids.entry(flow).or_default().insert(did.clone(), pointer.into());
    }

    /// The pointer of an object; `None` when it is not from the document.
    #[must_use]
    pub fn find(&self, id: impl Into<ObjectId>) -> Option<&str> {
        self.objects.get(&id.into()).map(String::as_str)
    }

    /// The pointer of a DID under the flow that lists it.
    #[must_use]
    pub fn did(&self, flow: ForwardingFlowId, did: &Did) -> Option<&str> {
        self.dids.get(&flow)?.get(did).map(String::as_str)
    }

    /// Where a setting of the account stands, or would; `None` when the document has no account.
    #[must_use]
    pub fn account_key(&self, key: &str) -> Option<String> {
        self.account.as_ref().map(|pointer| format!("{pointer}/{key}"))
    }

    /// Where a setting of an object stands, or would.
    #[must_use]
    pub fn key(&self, id: impl Into<ObjectId>, key: &str) -> Option<String> {
        self.find(id).map(|pointer| format!("{pointer}/{key}"))
    }
}
