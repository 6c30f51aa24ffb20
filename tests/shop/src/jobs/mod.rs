//! Background work: queues on an embedded store, workers with retries, and how deep they are.
//! The queues live in a SQLite file of their own, with PostgreSQL as well.

mod board;
mod depth;
mod kinds;
mod selection;
mod workers;

pub(crate) use board::{JobError, Jobs};
pub(crate) use kinds::{AuditEntry, Email, ProductEvents, SettlePayment, Sms};
pub(crate) use selection::JobSelection;
pub(crate) use workers::{Workers, WorkshopParts};

/// The queues of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueName {
    /// Letters to customers.
    Email,
    /// Text messages to customers.
    Sms,
    /// Reports to vendors.
    Report,
    /// Counted product events.
    Analytics,
    /// The audit log.
    Audit,
    /// Payments that could not be taken when the order was placed.
    Payment,
}

impl QueueName {
    /// Every queue, at its index.
    pub(crate) const ALL: [Self; 6] =
        [Self::Email, Self::Sms, Self::Report, Self::Analytics, Self::Audit, Self::Payment];

    /// The label value, and the queue's name in the store.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Report => "report",
            Self::Analytics => "analytics",
            Self::Audit => "audit",
            Self::Payment => "payment",
        }
    }
}
