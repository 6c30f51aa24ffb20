//! What is on the screen: each view a function of one [`Scene`] and an area. Nothing here changes anything, waits for
//! anything or computes what the model should.
//!
//! ```text
//! ┌──────────────────────────────────────────────────────────────────┐
//! │ shop a  ● fresh 0.4s   ■ 2 critical          5m  14:07:12 UTC    │ header: what, how old, what fires
//! │ 1 Overview 2 Requests 3 Queries 4 Pools 5 Caches …               │ header: the views
//! │                                                                  │
//! │ the view: overview, requests, queries, pools, caches, queues,    │ one file each
//! │ heap, runtime, alerts, targets, traces; or the help over it      │
//! │                                                                  │
//! │ ? help  1-9 views  enter detail  / filter  s sort  q quit        │ footer: filter and keys
//! └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Lowest first: `theme`, `quantity`, `judgement`; `pen`, `spark`, `chart`, `table`, `waterfall`; `scene`, `panel`; the views with
//! `verdict`; `header`, `footer`, `page`.

pub mod alerts;
pub mod caches;
pub mod chart;
pub mod footer;
pub mod header;
pub mod heap;
pub mod help;
pub mod judgement;
pub mod overview;
pub mod page;
pub mod panel;
pub mod pen;
pub mod pools;
pub mod quantity;
pub mod queries;
pub mod queues;
pub mod requests;
pub mod runtime;
pub mod scene;
pub mod spark;
pub mod table;
pub mod targets;
pub mod theme;
pub mod traces;
pub mod verdict;
pub mod waterfall;

pub use scene::{Charts, Scene};
pub use theme::Theme;
