//! SIP by hand (RFC 3261 over UDP): a peer that records every INVITE byte for byte, and a carrier
//! that sends whatever bytes a test wants. Asterisk's own headers would be made clean by Asterisk.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use divert::model::number::Did;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::lab::eventually;

/// The largest datagram.
const MAX: usize = 65_535;

/// A SIP message: bytes, since what is looked for in it may be no text.
#[derive(Clone, Debug)]
pub struct Message(Vec<u8>);

impl Message {
    /// Everything before the body.
    pub fn head(&self) -> &[u8] {
        let end = self.0.windows(4).position(|four| four == b"\r\n\r\n");
        &self.0[..end.unwrap_or(self.0.len())]
    }

    /// The first line.
    pub fn start(&self) -> String {
        self.lines().next().unwrap_or_default()
    }

    /// The values of all headers of this name.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let value = |line: String| {
            let (found, value) = line.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        };
        self.lines().skip(1).filter_map(value).collect()
    }

    /// The value of a header that may come once.
    pub fn header(&self, name: &str) -> Option<String> {
        let mut values = self.headers(name);
        assert!(values.len() < 2, "{name} came {} times: {values:?}", values.len());
        values.pop()
    }

    /// The names of all headers, each once.
    pub fn names(&self) -> Vec<String> {
        let name = |line: String| line.split_once(':').map(|(name, _)| name.trim().to_owned());
        let mut names: Vec<String> = self.lines().skip(1).filter_map(name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The number in the request's own address.
    pub fn user(&self) -> String {
        let line = self.start();
        let uri = line.split(' ').nth(1).unwrap_or_default();
        let user = uri.trim_start_matches("sip:").split('@').next();
        user.unwrap_or_default().to_owned()
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        String::from_utf8_lossy(self.head())
            .split("\r\n")
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn is(&self, method: &str) -> bool {
        self.0.starts_with(format!("{method} ").as_bytes())
    }

    /// Which transaction it belongs to: the same for an INVITE that comes again and for its CANCEL.
    fn branch(&self) -> String {
        let via = self.headers("Via").into_iter().next().unwrap_or_default();
        let branch = via.split(";branch=").nth(1).unwrap_or_default();
        branch.split(';').next().unwrap_or_default().to_owned()
    }

    fn answer(&self, status: u16, more: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status} Said so\r\n");
        for name in ["Via", "From", "Call-ID", "CSeq"] {
            for value in self.headers(name) {
                let _ = write!(text, "{name}: {value}\r\n");
            }
        }
        let to = self.headers("To").pop().unwrap_or_default();
        let tag = if to.contains(";tag=") || status == 100 { "" } else { ";tag=peer" };
        let _ = write!(text, "To: {to}{tag}\r\n{more}");
        if !more.contains("Content-Length") {
            text += "Content-Length: 0\r\n\r\n";
        }
        text.into_bytes()
    }
}

/// What a [`Peer`] does with calls and with questions whether it is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// Answers every call, and says nothing before that or in it.
    Answer,
    /// Rejects every call with this status and is there.
    Reject(u16),
    /// Neither replies to calls nor to questions.
    Silent,
}

#[derive(Debug)]
struct Peered {
    manner: Manner,
    port: u16,
    /// How often Asterisk asked whether it is there.
    questions: usize,
    invites: BTreeMap<String, Message>,
    order: Vec<String>,
    /// By their Call-ID.
    dialogs: BTreeMap<String, Dialog>,
}

/// What a [`Peer`] saw of one call. It never hangs up by itself.
#[derive(Clone, Debug, Default)]
pub struct Dialog {
    /// divert's id of the call, from its INVITE.
    pub call: Option<String>,
    /// When the peer answered …
    pub answered: Option<Instant>,
    /// … and Asterisk said that it had heard it.
    pub acked: Option<Instant>,
    /// When Asterisk took the call back, before it had heard the answer.
    pub cancelled: Option<Instant>,
    /// When Asterisk hung up.
    pub ended: Option<Instant>,
}

impl Dialog {
    /// Asterisk heard the answer only after the caller had given up, at this time.
    pub fn is_crossed(&self, gave_up: Instant) -> bool {
        self.cancelled.is_some() || self.acked.is_some_and(|acked| acked >= gave_up)
    }
}

/// The far end of a trunk: one socket, one manner, every INVITE kept.
#[derive(Debug)]
pub struct Peer {
    port: u16,
    shared: Arc<Mutex<Peered>>,
    task: JoinHandle<()>,
}

