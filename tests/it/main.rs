//! Everything that needs no Asterisk: the store on both engines, the API, the ARI client against a
//! fake, configuration documents and the command line.

mod api;
mod ari;
mod cli;
mod config;
mod day;
mod layers;
mod ledger;
mod scenarios;
mod store;
mod writer;
