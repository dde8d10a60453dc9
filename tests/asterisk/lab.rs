//! One installation for one test: two containers, one divert, and the gate at the end.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testcontainers::core::WaitFor;
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};

use crate::ari::{Ari, PASSWORD};
use crate::divert::Divert;
use crate::gate;
use crate::phones::Phones;
use crate::ports::Ports;
use crate::proxy::Proxy;

/// The number that answers calls which divert does not take.
pub const FALLBACK: &str = "1000";

pub struct Lab {
    pub pbx: Ari,
    pub phones: Phones,
    pub divert: Divert,
    /// Between divert and Asterisk, where a test asked for it.
    pub proxy: Proxy,
    asterisk: ContainerAsync<GenericImage>,
    far: ContainerAsync<GenericImage>,
    ports: Ports,
}

/// Runs a test on an installation of its own with this configuration, divert running and connected.
pub async fn with_divert(document: &Value, test: impl AsyncFnOnce(&mut Lab)) {
    with_divert_in(|_| document.clone(), test).await;
}

/// The same with a configuration that depends on where the installation is.
pub async fn with_divert_in(
    document: impl FnOnce(&Lab) -> Value,
    test: impl AsyncFnOnce(&mut Lab),
) {
    let mut lab = Lab::start().await;
    lab.divert.apply(&document(&lab));
    lab.divert.start().await;
    test(&mut lab).await;
    gate::check(&lab).await;
}

/// The same on an older Asterisk.
pub async fn with_divert_on(version: &str, document: &Value, test: impl AsyncFnOnce(&mut Lab)) {
    let mut lab = Lab::start_on(&image(version)).await;
    lab.divert.apply(document);
    lab.divert.start().await;
    test(&mut lab).await;
    gate::check(&lab).await;
}

/// The same where divert was never started.
pub async fn without_divert(test: impl AsyncFnOnce(&mut Lab)) {
    let mut lab = Lab::start().await;
    test(&mut lab).await;
    gate::check(&lab).await;
}

impl Lab {
    async fn start() -> Self {
        Self::start_on(&image(NEWEST)).await
    }

    /// The phones and their carrier are the same on every version.
    async fn start_on(image: &Image) -> Self {
        let phones = self::image(NEWEST);
        let ports = Ports::claim();
        let (rtp, phones_rtp) = (ports.pbx_rtp(), ports.phones_rtp());
        let (asterisk, phones) = tokio::join!(
            container(image, &ports, "pbx", ports.pbx_http(), rtp),
            container(&phones, &ports, "phones", ports.phones_http(), phones_rtp),
        );
        let pbx = Ari::new(ports.pbx_http(), "divert");
        let far = Ari::new(ports.phones_http(), "phones");
        until_online(&far).await;
        until_online(&pbx).await;
        let proxy = Proxy::start(ports.pbx_http()).await;
        let divert = Divert::new(&ports, proxy.port());
        Self { phones: Phones::watch(far).await, pbx, divert, proxy, asterisk, far: phones, ports }
    }

    /// The port where carriers reach divert's Asterisk.
    pub fn pbx_sip(&self) -> u16 {
        self.ports.sip()
    }

