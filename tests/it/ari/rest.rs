use std::sync::{Arc, Mutex};
use std::time::Duration;

use divert::ari::client::{
    BridgeKind, Client, CreateChannel, EndpointState, Info, Originate, Timeouts,
};
use divert::ari::resync::{bridge_name, snapshot};
use divert::ari::role::Role;
use divert::ari::variable::{Global, Variable};
use divert::ari::{AriError, DISALLOWED};
use divert::engine::ChannelState;
use divert::model::cause::HangupCause;
use divert::model::id::{BridgeId, CallId, ChannelId, LegId};
use divert::model::number::Caller;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::{any, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{AUTHORIZATION, settings};

fn channel() -> ChannelId {
    LegId { call: CallId::new(7), no: 1 }.channel()
}

fn bridge() -> BridgeId {
    BridgeId("b+1".into())
}

fn create<'a>(
    channel_id: &'a ChannelId,
    variables: &'a [(Variable, &'a str)],
) -> CreateChannel<'a> {
    CreateChannel {
        channel_id,
        endpoint: "PJSIP/%2377+1@trunk",
        app_args: "leg,call_1,1",
        originator: None,
        variables,
    }
}

async fn fake(response: ResponseTemplate) -> (MockServer, Client) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(response).mount(&server).await;
    let client = Client::new(&settings(server.address().port())).unwrap();
    (server, client)
}

/// Method, path with query, and body of each request, and that each had our credentials.
async fn requests(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    let line = |request: &wiremock::Request| {
        assert_eq!(request.headers["authorization"], AUTHORIZATION);
        let url = request.url.as_str();
        let at = url.find("/ari").unwrap();
        let body = String::from_utf8_lossy(&request.body);
        format!("{} {} {body}", request.method, &url[at + 4..]).trim_end().to_owned()
    };
    requests.iter().map(line).collect()
}

