//! Listening: TCP for programs with a key, a unix socket for the operator on the machine itself.

use std::fs::Permissions;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::connections::{Door, Room};
use super::{Access, Api, router};

/// How long requests that are being answered may take after the cancellation.
const GRACE: Duration = Duration::from_secs(10);
const SWEEP: Duration = Duration::from_mins(1);

/// Where the API listens.
#[derive(Debug)]
pub struct Listeners {
    pub(super) tcp: TcpListener,
    pub(super) unix: Option<(UnixListener, PathBuf)>,
}

impl Listeners {
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Listens, so that nobody else can; connections wait for [`serve`].
///
/// # Errors
/// When the address cannot be bound, or when somebody else answers on the socket or something that
/// is no socket lies in its place. The message says which.
pub async fn bind(listen: SocketAddr, socket: Option<PathBuf>) -> Result<Listeners> {
    let tcp = TcpListener::bind(listen).await.map_err(|error| {
        let text = match error.kind() {
            ErrorKind::AddrInUse => format!("{listen} is taken by another program"),
            _ => format!("cannot listen on {listen}: {error}"),
        };
        Error::new(error.kind(), format!("{text} (api.listen)"))
    })?;
    let unix = match socket {
        Some(path) => {
            let bound = bind_private(&path).await.map_err(|error| {
                let text = error.to_string();
                let place = path.display().to_string();
                let named = if text.contains(&place) { text } else { format!("{place}: {text}") };
                Error::new(error.kind(), format!("{named} (api.socket)"))
            });
            Some((bound?, path))
        }
        None => None,
    };
    Ok(Listeners { tcp, unix })
}

/// Serves the API until it is cancelled and the requests in flight are answered, 10 s at most.
///
/// The address needs keys. The socket needs none, because its file is open to our user alone (mode
/// 0600). Neither has more connections, nor any for longer, than `room` says.
pub async fn serve(listeners: Listeners, room: Room, api: Api, cancel: CancellationToken) {
    let Listeners { tcp, unix } = listeners;
    let (unix, socket) = unix.unzip();
    if let Ok(address) = tcp.local_addr() {
        tracing::info!(%address, socket = socket.as_ref().map(|path| path.display().to_string()),
            "API listening");
    }
    // The kernel gives up on a peer that takes nothing of what waits for it. The owner of the
    // socket may page through an export for as long as he likes.
    let unread = u32::try_from(room.unread.as_millis()).unwrap_or(u32::MAX);
    let tcp = tcp.tap_io(move |stream| {
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, unread);
    });
    let remote = Door::new("tcp", router(api.clone(), Access::Keys), room.tcp, room.head);
    let local = Door::new("unix", router(api.clone(), Access::Local), room.unix, room.head);
    let over_unix = async {
        if let Some(unix) = unix {
            local.attend(unix, &cancel).await;
        }
    };
    let both = async { tokio::join!(remote.attend(tcp, &cancel), over_unix) };
    tokio::select! {
        _ = both => {}
        () = grace_over(&cancel) => {}
        () = sweep(&api) => {}
    }
    if let Some(path) = &socket {
        let _ = std::fs::remove_file(path);
    }
}

async fn grace_over(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

/// Never ends.
async fn sweep(api: &Api) {
    let mut beat = tokio::time::interval(SWEEP);
    loop {
        beat.tick().await;
        api.limits.sweep();
    }
}

/// Binds `path` so that nobody but our user can open it, not for an instant: the socket is made in a
/// directory of its own and moved into place when its mode is right.
async fn bind_private(path: &Path) -> Result<UnixListener> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            let text = format!("{} exists and is no socket", path.display());
            return Err(Error::new(ErrorKind::AlreadyExists, text));
        }
        if UnixStream::connect(path).await.is_ok() {
            let text = format!("another divert answers on {}", path.display());
            return Err(Error::new(ErrorKind::AddrInUse, text));
        }
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let private = parent.unwrap_or(Path::new(".")).join(format!(".{}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&private)?;
    let made = private.join("s");
    let bound = UnixListener::bind(&made).and_then(|listener| {
        std::fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        std::fs::rename(&made, path)?;
        Ok(listener)
    });
    let _ = std::fs::remove_file(&made);
    let _ = std::fs::remove_dir(&private);
    bound
}
