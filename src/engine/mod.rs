//! The call engine: inputs in, commands out, nothing else.

mod timer;
mod types;

pub use timer::Timer;
pub use types::{
    Arrival, CallEvent, ChannelEvent, ChannelState, Command, FailedCommand, FallbackRoute, Input,
    Route,
};