#[tokio::test]
async fn each_command_is_sent_as_asterisk_expects_it() {
    let (server, client) = fake(ResponseTemplate::new(204)).await;
    let (leg, caller, bridge) = (channel(), ChannelId("1795.1".into()), bridge());
    let header = [(Variable::CallHeader, "call 1"), (Variable::CdrDisable, "1")];
    let from = Caller { number: "+1202".into(), name: "Ann".into() };

    client.ring(&caller).await.unwrap();
    client.answer(&caller).await.unwrap();
    client
        .create(CreateChannel { originator: Some(&caller), ..create(&leg, &header) })
        .await
        .unwrap();
    client.dial(&leg, Some(&caller), 30).await.unwrap();
    client.hang_up(&leg, HangupCause::ANSWERED_ELSEWHERE).await.unwrap();
    client.continue_in_dialplan(&caller).await.unwrap();
    client.set_channel_variable(&caller, Variable::AbsoluteTimeout, "0").await.unwrap();
    client.set_global(Global::Beat, "1795223621").await.unwrap();
    client.create_bridge(&bridge, "divert/a/x", BridgeKind::Features).await.unwrap();
    client.add_to_bridge(&bridge, &[&caller, &leg]).await.unwrap();
    client.destroy_bridge(&bridge).await.unwrap();
    client
        .originate(Originate {
            endpoint: "Local/1#@in",
            app_args: "testcaller,call_1",
            channel_id: &caller,
            other_channel_id: Some(&leg),
            caller: Some(&from),
            timeout_sec: 45,
            variables: &[],
        })
        .await
        .unwrap();
    client.play(&caller, "sound:a&b", "p/1").await.unwrap();
    client.stop_playback("p/1").await.unwrap();
    client.event_filter(&DISALLOWED[..2]).await.unwrap();
    client.put_dynamic("res_pjsip", "aor", "1001", &[("max_contacts", "1")]).await.unwrap();
    client.delete_dynamic("res_pjsip", "aor", "1001").await.unwrap();

    insta::assert_snapshot!(requests(&server).await.join("\n"), @r#"
    POST /channels/1795.1/ring
    POST /channels/1795.1/answer
    POST /channels/create?endpoint=PJSIP%2F%252377%2B1%40trunk&app=divert-a&appArgs=leg%2Ccall_1%2C1&channelId=d-00000000000000000000000007-1&originator=1795.1 {"variables":{"CDR_PROP(disable)":"1","PJSIP_HEADER(add,X-Divert-Call)":"call 1","SHARED(DIVERT_LEG,1795.1)":"d-00000000000000000000000007-1"}}
    POST /channels/d-00000000000000000000000007-1/dial?timeout=30&caller=1795.1
    DELETE /channels/d-00000000000000000000000007-1?reason_code=26
    POST /channels/1795.1/continue
    POST /channels/1795.1/variable?variable=TIMEOUT%28absolute%29&value=0
    POST /asterisk/variable?variable=DIVERT_BEAT_divert-a&value=1795223621
    POST /bridges/b%2B1?type=mixing%2Cdtmf_events&name=divert%2Fa%2Fx
    POST /bridges/b%2B1/addChannel?channel=1795.1%2Cd-00000000000000000000000007-1&inhibitConnectedLineUpdates=true
    DELETE /bridges/b%2B1
    POST /channels?endpoint=Local%2F1%23%40in&app=divert-a&appArgs=testcaller%2Ccall_1&channelId=1795.1&timeout=45&otherChannelId=d-00000000000000000000000007-1&callerId=%22Ann%22%20%3C%2B1202%3E {"variables":{}}
    POST /channels/1795.1/play/p%2F1?media=sound%3Aa%26b
    DELETE /playbacks/p%2F1
    PUT /applications/divert-a/eventFilter {"allowed":[],"disallowed":[{"type":"BridgeCreated"},{"type":"BridgeDestroyed"}]}
    PUT /asterisk/config/dynamic/res_pjsip/aor/1001 {"fields":[{"attribute":"max_contacts","value":"1"}]}
    DELETE /asterisk/config/dynamic/res_pjsip/aor/1001
    "#);
}

#[tokio::test]
async fn an_older_asterisk_is_given_reasons_it_knows() {
    for (version, hang_up) in [
        ("16.28.0~dfsg-0+deb11u4", "reason=busy"),
        ("22.10.1", "reason_code=17"),
        ("", "reason_code=17"),
    ] {
        let info = json!({ "system": { "version": version } });
        let (server, client) = fake(ResponseTemplate::new(200).set_body_json(info)).await;
        let of_a_lane = client.clone();
        client.info().await.unwrap();
        of_a_lane.hang_up(&ChannelId("1795.1".into()), HangupCause::USER_BUSY).await.unwrap();
        let sent = requests(&server).await.pop();
        assert_eq!(sent, Some(format!("DELETE /channels/1795.1?{hang_up}")), "{version}");
    }
}

#[tokio::test]
async fn what_is_done_already_is_done() {
    let (_server, client) = fake(ResponseTemplate::new(409)).await;
    client.create(create(&channel(), &[])).await.unwrap();
    client.create_bridge(&bridge(), "divert/a", BridgeKind::Mixing).await.unwrap();
    let conflict = client.dial(&channel(), None, 5).await.unwrap_err();
    assert!(matches!(conflict, AriError::Refused { status: 409, .. }), "{conflict}");

    let gone = ResponseTemplate::new(404).set_body_json(json!({"message": "Channel not found"}));
    let (_server, client) = fake(gone).await;
    client.hang_up(&channel(), HangupCause::NORMAL).await.unwrap();
    client.destroy_bridge(&bridge()).await.unwrap();
    client.stop_playback("p").await.unwrap();
    client.delete_dynamic("res_pjsip", "aor", "1").await.unwrap();
    for error in [
        client.answer(&channel()).await.unwrap_err(),
        client.dial(&channel(), None, 5).await.unwrap_err(),
        client.continue_in_dialplan(&channel()).await.unwrap_err(),
        client.add_to_bridge(&bridge(), &[&channel()]).await.unwrap_err(),
    ] {
        assert!(matches!(error, AriError::NotFound { .. }), "{error}");
        assert!(error.to_string().contains("Channel not found"), "{error}");
        assert!(!error.retry_may_help());
    }
}

#[tokio::test]
async fn a_missing_ari_is_no_hung_up_channel() {
    let page = ResponseTemplate::new(404).set_body_raw("<html>not found", "text/html");
    let (_server, client) = fake(page).await;
    let error = client.hang_up(&channel(), HangupCause::NORMAL).await.unwrap_err();
    assert!(matches!(error, AriError::Refused { status: 404, .. }), "{error}");
    assert!(error.to_string().contains("is ARI enabled"), "{error}");
}

#[tokio::test]
async fn a_refusal_says_why_and_never_the_password() {
    let (_server, client) = fake(ResponseTemplate::new(401)).await;
    let error = client.info().await.unwrap_err();
    assert!(matches!(error, AriError::Unauthorized { op: "info" }), "{error}");
    assert!(error.to_string().contains("user and password"), "{error}");
    for shown in [format!("{error} {error:?}"), format!("{client:?}")] {
        assert!(!shown.contains("s3cret") && !shown.contains("ZGl2ZXJ0"), "{shown}");
    }

    let failed = ResponseTemplate::new(500).set_body_json(json!({"error": "Allocation failed"}));
    let (server, client) = fake(failed).await;
    let error = client.create(create(&channel(), &[])).await.unwrap_err();
    assert_eq!(error.to_string(), "Asterisk refused create with 500: Allocation failed");
    assert!(!error.retry_may_help(), "the endpoint is unreachable");
    assert_eq!(requests(&server).await.len(), 1);

    let elsewhere = ResponseTemplate::new(302).insert_header("location", "/elsewhere");
    let (server, client) = fake(elsewhere).await;
    assert!(matches!(client.info().await, Err(AriError::Refused { status: 302, .. })));
    assert_eq!(requests(&server).await.len(), 1, "credentials are not carried elsewhere");
}

#[tokio::test]
async fn what_must_not_reach_asterisk_is_never_sent() {
    let (server, client) = fake(ResponseTemplate::new(204)).await;
    let leg = channel();
    let long = ChannelId("x".repeat(150));
    let header = [(Variable::CallHeader, "1\r\nX-Evil: 1")];
    let errors = [
        client.create(create(&leg, &header)).await,
        client.create(create(&long, &[])).await,
        client.create(CreateChannel { endpoint: "PJSIP/1@t&PJSIP/2@t", ..create(&leg, &[]) }).await,
        client.set_channel_variable(&leg, Variable::Call, "${SHELL(id)}").await,
        client.set_global(Global::Beat, "é").await,
        client.hang_up(&ChannelId("..".into()), HangupCause::NORMAL).await.map(drop),
        client.hang_up(&ChannelId(String::new()), HangupCause::NORMAL).await.map(drop),
        client.add_to_bridge(&bridge(), &[]).await,
    ];
    for error in errors {
        assert!(matches!(error, Err(AriError::Argument { .. })), "{error:?}");
    }
    assert!(requests(&server).await.is_empty());
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_error() {
    let (_server, client) = fake(ResponseTemplate::new(200).set_body_string("[{\"id\":")).await;
    assert!(matches!(client.channels().await, Err(AriError::Decode { op: "channels", .. })));
}

#[tokio::test]
async fn endpoints_are_found_by_their_exact_name() {
    let (server, client) = fake(ResponseTemplate::new(404)).await;
    Mock::given(path("/ari/endpoints/PJSIP/a%2Bb"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"state": "online"})))
        .with_priority(1)
        .mount(&server)
        .await;
    assert_eq!(client.endpoint("PJSIP", "a+b").await.unwrap(), EndpointState::Online);
    assert!(matches!(client.endpoint("PJSIP", "c").await, Err(AriError::NotFound { .. })));
    let state = |text: &str| serde_json::from_value::<EndpointState>(json!(text)).unwrap();
    assert_eq!(state("offline"), EndpointState::Offline);
    assert_eq!(state("reachable-ish"), EndpointState::Unknown);
}

