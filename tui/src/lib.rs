//! The heartline dashboard and its headless tools, as a library so that the demo can run it in its own process.
//!
//! Layers, lowest first: `clock`, `text`, `cli`, `config`, then `source`, `model`, `alerting`, `views`, `app`, `headless`.

pub mod alerting;
pub mod clock;
pub mod model;
pub mod source;
pub mod text;
