//! The documents of the configuration as `OpenAPI` shows them. `model::document` reads and writes
//! them; nothing here is ever constructed.

#![expect(dead_code, reason = "these types exist for their schemas only")]

use utoipa::ToSchema;

use super::error::FieldProblem;

/// What holds for everything of the account.
#[derive(ToSchema)]
pub(super) struct AccountDocument {
    /// For flows and destinations that name none: a name of the IANA database.
    #[schema(default = "UTC", example = "America/Chicago", required = false)]
    time_zone: String,
    /// Most live legs of all its flows; absent is no limit.
    #[schema(example = 500, minimum = 1, required = false)]
    max_live: Option<u32>,
    /// Whether there may be toll-free destinations.
    #[schema(default = false, required = false)]
    toll_free_termination: bool,
    /// Calls that cost are refused once the balance is used up.
    #[schema(default = false, required = false)]
    prepaid: bool,
    /// Of every amount, in ISO 4217.
    #[schema(default = "USD", example = "USD", required = false)]
    currency: String,
    /// The name of the rate deck for trunks that have none of their own.
    #[schema(example = "retail", required = false)]
    rate_deck: Option<String>,
}

#[derive(ToSchema)]
pub(super) struct Account {
    #[serde(flatten)]
    document: AccountDocument,
    /// In answers to a change: what is allowed and probably not meant.
    #[schema(required = false)]
    warnings: Vec<FieldProblem>,
}

/// Prices by the beginning of the dialled number.
#[derive(ToSchema)]
pub(super) struct RateDeckDocument {
    /// Unique in the account, 1 to 60 characters.
    #[schema(example = "retail", min_length = 1, max_length = 60)]
    name: String,
    /// Each prefix once; the longest that fits a number counts.
    rates: Vec<Rate>,
    /// Seconds count from the first ring instead of the answer, or from the dial where none is told
    /// of; who never answers is never billed.
    #[schema(default = false, required = false)]
    bills_ring_time: bool,
    #[schema(default = "up", required = false)]
    rounding: Rounding,
    /// Digits behind the point that an amount keeps.
    #[schema(default = 4, minimum = 0, maximum = 6, required = false)]
    decimals: u8,
}

#[derive(ToSchema)]
pub(super) struct Rate {
    /// Up to 15 digits; `""` matches every number.
    #[schema(example = "1800")]
    prefix: String,
    /// The price of a minute, with at most 6 digits behind the point.
    #[schema(example = "0.0125")]
    per_minute: String,
    /// `30/6`: the first 30 seconds are billed whole, then every 6 begun.
    #[schema(default = "60/60", example = "30/6", required = false)]
    increment: String,
}

/// How an amount is brought to the deck's decimals, once for each call.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Rounding {
    Down,
    Nearest,
    Up,
}

#[derive(ToSchema)]
pub(super) struct RateDeck {
    #[schema(example = "rtd_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[serde(flatten)]
    document: RateDeckDocument,
    /// In answers to a change: what is allowed and probably not meant.
    #[schema(required = false)]
    warnings: Vec<FieldProblem>,
}

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
    /// In answers to a change: what is allowed and probably not meant.
    #[schema(required = false)]
    warnings: Vec<FieldProblem>,
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
    /// divert may send calls to toll-free numbers over it.
    #[schema(default = false, required = false)]
    carries_toll_free: bool,
    /// The name of the rate deck for calls over it; absent takes the account's, and nothing for
    /// calls to a slave.
    #[schema(example = "retail", required = false)]
    rate_deck: Option<String>,
}

#[derive(ToSchema)]
pub(super) struct Trunk {
    #[schema(example = "trk_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[serde(flatten)]
    document: TrunkDocument,
    /// In answers to a change: what is allowed and probably not meant.
    #[schema(required = false)]
    warnings: Vec<FieldProblem>,
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
    /// `active`, or `paused`: it takes test calls only, all others go to the fallback.
    #[schema(example = "active", required = false)]
    state: String,
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
    /// Whose days count, and in which the schedule is; absent takes the account's.
    #[schema(example = "America/Chicago", required = false)]
    time_zone: Option<String>,
    /// When it is open; absent is always. A call outside goes to the fallback.
    #[schema(required = false)]
    schedule: Option<Schedule>,
    /// Calls in each second, minute or hour, evenly, with up to `burst` at once.
    #[schema(required = false)]
    rate: Option<ArrivalRate>,
    /// Least time between the beginnings of two calls.
    #[schema(example = 5, minimum = 1, maximum = 86400, required = false)]
    spacing_sec: Option<u32>,
    /// Most of what is counted in each period of the zone.
    #[schema(required = false)]
    caps: Vec<VolumeCap>,
    /// Whether a returning caller goes to the destination of the last time: `"never"` (default),
    /// `"same_day"`, or an object of `window` or `rolling_sec` (60 to 31536000), `sliding` (default
    /// true), `on` (`answered` or `offered`), `rebind` (default true), `beats_priority`.
    #[schema(example = json!({ "rolling_sec": 86400, "sliding": true }), required = false)]
    stickiness: serde_json::Value,
    #[schema(required = false)]
    repeat_caller: Option<RepeatRule>,
    #[schema(required = false)]
    caller_numbers: Option<NumberPlan>,
    /// Calls of one caller that follow each other within so many seconds are shown as one.
    #[schema(default = 60, minimum = 0, maximum = 900, required = false)]
    redial_gap_sec: u32,
}

