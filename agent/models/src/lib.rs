//! The recording layer, the registry's map and the door of the CPU profile as the agent has them, file by file, under loom: compiled apart from the
//! agent, because what it uses beside them need not be built for that. Models that need what is private in a layer stand
//! in that layer.
//!
//! Empty unless built with `--cfg heartline_loom`: `./test loom` does so.
#![cfg(heartline_loom)]
#![expect(dead_code, unused_imports, reason = "what is not modelled is used by the rest of the agent")]

#[path = "../../src/registry/append_map.rs"]
mod append_map;
#[path = "../../src/cpu/door.rs"]
mod door;
#[cfg(test)]
mod exploring;
#[cfg(test)]
mod leaving;
#[path = "../../src/recording/mod.rs"]
mod recording;
#[cfg(test)]
mod registration;
#[path = "../../src/instruments/slots.rs"]
mod slots;
#[cfg(test)]
mod taking;
