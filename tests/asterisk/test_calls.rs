//! Test calls are tagged by divert itself, and by nobody else.

use std::time::Duration;

use serde_json::json;

use crate::lab::{eventually, with_divert};
use crate::phones::at_divert;
use crate::stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_rings_the_real_destination_and_is_tagged() {
    with_divert(&stage::one(&["1901"]), async |lab| {
        let flows = lab.divert.get("/v1/forwarding-flows").await;
        let flow = flows["data"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/forwarding-flows/{flow}/test-calls");
        let placed = lab.divert.post(&path, &json!({})).await;
        let id = placed["id"].as_str().unwrap_or_else(|| panic!("no id in {placed}")).to_owned();
        let path = format!("/v1/calls/{id}");
        let call = eventually("the test call to be over", Duration::from_secs(15), async || {
            lab.divert.try_get(&path).await.filter(|call| call["status"] == "ended")
        })
        .await;
        assert_eq!(call["tags"], json!(["test"]), "{call}");
        assert_eq!(call["result"], "answered", "{call}");
        assert_eq!(call["ended_by"], "destination", "{call}");
        assert_eq!(lab.phones.called("1901").len(), 1, "it rang the real destination once");
        let tests = lab.divert.get("/v1/calls?test=only").await;
        assert_eq!(tests["data"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_outside_can_make_a_call_a_test() {
    with_divert(&stage::one(&["1101"]), async |lab| {
        let plain = at_divert(&stage::own_did());
        let variables = json!({
            "DIVERT_TEST": "1",
            "__DIVERT_TEST": "1",
            "PJSIP_HEADER(add,X-Divert-Test)": "1",
            "PJSIP_HEADER(add,DIVERT_TEST)": "1",
        });
        let far = lab.pbx_sip();
        let user = stage::own_did();
        let parameter = format!("PJSIP/divert/sip:{user}@127.0.0.1:{far};x-divert-test=1");
        let header = format!("PJSIP/divert/sip:{user}@127.0.0.1:{far}?X-Divert-Test=1");
        for endpoint in [plain, parameter, header] {
            let line = lab.phones.call_with(&endpoint, &stage::ann(), &variables).await;
            let gone = line.until_gone(Duration::from_secs(10)).await;
            assert_eq!(gone.cause, 17, "{endpoint} {gone:?}");
        }
        let calls = eventually("all calls to be in the log", Duration::from_secs(5), async || {
            let calls = lab.divert.get("/v1/calls").await["data"].as_array().cloned()?;
            (calls.len() == 3).then_some(calls)
        })
        .await;
        let tags: Vec<_> = calls.iter().map(|call| &call["tags"]).collect();
        assert_eq!(tags, [&json!([]), &json!([]), &json!([])]);
    })
    .await;
}
