//! One node: the loop that brings engine, Asterisk, store and API together.
//!
//! This is the only place where adapters meet. The loop ([`core`]) owns every call and never waits:
//! commands go to lanes, rows to the writer, and what comes of them returns as inputs. Nothing here
//! decides where a call goes (`routing`) or what happens to it next (`engine`).

mod adopt;
mod bridges;
mod core;
mod descriptors;
mod health;
mod keeper;
mod lanes;
pub mod ledger;
mod load;
mod opening;
mod outside;
mod port;
mod restore;
mod run;
pub mod spool;
mod trunks;
mod watch;
pub mod writer;

pub use run::run;
pub use watch::{Versions, read_snapshot};

#[cfg(test)]
mod tests {
    use wiremock::MockServer;

    use crate::ari::Settings;
    use crate::ari::client::Client;

    /// Who talks to this server instead of Asterisk.
    pub fn client_of(server: &MockServer) -> Client {
        let settings = Settings {
            url: format!("{}/ari", server.uri()).parse().unwrap(),
            user: "divert".into(),
            password: "s3cret".into(),
            app: "divert".into(),
        };
        Client::new(&settings).unwrap()
    }
}
