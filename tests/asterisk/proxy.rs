//! A TCP proxy between divert and Asterisk that can be cut, or made to swallow everything.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Weather {
    /// Connections break off at once, with a reset, and new ones too.
    Cut,
    Fair,
    /// Connections stay and nothing comes through, as behind a dead router. They break when this
    /// ends.
    Swallow,
}

#[derive(Debug)]
pub struct Proxy {
    port: u16,
    weather: watch::Sender<Weather>,
}

impl Proxy {
    /// Forwards to this port of the same host.
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (weather, seen) = watch::channel(Weather::Fair);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, target, seen.clone()));
            }
        });
        Self { port, weather }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn cut(&self) {
        self.weather.send_replace(Weather::Cut);
    }

    pub fn swallow(&self) {
        self.weather.send_replace(Weather::Swallow);
    }

    pub fn mend(&self) {
        self.weather.send_replace(Weather::Fair);
    }
}

/// One connection, from accept to its end.
async fn carry(near: TcpStream, target: u16, mut weather: watch::Receiver<Weather>) {
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
        return;
    };
    for stream in [&near, &far] {
        // A closed stream is then a broken one.
        let _ = stream.set_zero_linger();
        let _ = stream.set_nodelay(true);
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let there = pump(near_read, far_write, weather.clone());
    let back = pump(far_read, near_write, weather.clone());
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = weather.wait_for(|weather| *weather == Weather::Cut) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if *weather.borrow_and_update() == Weather::Swallow {
            // What was swallowed is lost: this connection cannot go on.
            let _ = weather.wait_for(|weather| *weather != Weather::Swallow).await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
