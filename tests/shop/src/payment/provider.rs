//! The payment provider: an HTTP endpoint of its own on loopback, which the payment-outage fault
//! makes fail. The shop knows it by its address only.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::faults::Faults;

/// What the provider is asked.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) order_id: i64,
    pub(crate) amount_cents: i64,
}

/// What it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) reference: String,
}

/// The running provider; it ends with the program or when aborted.
pub(crate) struct Provider {
    address: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Books {
    faults: Faults,
    receipts: Arc<AtomicU64>,
}

impl Provider {
    /// Listens on a free port of loopback.
    pub(crate) async fn start(faults: Faults) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/charges", post(charge))
            .route("/status", get(status))
            .with_state(Books { faults, receipts: Arc::default() });
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the payment provider stopped");
            }
        });
        Ok(Self { address, task })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

async fn charge(State(books): State<Books>, Json(charge): Json<Charge>) -> Result<Json<Receipt>, StatusCode> {
    if books.faults.payment_outage() {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let number = books.receipts.fetch_add(1, Ordering::Relaxed);
    Ok(Json(Receipt { reference: format!("ch_{}_{number}", charge.order_id) }))
}

async fn status(State(books): State<Books>) -> StatusCode {
    if books.faults.payment_outage() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}
