//! The spool at work, on a thread of its own: the disk it is on may hang, which must hold up neither the
//! database nor the end of the process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::spool::Spool;
use crate::store::Record;

/// How long a disk may be busy before that is worth a word.
const STUCK: Duration = Duration::from_secs(1);

/// What the thread is told to do, one after the other.
#[derive(Debug)]
enum Job {
    Append(Vec<Record>),
    Clear,
    SetAside { row: String, why: String },
}

/// What is heard of one [`Keeper::append`] or [`Keeper::clear`].
#[derive(Debug)]
pub(super) enum News {
    /// It is done; with the rows that are in the file now.
    Appended {
        result: io::Result<()>,
        rows: u64,
    },
    Cleared,
    /// It takes so long that the disk must hang. Told once; the other word follows, if ever.
    Stuck,
}

/// Whoever has it gives one job at a time.
#[derive(Debug)]
pub(super) struct Keeper {
    jobs: std_mpsc::Sender<Job>,
    news: mpsc::UnboundedReceiver<News>,
    path: PathBuf,
    /// Since when the job under way takes.
    busy_since: Option<Instant>,
    has_told: bool,
}

impl Keeper {
    /// The thread ends with the `Keeper`, as soon as the disk lets it.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(spool: Spool) -> io::Result<Self> {
        let path = spool.path().to_owned();
        let (jobs, queue) = std_mpsc::channel();
        let (tell, news) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || work_off(spool, &queue, &tell))?;
        Ok(Self { jobs, news, path, busy_since: None, has_told: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn append(&mut self, rows: Vec<Record>) {
        self.give(Job::Append(rows));
    }

    /// All its rows are in the store.
    pub fn clear(&mut self) {
        self.give(Job::Clear);
    }

    fn give(&mut self, job: Job) {
        // Without a thread the job stays under way for ever, and is told to be stuck.
        let _ = self.jobs.send(job);
        (self.busy_since, self.has_told) = (Some(Instant::now()), false);
    }

    /// Keeps a row that the store refuses; nobody waits for that.
    pub fn set_aside(&self, row: String, why: String) {
        let _ = self.jobs.send(Job::SetAside { row, why });
    }

    pub fn is_busy(&self) -> bool {
        self.busy_since.is_some()
    }

    /// Waits for news of the job under way; for ever if there is none.
    pub async fn news(&mut self) -> News {
        let Some(since) = self.busy_since else {
            return std::future::pending().await;
        };
        tokio::select! {
            Some(news) = self.news.recv() => {
                self.busy_since = None;
                news
            }
            () = sleep_until(since + STUCK), if !self.has_told => {
                self.has_told = true;
                News::Stuck
            }
            else => std::future::pending().await,
        }
    }

    /// Done when all is done.
    pub async fn end(self) {
        let Self { jobs, mut news, .. } = self;
        drop(jobs);
        while news.recv().await.is_some() {}
    }
}

fn work_off(mut spool: Spool, queue: &std_mpsc::Receiver<Job>, tell: &mpsc::UnboundedSender<News>) {
    while let Ok(job) = queue.recv() {
        let news = match job {
            Job::Append(rows) => {
                let result = spool.append(&rows);
                News::Appended { result, rows: spool.rows() }
            }
            Job::Clear => {
                spool.clear();
                News::Cleared
            }
            Job::SetAside { row, why } => {
                spool.set_aside(&row, &why);
                continue;
            }
        };
        // Nobody listens any more when the process ends.
        let _ = tell.send(news);
    }
}
