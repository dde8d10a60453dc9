//! Ports of the host for one test, so that many run at once.
//!
//! The host's own choice of ports for outgoing connections begins above these. A block belongs to the
//! process that listens on its first port.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

const FIRST: u16 = 11_000;
const LAST: u16 = 31_000;
/// Two for the sound of each of some hundred channels, in two Asterisks.
const BLOCK: u16 = 2_000;

/// A block of ports, held until it is dropped.
#[derive(Debug)]
pub struct Ports {
    base: u16,
    _claim: TcpListener,
}

impl Ports {
    /// A block nobody uses. The search begins at a place that depends on the process, which spares
    /// most of it.
    pub fn claim() -> Self {
        let blocks = (LAST - FIRST) / BLOCK;
        let start = u16::try_from(std::process::id() % u32::from(blocks)).unwrap();
        let bases = (0..blocks).map(|n| FIRST + (start + n) % blocks * BLOCK);
        let mut free = bases.filter_map(|base| {
            let claim = TcpListener::bind((Ipv4Addr::LOCALHOST, base)).ok()?;
            (1..10).all(|n| is_free(base + n)).then_some(Self { base, _claim: claim })
        });
        free.next().expect("a block of 2000 free ports between 11000 and 31000")
    }

    pub fn sip(&self) -> u16 {
        self.base + 1
    }

    pub fn phones_sip(&self) -> u16 {
        self.base + 2
    }

    pub fn pbx_http(&self) -> u16 {
        self.base + 3
    }

    pub fn phones_http(&self) -> u16 {
        self.base + 4
    }

    pub fn api(&self) -> u16 {
        self.base + 5
    }

    /// Of a second divert on the same Asterisk.
    pub fn neighbours_api(&self) -> u16 {
        self.base + 6
    }

    /// First and last.
    pub fn pbx_rtp(&self) -> (u16, u16) {
        (self.base + 10, self.base + 1_003)
    }

    pub fn phones_rtp(&self) -> (u16, u16) {
        (self.base + 1_004, self.base + 1_999)
    }
}

fn is_free(port: u16) -> bool {
    let at = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()
}
