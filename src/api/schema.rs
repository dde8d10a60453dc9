//! The documents of the configuration as `OpenAPI` shows them. `model::document` reads and writes
//! them; nothing here is ever constructed.

#![expect(dead_code, reason = "these types exist for their schemas only")]

use utoipa::ToSchema;

/// An Asterisk or VICIdial box.
#[derive(ToSchema)]
pub(super) struct ServerDocument {
    /// Unique in the account, 1 to 60 characters.
    #[schema(example = "slave-a", min_length = 1, max_length = 60)]
    name: String,
    /// `master`: calls arrive there. `slave`: it takes them.
    role: ServerRole,
    /// How the master reaches a slave: the name of a trunk. A master has none.
    #[schema(example = "to-slave-a", required = false)]
    trunk: Option<String>,
    /// Most live calls on it over all flows; absent is no limit.
    #[schema(minimum = 1, required = false)]
    max_live: Option<u32>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum ServerRole {
    Master,
    Slave,
}

#[derive(ToSchema)]
pub(super) struct Server {
    #[schema(example = "srv_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[serde(flatten)]
    document: ServerDocument,
}

/// How a call leaves the master: exactly one of `address` and `endpoint`.
#[derive(ToSchema)]
pub(super) struct TrunkDocument {
    /// Unique in the account, 1 to 60 characters.
    #[schema(example = "to-slave-a", min_length = 1, max_length = 60)]
    name: String,
    /// Host or `host:port` of a peer known by its IP address; divert makes the endpoint itself.
    #[schema(example = "10.0.0.2:5060", required = false)]
    address: Option<String>,
    /// The name of an endpoint in your own `pjsip.conf`.
    #[schema(required = false)]
    endpoint: Option<String>,
    /// Most live calls over it; absent is no limit.
    #[schema(minimum = 1, required = false)]
    max_live: Option<u32>,
}

#[derive(ToSchema)]
pub(super) struct Trunk {
    #[schema(example = "trk_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[serde(flatten)]
    document: TrunkDocument,
}

/// DIDs of one master, spread over destinations.
#[derive(ToSchema)]
pub(super) struct ForwardingFlowDocument {
    /// Unique in the account, 1 to 60 characters.
    #[schema(example = "sales", min_length = 1, max_length = 60)]
    name: String,
    /// The name of the master whose DIDs these are.
    #[schema(example = "pbx")]
    master: String,
    /// Numbers as the carrier delivers them. Each belongs to one flow at most.
    #[schema(example = json!(["+12025550100"]), required = false)]
    dids: Vec<String>,
    #[schema(required = false)]
    destinations: Vec<DestinationDocument>,
    #[schema(default = "weighted", required = false)]
    spread: Spread,
    #[schema(default = "ring", required = false)]
    ringback: Ringback,
    /// How long one destination rings.
    #[schema(default = 30, minimum = 5, maximum = 120, required = false)]
    ring_timeout_sec: u32,
    /// How long all destinations of one call may ring together.
    #[schema(default = 120, minimum = 5, maximum = 600, required = false)]
    ring_budget_sec: u32,
    /// Most destinations tried for one call.
    #[schema(default = 6, minimum = 1, maximum = 20, required = false)]
    max_attempts: u32,
    /// Longest conversation.
    #[schema(default = 14400, minimum = 10, maximum = 43200, required = false)]
    max_call_sec: u32,
    /// Where a call goes that no destination took: `"dialplan"` (default), `"hang_up"`,
    /// `{"hang_up": <Q.850 cause>}` or `{"trunk": <name>, "number": <number>}`.
    #[schema(example = "dialplan", required = false)]
    fallback: serde_json::Value,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Spread {
    RoundRobin,
    Weighted,
}

/// What an unanswered caller hears.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Ringback {
    EarlyMedia,
    Ring,
}

#[derive(ToSchema)]
pub(super) struct ForwardingFlow {
    #[schema(example = "flw_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[serde(flatten)]
    document: ForwardingFlowDocument,
}

/// Where calls of a flow may go: `server` and `did`, or `trunk` and `number`.
#[derive(ToSchema)]
pub(super) struct DestinationDocument {
    /// Inside a flow: the destination this was; leave it out for a new one.
    #[schema(example = "dst_01j3nnnyejx8kz0q4tt3b7m9ra", required = false)]
    id: Option<String>,
    /// Unique in its flow, 1 to 60 characters; absent takes the server's name, or the number.
    #[schema(example = "slave-a-sales", min_length = 1, max_length = 60, required = false)]
    name: String,
    /// The name of a slave.
    #[schema(example = "slave-a", required = false)]
    server: Option<String>,
    /// The DID on that slave.
    #[schema(example = "1001", required = false)]
    did: Option<String>,
    /// The name of a trunk.
    #[schema(required = false)]
    trunk: Option<String>,
    /// The number dialled over it.
    #[schema(required = false)]
    number: Option<String>,
    /// Lower is tried first; equal numbers share.
    #[schema(default = 1, minimum = -100, maximum = 100, required = false)]
    priority: i32,
    /// Share among equal priorities; 0 takes no new calls.
    #[schema(default = 1, minimum = 0, maximum = 1000, required = false)]
    weight: u32,
    /// Most live calls of this flow there; absent is no limit.
    #[schema(minimum = 1, required = false)]
    max_live: Option<u32>,
    /// How long it rings; absent takes the flow's.
    #[schema(minimum = 5, maximum = 120, required = false)]
    ring_timeout_sec: Option<u32>,
    #[schema(default = "active", required = false)]
    state: DestinationState,
}

/// Draining takes no callers but those who belong to it; paused takes nobody and keeps its place;
/// disabled is out of rotation. None of them drops a live call.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum DestinationState {
    Active,
    Disabled,
    Draining,
    Paused,
}

#[derive(ToSchema)]
pub(super) struct Destination {
    #[schema(example = "dst_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[serde(flatten)]
    document: DestinationDocument,
}

/// A number of the account on one master.
#[derive(ToSchema)]
pub(super) struct Number {
    #[schema(example = "num_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[schema(example = "+12025550100")]
    did: String,
    /// The name of the master it arrives on.
    #[schema(example = "pbx")]
    server: String,
    /// The name of the flow that owns it.
    #[schema(example = "sales")]
    forwarding_flow: Option<String>,
}

/// One page of a list.
#[derive(ToSchema)]
pub(super) struct PageOf<T> {
    /// Newest first.
    data: Vec<T>,
    /// Send it as `cursor` for the next page; `null` on the last.
    next_cursor: Option<String>,
    has_more: bool,
}
