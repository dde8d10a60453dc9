//! Warnings and errors as they are logged, kept for who asks later: the newest of each kind, and no more
//! kinds than fit on a page.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::clock;
use crate::model::notice::{Notice, NoticeLevel};
use crate::model::time::Timestamp;

/// Most kinds that are kept; what was not written for longest goes first.
const MOST: usize = 50;
/// Most characters of one.
const LONGEST: usize = 500;

/// The same list for who writes and who reads.
#[derive(Clone, Debug, Default)]
pub struct Notices(Arc<Mutex<VecDeque<Kept>>>);

#[derive(Debug)]
struct Kept {
    /// The message without its fields: what is one kind.
    message: String,
    notice: Notice,
}

impl Notices {
    /// The newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Notice> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().map(|kept| kept.notice.clone()).collect()
    }

    fn add(&self, level: NoticeLevel, line: Line, at: Timestamp) {
        let text = cut(line.message.clone() + &line.fields);
        let mut notice = Notice { level, text, first_at: at, at, times: 1 };
        let message = cut(line.message);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|one| one.message == message);
        if let Some(known) = known.and_then(|place| kept.remove(place)) {
            notice.first_at = known.notice.first_at;
            notice.times = known.notice.times.saturating_add(1);
        } else if kept.len() == MOST {
            kept.pop_front();
        }
        kept.push_back(Kept { message, notice });
    }
}

impl<S: Subscriber> Layer<S> for Notices {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => NoticeLevel::Error,
            Level::WARN => NoticeLevel::Warning,
            _ => return,
        };
        let mut line = Line::default();
        event.record(&mut line);
        self.add(level, line, clock::wall());
    }
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[derive(Default)]
struct Line {
    message: String,
    /// `, error: …, call.id: …`.
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a text can not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name}: {value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.fields, ", {}: {value}", field.name());
    }
}

#[cfg(test)]
mod tests {
    use tracing::{error, info, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn what_is_said_again_is_kept_once_with_its_last_words() {
        let notices = Notices::default();
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(notices.clone()),
            || {
                warn!(error = %"refused", "the store is away");
                error!("one more");
                info!("all is well");
                warn!(error = %"timed out", "the store is away");
            },
        );
        let said: Vec<_> =
            notices.list().into_iter().map(|it| (it.level, it.text, it.times)).collect();
        assert_eq!(
            said,
            [
                (NoticeLevel::Warning, "the store is away, error: timed out".to_owned(), 2),
                (NoticeLevel::Error, "one more".to_owned(), 1),
            ]
        );
    }

    #[test]
    fn however_many_are_written_only_so_many_are_kept() {
        let notices = Notices::default();
        let line = |no: usize| Line { message: format!("{no}"), fields: "x".repeat(10_000) };
        for no in 0..=MOST {
            notices.add(NoticeLevel::Warning, line(no), Timestamp(0));
            // The first is said all the time, and so is never the oldest.
            notices.add(NoticeLevel::Error, line(0), Timestamp(1));
        }
        let kept = notices.list();
        assert_eq!(kept.len(), MOST);
        assert!(kept[0].text.starts_with("0x"), "{}", kept[0].text);
        assert_eq!(kept[0].times, u32::try_from(MOST).unwrap() + 2);
        assert!(!kept.iter().any(|it| it.text.starts_with("1x")), "it was the oldest");
        assert!(kept.iter().all(|it| it.text.chars().count() == LONGEST + 1));
    }
}