#[tokio::test]
async fn a_snapshot_is_all_of_ours_or_nothing() {
    let server = MockServer::start().await;
    let get = |at: &str, body: Value| {
        Mock::given(method("GET"))
            .and(path(format!("/ari/{at}")))
            .and(header("authorization", AUTHORIZATION))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
    };
    let leg = LegId { call: CallId::new(7), no: 1 };
    let info = json!({
        "system": {"version": "22.10.1", "entity_id": "02:fc:00:00:00:01"},
        "status": {"startup_time": "2026-11-21T01:00:00.000+0000", "last_reload_time": "x"},
    });
    let channel = |id: &str, state: &str, app_data: String| {
        let dialplan = json!({"app_name": "Stasis", "app_data": app_data});
        json!({"id": id, "state": state, "dialplan": dialplan})
    };
    let channels = json!([
        channel("1.1", "Up", "divert-a,did,#1".into()),
        channel(&leg.channel().0, "Ringing", format!("divert-a,{}", Role::Leg(leg))),
        channel("1.2", "Up", "other,did,#1".into()),
    ]);
    let bridges = json!([{"id": "b", "name": bridge_name("divert-a", &BridgeId("b".into())), "channels": ["1.1"]}]);
    get("asterisk/info", info).mount(&server).await;
    get("channels", channels).mount(&server).await;

    let client = Client::new(&settings(server.address().port())).unwrap();
    assert!(matches!(
        snapshot(&client, &[], None).await,
        Err(AriError::NotFound { op: "bridges", .. })
    ));

    get("bridges", bridges).mount(&server).await;
    let found = snapshot(&client, &[], None).await.unwrap();
    assert_eq!(found.startup_time, "2026-11-21T01:00:00.000+0000");
    assert_eq!(found.channels.len(), 2);
    let ringing = &found.channels[&leg.channel()];
    assert_eq!((ringing.state, &ringing.role), (ChannelState::Ringing, &Role::Leg(leg)));
    assert_eq!(found.bridges[&BridgeId("b".into())], [ChannelId("1.1".into())]);
    let expected = Info {
        version: "22.10.1".into(),
        startup_time: found.startup_time,
        last_reload_time: "x".into(),
        entity_id: "02:fc:00:00:00:01".into(),
    };
    assert_eq!(client.info().await.unwrap(), expected);
}

