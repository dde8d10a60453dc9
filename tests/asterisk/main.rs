//! divert on a real Asterisk 22: the shipped dialplan, a second Asterisk as phones and carrier, and
//! divert's own binary between them.
//!
//! Needs Docker and the images that `scripts/asterisk-image` builds, one of Asterisk 22 (another by
//! `DIVERT_IMAGE`) and one of Asterisk 16; without them every test here fails and says so. Every test has its own pair of containers, its own
//! ports and its own database, and ends with the leak gate of [`gate`].

mod ari;
mod divert;
mod gate;
mod lab;
mod media;
mod phones;
mod ports;
mod proxy;
mod sip;
mod stage;
mod witness;

mod asterisk_faults;
mod away;
mod billing;
mod connection_faults;
mod divert_faults;
mod early_media;
mod hygiene;
mod limits;
mod neighbours;
mod numbers;
mod older;
mod outages;
mod outcomes;
mod own_asterisk;
mod scenarios;
mod steering;
mod strays;
mod test_calls;
mod toll_free;
mod trunks;