impl Peer {
    pub async fn start(manner: Manner) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let shared = Arc::new(Mutex::new(Peered {
            manner,
            port,
            questions: 0,
            invites: BTreeMap::new(),
            order: Vec::new(),
            dialogs: BTreeMap::new(),
        }));
        let task = tokio::spawn(serve(socket, Arc::clone(&shared)));
        Self { port, shared, task }
    }

    /// As the address of a trunk.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn behave(&self, manner: Manner) {
        self.shared.lock().unwrap().manner = manner;
    }

    /// Asterisk has an endpoint that leads here.
    pub async fn questioned(&self) {
        eventually("Asterisk to ask the peer", Duration::from_secs(12), async || {
            (self.shared.lock().unwrap().questions > 0).then_some(())
        })
        .await;
    }

    /// Every INVITE in order, those that came again counted once.
    pub fn invites(&self) -> Vec<Message> {
        let shared = self.shared.lock().unwrap();
        shared.order.iter().map(|branch| shared.invites[branch].clone()).collect()
    }

    /// Every call that came here, and what became of it.
    pub fn dialogs(&self) -> Vec<Dialog> {
        self.shared.lock().unwrap().dialogs.values().cloned().collect()
    }

    /// The INVITE with this number, counted from 0, once it is there.
    pub async fn invite(&self, number: usize) -> Message {
        eventually("an INVITE to reach the peer", Duration::from_secs(8), async || {
            self.invites().get(number).cloned()
        })
        .await
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, shared: Arc<Mutex<Peered>>) {
    let mut buffer = vec![0; MAX];
    while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
        let message = Message(buffer[..size].to_vec());
        let replies = react(&mut shared.lock().unwrap(), &message);
        for reply in replies {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

impl Peered {
    fn note(&mut self, message: &Message) {
        let is = |method| message.is(method);
        if !["INVITE", "ACK", "CANCEL", "BYE"].into_iter().any(is) {
            return;
        }
        let dialog = self.dialogs.entry(message.header("Call-ID").unwrap_or_default()).or_default();
        let now = Some(Instant::now());
        if is("INVITE") {
            // One within the call names it no more.
            dialog.call = dialog.call.take().or_else(|| message.header("X-Divert-Call"));
            if self.manner == Manner::Answer {
                dialog.answered = dialog.answered.or(now);
            }
        } else if is("ACK") {
            dialog.acked = dialog.acked.or(now).filter(|_| dialog.answered.is_some());
        } else if is("CANCEL") {
            dialog.cancelled = dialog.cancelled.or(now);
        } else {
            dialog.ended = dialog.ended.or(now);
        }
    }
}

fn react(peered: &mut Peered, message: &Message) -> Vec<Vec<u8>> {
    let is_invite = message.is("INVITE");
    if is_invite && peered.invites.insert(message.branch(), message.clone()).is_none() {
        peered.order.push(message.branch());
    }
    peered.questions += usize::from(message.is("OPTIONS"));
    peered.note(message);
    if peered.manner == Manner::Silent {
        return Vec::new();
    }
    if is_invite {
        return match peered.manner {
            Manner::Answer => {
                let port = peered.port;
                let sdp = sdp(port);
                let more = format!(
                    "Contact: <sip:peer@127.0.0.1:{port}>\r\nContent-Type: application/sdp\r\n\
                     Content-Length: {}\r\n\r\n{sdp}",
                    sdp.len(),
                );
                vec![message.answer(200, &more)]
            }
            Manner::Reject(status) => vec![message.answer(status, "")],
            Manner::Silent => Vec::new(),
        };
    }
    if message.is("CANCEL") {
        // What was answered stays so (RFC 3261, 9.2).
        let invite = peered.invites.get(&message.branch());
        let invite = invite.filter(|_| peered.manner != Manner::Answer);
        let over = invite.map(|invite| invite.answer(487, ""));
        return [Some(message.answer(200, "")), over].into_iter().flatten().collect();
    }
    if message.is("ACK") || message.0.starts_with(b"SIP/2.0") {
        return Vec::new();
    }
    vec![message.answer(200, "")]
}

/// A session with audio on this port (RFC 4566).
fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
}

/// A carrier's call, in bytes of the test's own.
pub struct Call<'a> {
    /// The number that is called, as it stands in the request's address; none if it is empty.
    pub user: &'a str,
    /// The value of the From header without its tag.
    pub from: &'a [u8],
    /// Whole lines, each ended by CR and LF.
    pub headers: &'a [u8],
    /// How long to wait for an answer.
    pub patience: Duration,
}

/// An ordinary call of Ann's.
pub async fn call_from_ann(port: u16, did: &Did) -> Option<u16> {
    let from = b"\"Ann\" <sip:+12025550199@carrier.example>";
    let patience = Duration::from_secs(10);
    call(port, &Call { user: did.as_str(), from, headers: b"", patience }).await
}

