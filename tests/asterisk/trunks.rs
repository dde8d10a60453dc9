//! Trunks that divert makes in Asterisk itself, and what becomes of them there.

use crate::lab::with_divert;
use crate::sip::{self, Manner, Peer};
use crate::stage;

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_a_trunk_of_diverts_own_make_asterisk_warn_of_nothing() {
    let peer = Peer::start(Manner::Reject(486)).await;
    with_divert(&stage::to_peer(&peer), async |lab| {
        lab.divert.until_trunk("peer", true).await;
        for _ in 0..5 {
            assert_eq!(sip::call_from_ann(lab.pbx_sip(), &stage::own_did()).await, Some(486));
        }
        let log = lab.asterisk_log();
        let is_bad = |line: &&str| ["WARNING[", "ERROR["].iter().any(|word| line.contains(word));
        let warnings: Vec<&str> = log.lines().filter(is_bad).collect();
        assert!(warnings.is_empty(), "{}", warnings.join("\n"));
    })
    .await;
}
