//! `divert print …`: the files that belong on the other side of divert, embedded in the program.
//! Those of Asterisk are the very files the tests run against.

use clap::{Args, ValueEnum};

use super::terminal::say;

#[derive(Args, Debug)]
pub struct PrintArgs {
    #[arg(value_enum)]
    what: Asset,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Asset {
    /// The user, and what events carry
    #[value(name = "ari.conf")]
    Ari,
    /// The entry contexts with their fallback, to #include
    Dialplan,
    /// A whole dialplan around them
    #[value(name = "extensions.conf")]
    Extensions,
    /// The web server of ARI
    #[value(name = "http.conf")]
    Http,
    /// Trunks
    #[value(name = "pjsip.conf")]
    Pjsip,
    /// Where trunks are kept that divert pushes itself
    #[value(name = "sorcery.conf")]
    Sorcery,
    /// The unit of the service
    Systemd,
}

/// # Errors
/// Standard output is closed.
pub fn run(args: &PrintArgs) -> anyhow::Result<()> {
    say(match args.what {
        Asset::Ari => include_str!("../../asterisk/etc/ari.conf"),
        Asset::Dialplan => include_str!("../../asterisk/etc/divert.conf"),
        Asset::Extensions => include_str!("../../asterisk/etc/extensions.conf"),
        Asset::Http => include_str!("../../asterisk/etc/http.conf"),
        Asset::Pjsip => include_str!("../../asterisk/etc/pjsip.conf"),
        Asset::Sorcery => include_str!("../../asterisk/etc/sorcery.conf"),
        Asset::Systemd => include_str!("../assets/divert.service"),
    })
}
