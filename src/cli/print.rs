//! `divert print …`: the files that belong on the other side of divert, embedded in the program.
//! Those of Asterisk are the very files the tests run against.

use clap::{Args, ValueEnum};

use super::terminal::say;
use crate::ari::version::Version;

#[derive(Args, Debug)]
pub struct PrintArgs {
    #[arg(value_enum)]
    what: Asset,
    /// Print for this version of Asterisk: 16, 18.24, …
    #[arg(long, value_name = "VERSION", default_value = "22")]
    asterisk: Version,
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
    let text = match args.what {
        Asset::Ari => include_str!("../../asterisk/etc/ari.conf"),
        Asset::Dialplan => include_str!("../../asterisk/etc/divert.conf"),
        Asset::Extensions => include_str!("../../asterisk/etc/extensions.conf"),
        Asset::Http => include_str!("../../asterisk/etc/http.conf"),
        Asset::Pjsip => include_str!("../../asterisk/etc/pjsip.conf"),
        Asset::Sorcery => include_str!("../../asterisk/etc/sorcery.conf"),
        Asset::Systemd => include_str!("../assets/divert.service"),
    };
    say(&for_version(text, args.asterisk))
}

/// Without the lines an older Asterisk does not know, which end in `; since 22.9.0`: one wrong line of
/// `ari.conf` and there is no ARI at all.
fn for_version(text: &str, version: Version) -> String {
    let is_known = |line: &&str| {
        let since = line.rsplit_once("; since ").and_then(|(_, since)| since.trim().parse().ok());
        since.is_none_or(|since: Version| since <= version)
    };
    text.split_inclusive('\n').filter(is_known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_asterisk_gets_no_line_it_does_not_know() {
        let ari = include_str!("../../asterisk/etc/ari.conf");
        let of = |version: &str| for_version(ari, version.parse().unwrap());
        assert_eq!(of("22"), ari);
        assert_eq!(of("22.9.0"), ari);
        for old in ["16", "16.28.0~dfsg-0+deb11u4", "22.8.2"] {
            let text = of(old);
            assert!(!text.contains("deny") && !text.contains("permit"), "{old}: {text}");
            assert!(text.ends_with("password=change-me\n"), "{old}: {text}");
        }
    }
}
