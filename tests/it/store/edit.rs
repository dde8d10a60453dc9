//! Setting a configuration up: things to put into it or to take out.

use divert::model::change::{Author, Change, Changes, Subject, diff};
use divert::model::configuration::{Configuration, Listed};
use divert::model::id::{AccountId, NumberId, ObjectId};
use divert::model::objects::account::AccountSettings;
use divert::model::objects::forwarding_flow::ForwardingFlow;
use divert::model::objects::number::Number;
use divert::model::objects::rate_deck::RateDeck;
use divert::model::objects::server::Server;
use divert::model::objects::trunk::Trunk;
use divert::store::{Db, StoreError};
use serde_json::json;

use super::NOW;

/// One thing that is put, whether it is there or not, or taken out.
#[derive(Clone, Debug)]
pub enum Edit {
    Account(AccountSettings),
    Delete(ObjectId),
    Flow(Box<ForwardingFlow>),
    Number(Number),
    RateDeck(RateDeck),
    Server(Server),
    Trunk(Trunk),
}

/// Who makes all changes of the tests.
pub fn author() -> Author {
    Author { key: None, name: "somebody".to_owned() }
}

/// Edits whatever configuration there is.
pub async fn put(db: &Db, account: AccountId, edits: &[Edit]) -> Result<i64, StoreError> {
    let (old, version) = db.configuration(account).await?;
    db.change(account, version, &changes(&old, edits), &author(), NOW).await
}

/// What leads from `old` to what `edits` make of it; what they delete is deleted even if it is not there.
pub fn changes(old: &Configuration, edits: &[Edit]) -> Changes {
    let mut new = old.clone();
    let mut absent = Vec::new();
    for edit in edits {
        match edit.clone() {
            Edit::Account(settings) => new.account = settings,
            Edit::Delete(id) if !delete(&mut new, id) => absent.push(id),
            Edit::Delete(_) => {}
            Edit::Flow(flow) => replace(&mut new, *flow),
            Edit::Number(number) => {
                new.numbers.retain(|one| one.id != number.id);
                new.numbers.push(number);
            }
            Edit::RateDeck(deck) => replace(&mut new, deck),
            Edit::Server(server) => replace(&mut new, server),
            Edit::Trunk(trunk) => replace(&mut new, trunk),
        }
    }
    let mut changes = diff(old, &new);
    changes.changes.extend(absent.into_iter().map(|id| Change {
        subject: id.to::<NumberId>().map_or(Subject::Object(id), Subject::Number),
        name: id.to_string(),
        before: Some(json!({})),
        after: None,
        references: [].into(),
    }));
    changes
}

fn replace<T: Listed>(of: &mut Configuration, one: T) {
    let all = T::list_mut(of);
    all.retain(|other| other.id() != one.id());
    all.push(one);
}

fn delete(of: &mut Configuration, id: ObjectId) -> bool {
    fn take<T: Listed>(of: &mut Configuration, id: ObjectId) -> bool {
        let all = T::list_mut(of);
        let before = all.len();
        all.retain(|one| Into::<ObjectId>::into(one.id()) != id);
        all.len() < before
    }
    let numbers = of.numbers.len();
    of.numbers.retain(|one| ObjectId::from(one.id) != id);
    of.numbers.len() < numbers
        || take::<ForwardingFlow>(of, id)
        || take::<RateDeck>(of, id)
        || take::<Server>(of, id)
        || take::<Trunk>(of, id)
}
