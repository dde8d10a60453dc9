//! The ARI client against servers that behave, misbehave and go away.

mod rest;
mod socket;

use divert::ari::Settings;

fn settings(port: u16) -> Settings {
    Settings {
        url: format!("http://127.0.0.1:{port}/ari").parse().unwrap(),
        user: "divert".into(),
        password: "s3cret!".into(),
        app: "divert-a".into(),
    }
}

/// `divert:s3cret!` as Basic credentials.
const AUTHORIZATION: &str = "Basic ZGl2ZXJ0OnMzY3JldCE=";
