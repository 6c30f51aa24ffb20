//! The alerts over the targets: rules and samples in, a board of alerts out. Nothing here draws or opens a socket.

pub mod board;

pub use board::{AlertRow, AlertState, Board, Level, TransitionRow};
