//! What can be put on a queue.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::QueueName;

/// A kind of job: where it is queued and how often it may be tried.
pub(super) trait Job: Clone + Serialize + DeserializeOwned + Send + Sync + Unpin + 'static {
    const QUEUE: QueueName;

    /// The name it is observed under.
    fn name(&self) -> &'static str;
}

/// A letter to a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Email {
    /// Thanks for the order.
    Confirmation {
        /// To whom.
        user_id: i64,
        /// Which order.
        order_id: i64,
    },
    /// News for everybody.
    Newsletter {
        /// To whom.
        user_id: i64,
    },
}

impl Email {
    pub(crate) fn newsletter(user_id: i64) -> Self {
        Self::Newsletter { user_id }
    }
}

/// A text message to a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sms {
    /// To whom.
    pub(crate) user_id: i64,
    /// Which order.
    pub(crate) order_id: i64,
}

/// A vendor's report, to be computed and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VendorReport {
    /// Whose.
    pub(crate) vendor_id: i64,
}

/// Products that were sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProductEvents {
    /// Product and how many.
    pub(crate) sold: Vec<(i64, i64)>,
}

/// Who did what to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditEntry {
    /// Who.
    pub(crate) actor: String,
    /// Did what.
    pub(crate) action: String,
    /// To what.
    pub(crate) subject: String,
}

/// A payment that is still to be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SettlePayment {
    /// Which order.
    pub(crate) order_id: i64,
    /// How much.
    pub(crate) amount_cents: i64,
    /// How often it was put off already.
    pub(crate) deferrals: u32,
}

impl Job for Email {
    const QUEUE: QueueName = QueueName::Email;

    fn name(&self) -> &'static str {
        match self {
            Self::Confirmation { .. } => "confirmation",
            Self::Newsletter { .. } => "newsletter",
        }
    }
}

impl Job for Sms {
    const QUEUE: QueueName = QueueName::Sms;

    fn name(&self) -> &'static str {
        "order_placed"
    }
}

impl Job for VendorReport {
    const QUEUE: QueueName = QueueName::Report;

    fn name(&self) -> &'static str {
        "vendor_report"
    }
}

impl Job for ProductEvents {
    const QUEUE: QueueName = QueueName::Analytics;

    fn name(&self) -> &'static str {
        "products_sold"
    }
}

impl Job for AuditEntry {
    const QUEUE: QueueName = QueueName::Audit;

    fn name(&self) -> &'static str {
        "audit_entry"
    }
}

impl Job for SettlePayment {
    const QUEUE: QueueName = QueueName::Payment;

    fn name(&self) -> &'static str {
        "settle_payment"
    }
}
