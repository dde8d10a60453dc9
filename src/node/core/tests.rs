//! Callers that are not taken: each goes back to its dialplan.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::ari::identity::Identity;
use crate::model::cause::{CallResult, EndedBy};
use crate::model::number::{Caller, Did};
use crate::node::restore::tests::prepaid;
use crate::node::tests::client_of;
use crate::store::{CallFilter, Db};

fn channel() -> ChannelId {
    ChannelId("1795744974.1".into())
}

fn ann() -> Identity {
    Identity { caller: Caller::default(), corrections: Vec::new() }
}

struct Rig {
    asterisk: MockServer,
    core: Core,
    db: Db,
    writing: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("divert.sqlite").display());
        let db = Db::open(&url).await.unwrap();
        let asterisk = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(204)).mount(&asterisk).await;
        let lanes = Lanes::new(client_of(&asterisk), mpsc::channel(64).0);
        let (writer, writing) = Writer::start(db.clone(), "a".into(), None);
        let ledger = Ledger::memory(writer.clone());
        let snapshot = Snapshot::build(&[(DEFAULT_ACCOUNT, prepaid())], Some("master"));
        let mut core = Core::new(Arc::new(snapshot), lanes, writer, ledger);
        core.held_back = None;
        Self { asterisk, core, db, writing, _folder: folder }
    }

    /// Until the caller is back in its dialplan, and that is all that was asked of Asterisk.
    async fn is_passed_on(&self) {
        let begun = Instant::now();
        loop {
            let requests = self.asterisk.received_requests().await.unwrap();
            if let [only] = &requests[..] {
                assert_eq!(only.method.as_str(), "POST");
                assert_eq!(only.url.path(), "/ari/channels/1795744974.1/continue");
                return;
            }
            assert!(requests.is_empty() && begun.elapsed() < Duration::from_secs(30));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_number_that_can_be_none_goes_back_to_the_dialplan() {
    let mut rig = Rig::start().await;
    let error = "1 2".parse::<Did>().unwrap_err();
    let did = Err(("1 2".to_owned(), error));
    rig.core.event(Translated::Arrived {
        channel: channel(),
        did,
        caller: ann(),
        already_up: false,
    });
    rig.is_passed_on().await;
    assert_eq!(rig.core.engine.calls().count(), 0);
}

#[tokio::test]
async fn who_comes_without_a_number_goes_back_and_the_log_says_what_to_write() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut rig = Rig::start().await;
    let (name, args) = ("PJSIP/carrier-00000001".to_owned(), String::new());
    rig.core.event(Translated::Stray { channel: channel(), name, args });
    rig.is_passed_on().await;
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("WARN") && text.contains("PJSIP/carrier-00000001"), "{text}");
    assert!(text.contains("came by Stasis(divert)"), "{text}");
    assert!(text.contains("Gosub(divert-ari,s,1(${EXTEN}))"), "{text}");
}

#[tokio::test]
async fn one_too_many_goes_back_and_its_call_is_told_as_unrouted() {
    let mut rig = Rig::start().await;
    // Asterisk's clock and ours agree, and then an event is an hour late.
    rig.core.load.heard(Timestamp(0), Timestamp(0));
    rig.core.load.heard(Timestamp(1_000), Timestamp(3_601_000));
    let did = Ok("100".parse().unwrap());
    rig.core.event(Translated::Arrived {
        channel: channel(),
        did,
        caller: ann(),
        already_up: false,
    });
    rig.is_passed_on().await;
    assert_eq!(rig.core.engine.calls().count(), 0);
    drop(rig.core);
    rig.writing.await.unwrap();
    let rows = rig.db.calls(DEFAULT_ACCOUNT, &CallFilter::default(), None, 10).await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.result, row.ended_by)).collect();
    assert_eq!(told, [(Some(CallResult::Unrouted), Some(EndedBy::Divert))]);
}
