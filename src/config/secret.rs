//! What is never printed: passwords, and those that stand in a URL.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

pub(super) const MASK: &str = "********";

/// A value that is never printed.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { MASK })
    }
}

/// `sqlite:PATH` or `postgres://…`; a password in it is not printed.
#[derive(Clone, Eq, PartialEq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// With the password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The file of an SQLite database.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        let path = self.0.strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        Some(Path::new(path.split('?').next().unwrap_or(path)))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.0))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", without_password(&self.0))
    }
}

impl FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = ["sqlite:", "postgres://", "postgresql://"];
        if known.iter().any(|start| text.len() > start.len() && text.starts_with(start)) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a database is sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME")
        }
    }
}

/// `postgres://user:********@host/name`: without the password, where there is one, and without what
/// a parameter calls one. By hand, because a URL parser takes the beginning of a password for a port
/// or a path when that has a `/`, `?` or `#` in it. What is no URL may hold one too.
pub(super) fn without_password(text: &str) -> String {
    let text = without_secret_parameters(text);
    if text.starts_with("sqlite:") {
        return text;
    }
    let begin = text.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = text.split_at(begin);
    if let Some((credentials, host)) = rest.rsplit_once('@') {
        return match credentials.split_once(':') {
            Some((user, _)) => format!("{scheme}{user}:{MASK}@{host}"),
            None => text,
        };
    }
    // What stands in the place of a port and is none: a password whose host is missing.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.rsplit_once(':') {
        Some((host, port))
            if !scheme.is_empty()
                && !port.ends_with(']')
                && port.contains(|c: char| !c.is_ascii_digit()) =>
        {
            format!("{scheme}{host}:{MASK}")
        }
        _ => text,
    }
}

fn without_secret_parameters(text: &str) -> String {
    let Some((head, query)) = text.split_once('?') else { return text.to_owned() };
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
        _ => parameter.to_owned(),
    });
    format!("{head}?{}", parameters.collect::<Vec<_>>().join("&"))
}

/// Whether what is called so is a password or does the work of one.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "pass", "secret", "token"].iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_password_in_a_url_is_masked() {
        for (url, shown) in [
            ("postgres://u:pw@h/n", "postgres://u:********@h/n"),
            ("postgres://u:p/w@h/n", "postgres://u:********@h/n"),
            ("postgres://u:p@w@h/n", "postgres://u:********@h/n"),
            ("postgres://u:p?w@h/n", "postgres://u:********@h/n"),
            ("postgres://u:12/pw@h/n", "postgres://u:********@h/n"),
            ("postgres://u:12?pw@h/n", "postgres://u:********@h/n"),
            ("postgres://u:12#pw@h/n", "postgres://u:********@h/n"),
            ("postgres://u:p@1/w@h/n", "postgres://u:********@h/n"),
            ("postgres://u@corp:12/pw@h/n", "postgres://u@corp:********@h/n"),
            ("postgres://:pw@h/n", "postgres://:********@h/n"),
            ("postgres://u:pw", "postgres://u:********"),
            ("postgres://u:pw/n", "postgres://u:********"),
            ("postgres:/u:pw@h/n", "postgres:********@h/n"),
            ("u:pw@h/n", "u:********@h/n"),
            ("postgres://h/n?user=u&password=pw", "postgres://h/n?user=u&password=********"),
            ("postgres://h:1/n?password=p@w", "postgres://h:1/n?password=********"),
            ("postgres://u:pw@h/n?sslpassword=x", "postgres://u:********@h/n?sslpassword=********"),
            ("postgres://u@h/n?sslmode=require", "postgres://u@h/n?sslmode=require"),
            ("postgres://u@h:5432/n", "postgres://u@h:5432/n"),
            ("http://[::1]:8088/ari", "http://[::1]:8088/ari"),
            ("http://[::1]/ari", "http://[::1]/ari"),
            ("sqlite:/a/b@c.sqlite?mode=ro", "sqlite:/a/b@c.sqlite?mode=ro"),
            ("sqlite:/a:b@c.sqlite", "sqlite:/a:b@c.sqlite"),
            ("", ""),
        ] {
            assert_eq!(without_password(url), shown, "{url}");
        }
    }
}
