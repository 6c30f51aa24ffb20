//! One connection as the listener serves it, over any stream: what a fuzzer sends its bytes to. It knows no socket.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Source;
use super::access::{Caller, Policy, Via};
use super::connections::Connections;
use super::listener::{Deadlines, serve_client};
use super::router::Router;
use crate::clock::Tick;

/// The endpoint without its port.
pub struct Wire {
    router: Arc<Router>,
    connections: Connections,
}

impl Wire {
    /// What serves `source` to whom `policy` lets in; it has seen no caller yet.
    pub(crate) fn new(source: Arc<dyn Source>, policy: Policy) -> Self {
        Self { router: Arc::new(Router::new(source, policy)), connections: Connections::default() }
    }

    /// Serves one client, on a loopback listener or another, until it leaves or runs out of time.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, loopback: bool) {
        let via = if loopback { Via::Loopback } else { Via::Other };
        let caller = Caller { via, address: None };
        let place = self.connections.admit(Tick::now().mono);
        let Deadlines { head, .. } = Deadlines::default();
        let secured = std::future::ready(Some(stream));
        serve_client(secured, place, caller, Arc::clone(&self.router), head).await;
    }

    /// How long a client may take for the head of a request.
    pub fn head_deadline() -> Duration {
        Deadlines::default().head
    }
}