/// Open in the hours of its weekday, unless the day is listed among the holidays.
#[derive(ToSchema)]
pub(super) struct Schedule {
    /// By day (`mon`), range of days (`mon-fri`) or `daily`: one span of hours or a list of them. A
    /// span that ends no later than it begins runs over midnight.
    #[schema(example = json!({ "mon-fri": "09:00-17:00", "sat": ["09:00-12:00", "14:00-16:00"] }))]
    hours: serde_json::Value,
    /// Days that are closed, or objects of `date` and the `hours` of that day.
    #[schema(example = json!(["2026-12-25", { "date": "2026-12-24", "hours": "09:00-12:00" }]), required = false)]
    holidays: serde_json::Value,
}

#[derive(ToSchema)]
pub(super) struct ArrivalRate {
    #[schema(example = 10, minimum = 1, maximum = 10000)]
    calls: u32,
    per: RatePeriod,
    /// 1 is no burst at all.
    #[schema(default = 1, minimum = 1, maximum = 10000, required = false)]
    burst: u32,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum RatePeriod {
    Hour,
    Minute,
    Second,
}

/// One for each pair of `per` and `count` at most.
#[derive(ToSchema)]
pub(super) struct VolumeCap {
    per: CapPeriod,
    #[schema(default = "attempts", required = false)]
    count: CapCount,
    #[schema(example = 500, minimum = 1, maximum = 100_000_000)]
    max: u32,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum CapPeriod {
    Day,
    Hour,
    Month,
    Total,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum CapCount {
    Answers,
    Attempts,
    BillableMinutes,
}

/// What happens to a caller who has called the flow `calls` times within `within_sec`.
#[derive(ToSchema)]
pub(super) struct RepeatRule {
    /// Calls before this one.
    #[schema(example = 3, minimum = 1, maximum = 100)]
    calls: u32,
    #[schema(example = 3600, minimum = 1, maximum = 2_678_400)]
    within_sec: u32,
    #[schema(default = "any", required = false)]
    count: RepeatCount,
    /// `"different"`, `"reject"`, `"tag"`, or `{"destination": <name>}`.
    #[schema(example = "different")]
    then: serde_json::Value,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum RepeatCount {
    Answered,
    Any,
}

/// How callers' numbers are written where they come from, to know one caller by two spellings.
#[derive(ToSchema)]
pub(super) struct NumberPlan {
    /// Country code without `+`. It is enough for North America and where numbers have no national
    /// prefix at home, as in Italy or Spain.
    #[schema(example = "44", required = false)]
    country: Option<String>,
    /// What stands before a number of the same country.
    #[schema(example = "0", required = false)]
    national_prefix: Option<String>,
    /// What stands before a country code.
    #[schema(example = "00", required = false)]
    international_prefix: Option<String>,
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
    /// In answers to a change: what is allowed and probably not meant.
    #[schema(required = false)]
    warnings: Vec<FieldProblem>,
}

/// Where calls of a flow may go: `server` and `did`, `trunk` and `number`, or `toll_free`.
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
    /// A toll-free number of North America; divert chooses among the trunks that carry such calls.
    /// The account must be allowed to.
    #[schema(example = "8005550199", required = false)]
    toll_free: Option<String>,
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
    /// For schedule and caps; absent takes the flow's.
    #[schema(example = "America/New_York", required = false)]
    time_zone: Option<String>,
    /// When it is open; absent is always.
    #[schema(required = false)]
    schedule: Option<Schedule>,
    /// Calls in each second, minute or hour, evenly, with up to `burst` at once.
    #[schema(required = false)]
    rate: Option<ArrivalRate>,
    /// Least time between the beginnings of two calls.
    #[schema(example = 5, minimum = 1, maximum = 86400, required = false)]
    spacing_sec: Option<u32>,
    /// Most of what is counted in each period of the zone.
    #[schema(required = false)]
    caps: Vec<VolumeCap>,
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
    /// In answers to a change: what is allowed and probably not meant.
    #[schema(required = false)]
    warnings: Vec<FieldProblem>,
}

/// A number of the account on one master.
#[derive(ToSchema)]
pub(super) struct NumberDocument {
    /// As the carrier delivers it. It cannot be changed.
    #[schema(example = "+12025550100")]
    did: String,
    /// The name of the master it arrives on; absent takes that of the flow.
    #[schema(example = "pbx", required = false)]
    server: String,
    /// The name of the flow that owns it; absent is nobody.
    #[schema(example = "sales", required = false)]
    forwarding_flow: Option<String>,
}

#[derive(ToSchema)]
pub(super) struct Number {
    #[schema(example = "num_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[serde(flatten)]
    document: NumberDocument,
    /// In answers to a change: what is allowed and probably not meant.
    #[schema(required = false)]
    warnings: Vec<FieldProblem>,
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