/// A call that this far end has begun.
struct Begun<'a> {
    socket: UdpSocket,
    call: &'a Call<'a>,
    port: u16,
    id: u128,
}

impl<'a> Begun<'a> {
    /// Sends its INVITE to Asterisk on this port.
    async fn invite(port: u16, call: &'a Call<'a>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let begun = Self { socket, call, port, id: divert::clock::mint() };
        let sdp = sdp(begun.own().port());
        let body =
            format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
        begun.send("INVITE", "", &[call.headers, body.as_bytes()].concat()).await;
        begun
    }

    fn own(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    async fn send(&self, method: &str, tag: &str, rest: &[u8]) {
        let (own, port, id) = (self.own(), self.port, self.id);
        let at = if self.call.user.is_empty() { "" } else { "@" };
        let uri = format!("sip:{}{at}127.0.0.1:{port}", self.call.user);
        let start = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{id:x}\r\n\
             Max-Forwards: 70\r\nFrom: "
        );
        let cseq = if method == "BYE" { 2 } else { 1 };
        let more = format!(
            ";tag=carrier\r\nTo: <{uri}>{tag}\r\nCall-ID: {id:x}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:carrier@{own}>\r\n"
        );
        let message = [start.as_bytes(), self.call.from, more.as_bytes(), rest].concat();
        self.socket.send(&message).await.unwrap();
    }

    /// Waits for its final status; `None` when there is none.
    async fn status(&self) -> Option<u16> {
        self.end().await.map(|(status, _)| status)
    }

    /// The same, with the tag that the other side chose.
    async fn end(&self) -> Option<(u16, String)> {
        let mut buffer = vec![0; MAX];
        loop {
            let size =
                timeout(self.call.patience, self.socket.recv(&mut buffer)).await.ok()?.unwrap();
            let message = Message(buffer[..size].to_vec());
            let status = message.start().split(' ').nth(1).and_then(|code| code.parse().ok());
            let status: u16 = status.unwrap_or_default();
            let is_of_invite = message.header("CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"));
            if status >= 200 && is_of_invite {
                let to = message.header("To").unwrap_or_default();
                let tag = to.split(";tag=").nth(1).unwrap_or_default();
                let tag = format!(";tag={tag}");
                self.send("ACK", &tag, NO_BODY).await;
                return Some((status, tag));
            }
        }
    }
}

/// A conversation.
pub struct Talk<'a> {
    begun: Begun<'a>,
    tag: String,
    pub since: Instant,
}

impl<'a> Talk<'a> {
    /// Calls, and is answered.
    pub async fn begin(port: u16, call: &'a Call<'a>) -> Self {
        let begun = Begun::invite(port, call).await;
        let (status, tag) = begun.end().await.expect("a final status");
        assert_eq!(status, 200);
        Self { begun, tag, since: Instant::now() }
    }

    /// How long it was.
    pub async fn hang_up(self) -> Duration {
        self.begun.send("BYE", &self.tag, NO_BODY).await;
        self.since.elapsed()
    }
}

const NO_BODY: &[u8] = b"Content-Length: 0\r\n\r\n";

/// Sends the call to Asterisk on this port and waits for its final status; `None` when there is none.
pub async fn call(port: u16, call: &Call<'_>) -> Option<u16> {
    Begun::invite(port, call).await.status().await
}

/// A call of Ann's that she gives up after this time, which may be shorter than a timer can wait.
pub async fn give_up(port: u16, did: &Did, after: Duration) -> Option<u16> {
    let from = b"\"Ann\" <sip:+12025550199@carrier.example>";
    let patience = Duration::from_secs(10);
    let call = Call { user: did.as_str(), from, headers: b"", patience };
    let begun = Begun::invite(port, &call).await;
    std::thread::sleep(after);
    begun.send("CANCEL", "", NO_BODY).await;
    begun.status().await
}

/// Calls from this number, and takes the call back `when`; what was answered by then is hung up. The
/// final status, and when the caller gave up.
pub async fn call_and_cancel(
    port: u16,
    did: &Did,
    number: &str,
    when: impl Future<Output = ()>,
) -> (Option<u16>, Instant) {
    let from = format!("<sip:{number}@carrier.example>");
    let patience = Duration::from_secs(10);
    let call = Call { user: did.as_str(), from: from.as_bytes(), headers: b"", patience };
    let begun = Begun::invite(port, &call).await;
    when.await;
    let gave_up = Instant::now();
    begun.send("CANCEL", "", NO_BODY).await;
    let end = begun.end().await;
    if let Some((200, tag)) = &end {
        begun.send("BYE", tag, NO_BODY).await;
    }
    (end.map(|(status, _)| status), gave_up)
}
