//! The kinds of objects there are, each on one line: everything else about a kind stands in its own
//! file in `objects`.

/// Hands them to another macro: section of a document, word, prefix of the ids, type of the ids, module
/// and type in `objects`. What others refer to comes before them.
macro_rules! for_each_kind {
    ($then:ident) => {
        $then! {
            rate_decks "rate deck" "rtd" RateDeckId rate_deck RateDeck;
            servers "server" "srv" ServerId server Server;
            trunks "trunk" "trk" TrunkId trunk Trunk;
            schedules "schedule" "sch" ScheduleId schedule Schedule;
            sounds "sound" "snd" SoundId sound Sound;
            forwarding_flows "forwarding flow" "flw" ForwardingFlowId forwarding_flow ForwardingFlow;
        }
    };
}
