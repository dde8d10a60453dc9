//! Asterisk dies under divert.

use std::time::Duration;

use divert::model::cause::{CallResult, EndedBy};

use crate::connection_faults::talk;
use crate::lab::with_divert;
use crate::stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_asterisk_closes_its_calls_truthfully() {
    with_divert(&stage::one(&["1001"]), async |lab| {
        let (line, phone) = talk(lab).await;
        let call = lab.divert.call_on(&stage::own_did()).await;
        lab.kill_asterisk();
        lab.divert.until_unready(Duration::from_secs(12)).await;
        lab.start_asterisk().await;
        lab.divert.until_ready().await;
        let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
        assert_eq!(detail.call.ended_by, Some(EndedBy::Restart));
        assert_eq!(detail.call.result, Some(CallResult::Answered));
        // Nobody told the phones.
        line.hang_up().await;
        lab.phones.hang_up(&phone).await;
        // And new calls are taken.
        let (line, _) = talk(lab).await;
        line.hang_up().await;
    })
    .await;
}