    /// The address of the phones, for a trunk that divert pushes itself.
    pub fn phones_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.phones_sip())
    }

    /// A second divert on the same Asterisk, with a database of its own.
    pub fn neighbour(&self, app: &str) -> Divert {
        Divert::with(app, self.ports.neighbours_api(), self.ports.pbx_http())
    }

    /// Sets a global of the dialplan of divert's Asterisk.
    pub async fn set_global(&self, name: &str, value: &str) {
        let query = [("variable", name), ("value", value)];
        self.pbx.post("/asterisk/variable", &query, &json!({})).await;
    }

    /// Ends Asterisk without a chance to tidy up, which the library's own stop would give it.
    pub fn kill_asterisk(&self) {
        let id = self.asterisk.id();
        let killed = Command::new("docker").args(["kill", "--signal", "KILL", id]).output();
        assert!(killed.is_ok_and(|killed| killed.status.success()), "docker kill {id} failed");
    }

    /// Runs a shell's command beside divert's Asterisk, where its files are, and gives what it prints.
    pub fn in_asterisk(&self, command: &str) -> String {
        let exec = ["exec", self.asterisk.id(), "sh", "-c", command];
        let done = Command::new("docker").args(exec).output().expect("docker exec");
        let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success(), "{command}: {told}");
        told
    }

    /// Everything that divert's Asterisk has logged.
    pub fn asterisk_log(&self) -> String {
        let done = Command::new("docker").args(["logs", self.asterisk.id()]).output();
        let log = done.expect("docker logs");
        String::from_utf8_lossy(&[log.stdout, log.stderr].concat()).into_owned()
    }

    pub async fn start_asterisk(&self) {
        self.asterisk.start().await.unwrap();
        until_online(&self.pbx).await;
    }

    /// The two channels of a conversation stand in one bridge of Asterisk.
    pub async fn until_bridged(&self) {
        eventually("both to be in one bridge", Duration::from_secs(5), async || {
            self.is_bridged().await.then_some(())
        })
        .await;
    }

    pub async fn is_bridged(&self) -> bool {
        let bridges = self.pbx.get("/bridges").await;
        let sizes = bridges.as_array().into_iter().flatten();
        let mut sizes = sizes.map(|bridge| bridge["channels"].as_array().map_or(0, Vec::len));
        sizes.any(|size| size == 2)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (who, container) in [("Asterisk", &self.asterisk), ("the phones", &self.far)] {
                let tail = ["logs", "--tail", "40", container.id()];
                let Ok(log) = Command::new("docker").args(tail).output() else {
                    continue;
                };
                let log = [log.stdout, log.stderr].concat();
                eprintln!("---- the last lines of {who}\n{}", String::from_utf8_lossy(&log));
            }
        }
    }
}

/// Polls until there is an answer.
///
/// # Panics
/// When there is none in time.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut poll: impl AsyncFnMut() -> Option<T>,
) -> T {
    let since = Instant::now();
    loop {
        if let Some(answer) = poll().await {
            return answer;
        }
        assert!(since.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asterisk answers and knows that its peer is there: before that it dials nobody.
async fn until_online(ari: &Ari) {
    eventually("Asterisk to answer", Duration::from_secs(20), async || {
        ari.try_get("/asterisk/info").await
    })
    .await;
    let is_online = |peer: &Value| peer["state"] == "online" || peer["resource"] != "phones";
    eventually("Asterisk to find the phones", Duration::from_secs(20), async || {
        let peers = ari.try_get("/endpoints/PJSIP").await?;
        peers.as_array()?.iter().all(is_online).then_some(())
    })
    .await;
}

/// The version that divert is written for.
pub const NEWEST: &str = "22";

/// Name and tag.
pub type Image = (String, String);

/// The image that `scripts/asterisk-image VERSION` builds.
pub fn image(version: &str) -> Image {
    let own = std::env::var("DIVERT_IMAGE").ok().filter(|_| version == NEWEST);
    let image = own.unwrap_or_else(|| format!("divert-asterisk:{version}"));
    let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
    (name.to_owned(), tag.to_owned())
}

async fn container(
    (name, tag): &Image,
    ports: &Ports,
    role: &str,
    http: u16,
    rtp: (u16, u16),
) -> ContainerAsync<GenericImage> {
    let ready = WaitFor::message_on_stdout("Asterisk Ready.");
    let request = GenericImage::new(name, tag)
        .with_wait_for(ready)
        .with_network("host")
        .with_cmd([role])
        .with_env_var("DIVERT_ARI_PASSWORD", PASSWORD)
        .with_env_var("DIVERT_FALLBACK_DIAL", format!("PJSIP/{FALLBACK}@phones"))
        .with_env_var("DIVERT_HTTP_PORT", http.to_string())
        .with_env_var("DIVERT_PHONES_PORT", ports.phones_sip().to_string())
        .with_env_var("DIVERT_QUALIFY", "2")
        .with_env_var("DIVERT_RTP_START", rtp.0.to_string())
        .with_env_var("DIVERT_RTP_END", rtp.1.to_string())
        .with_env_var("DIVERT_SIP_PORT", ports.sip().to_string())
        .with_env_var("DIVERT_TEST", "1")
        .with_startup_timeout(Duration::from_mins(1));
    request.start().await.unwrap_or_else(|error| {
        let error = error.to_string().replace('\n', " ");
        panic!(
            "these tests need Docker and the image {name}:{tag} (scripts/asterisk-image): {error}"
        )
    })
}