#[tokio::test]
async fn many_commands_run_at_once_but_not_all_of_them() {
    const AT_ONCE: usize = 32;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // None is given up and asked for again, however slow the machine is.
    let timeouts = Timeouts { request: Duration::from_mins(2), ..Timeouts::default() };
    let settings = settings(listener.local_addr().unwrap().port());
    let client = Client::with_timeouts(&settings, timeouts).unwrap();
    let tasks: Vec<_> = (0..2 * AT_ONCE)
        .map(|no| {
            let client = client.clone();
            tokio::spawn(async move { client.ring(&ChannelId(format!("c{no}"))).await })
        })
        .collect();
    for _ in 0..2 {
        // None is answered before all of them have come.
        let mut open = Vec::new();
        let gather = async {
            while open.len() < AT_ONCE {
                let (mut stream, _) = listener.accept().await.unwrap();
                head(&mut stream).await;
                open.push(stream);
            }
        };
        let all = tokio::time::timeout(Duration::from_secs(30), gather).await;
        all.expect("fewer at once");
        let more = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(more.is_err(), "more than {AT_ONCE} at once");
        for mut stream in open {
            stream.write_all(empty("204 No Content").as_bytes()).await.unwrap();
        }
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

/// Reads the head of a request.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(head).unwrap()
}

fn empty(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// What a [`flaky`] server does with one request.
#[derive(Clone, Copy)]
enum Do {
    Answer(&'static str),
    /// Close the connection without a word.
    Cut,
    /// Say nothing.
    Hang,
}

/// A server that follows the script, one connection for each request, and notes the request lines.
/// After the script's end it repeats the last step.
async fn flaky(script: &'static [Do]) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&lines);
    tokio::spawn(async move {
        let mut hung = Vec::new();
        for step in script.iter().chain(std::iter::repeat(script.last().unwrap())) {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = head(&mut stream).await;
            noted.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
            match step {
                Do::Answer(status) => {
                    stream.write_all(empty(status).as_bytes()).await.unwrap();
                }
                Do::Cut => {}
                Do::Hang => hung.push(stream),
            }
        }
    });
    (port, lines)
}

fn lines(noted: &Mutex<Vec<String>>) -> Vec<String> {
    noted.lock().unwrap().clone()
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_under_the_same_id() {
    let (port, noted) = flaky(&[Do::Cut, Do::Cut, Do::Answer("409 Conflict")]).await;
    let client = Client::new(&settings(port)).unwrap();
    client.create(create(&channel(), &[])).await.unwrap();
    let sent = lines(&noted);
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(sent.iter().all(|line| *line == sent[0]), "{sent:?}");
    assert!(sent[0].contains(&format!("channelId={}", channel().0)), "{sent:?}");
}

#[tokio::test]
async fn three_lost_answers_are_enough() {
    let (port, noted) = flaky(&[Do::Cut]).await;
    let client = Client::new(&settings(port)).unwrap();
    let error = client.hang_up(&channel(), HangupCause::NORMAL).await.unwrap_err();
    assert!(matches!(error, AriError::Transport { op: "hang_up", sent: true, .. }), "{error}");
    assert!(error.retry_may_help());
    assert_eq!(lines(&noted).len(), 3);
}

#[tokio::test]
async fn a_leg_is_never_dialled_twice() {
    let (port, noted) = flaky(&[Do::Cut, Do::Answer("204 No Content")]).await;
    let client = Client::new(&settings(port)).unwrap();
    let error = client.dial(&channel(), None, 5).await.unwrap_err();
    assert!(matches!(error, AriError::Transport { sent: true, .. }), "{error}");
    let error = lines(&noted);
    assert_eq!(error.len(), 1, "{error:?}");
    client.play(&channel(), "sound:x", "p").await.unwrap();
}

#[tokio::test]
async fn a_channel_given_back_twice_was_given_back() {
    for status in ["404 Not Found", "409 Conflict"] {
        let script: &'static [Do] = match status {
            "404 Not Found" => &[Do::Cut, Do::Answer("404 Not Found")],
            _ => &[Do::Cut, Do::Answer("409 Conflict")],
        };
        let (port, _) = flaky(script).await;
        Client::new(&settings(port)).unwrap().continue_in_dialplan(&channel()).await.unwrap();
    }
}

#[tokio::test]
async fn a_slow_answer_is_not_waited_for() {
    let (port, noted) = flaky(&[Do::Hang, Do::Answer("204 No Content")]).await;
    let timeouts = Timeouts { request: Duration::from_millis(200), ..Timeouts::default() };
    let client = Client::with_timeouts(&settings(port), timeouts).unwrap();
    client.answer(&channel()).await.unwrap();
    assert_eq!(lines(&noted).len(), 2);

    let (port, _) = flaky(&[Do::Hang]).await;
    let client = Client::with_timeouts(&settings(port), timeouts).unwrap();
    let error = client.dial(&channel(), None, 5).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer from Asterisk to dial: timed out");
}

#[tokio::test]
async fn an_absent_asterisk_has_certainly_done_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let client = Client::new(&settings(port)).unwrap();
    let error = client.dial(&channel(), None, 5).await.unwrap_err();
    assert!(matches!(error, AriError::Transport { sent: false, .. }), "{error}");
    assert!(!error.to_string().contains(&channel().0), "{error}");
}
