//! What the generator counted, as a document a test can hold against the agent.

use goose::metrics::GooseMetrics;
use serde::Serialize;

use super::shopper::UNMATCHED;

/// Goose's own counts.
#[derive(Debug, Serialize)]
pub(super) struct LoadCounts {
    profile: &'static str,
    /// Answered requests by method, route template and status.
    requests: Vec<Answered>,
    /// Requests that got no answer: refused, cut off or timed out.
    unanswered: Vec<Unanswered>,
}

#[derive(Debug, Serialize)]
struct Answered {
    method: String,
    /// Null where no route matches.
    route: Option<String>,
    status: u16,
    count: usize,
}

#[derive(Debug, Serialize)]
struct Unanswered {
    method: String,
    route: Option<String>,
    count: usize,
}

impl LoadCounts {
    pub(super) fn new(profile: &'static str, metrics: &GooseMetrics) -> Self {
        let (mut requests, mut unanswered) = (Vec::new(), Vec::new());
        for aggregate in metrics.requests.values() {
            let method = aggregate.method.to_string();
            let route = (aggregate.path != UNMATCHED).then(|| aggregate.path.clone());
            let mut answered = 0;
            for (&status, &count) in &aggregate.status_code_counts {
                // Goose files requests without an answer under status 0.
                if status > 0 {
                    answered += count;
                    requests.push(Answered { method: method.clone(), route: route.clone(), status, count });
                }
            }
            let missing = (aggregate.success_count + aggregate.fail_count).saturating_sub(answered);
            if missing > 0 {
                unanswered.push(Unanswered { method, route, count: missing });
            }
        }
        requests.sort_by(|a, b| (&a.route, &a.method, a.status).cmp(&(&b.route, &b.method, b.status)));
        Self { profile, requests, unanswered }
    }
}
