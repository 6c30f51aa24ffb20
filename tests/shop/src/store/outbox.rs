//! What the background jobs leave behind: sent messages, counted events, the audit log.

use super::database::{Database, StoreError, on};
use super::statement::Statement;

impl Database {
    /// How a customer is reached: address and telephone number.
    pub(crate) async fn contact(&self, user_id: i64) -> Result<Option<(String, String)>, StoreError> {
        let mut lease = self.read().await?;
        self.observe(Statement::UserContact, async {
            on!(lease.session(), c => sqlx::query_as("SELECT email, phone FROM users WHERE id = $1")
                .bind(user_id).fetch_optional(c).await)
        })
        .await
    }

    /// Records a message that went out.
    pub(crate) async fn record_message(
        &self,
        channel: &str,
        recipient: &str,
        subject: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO messages (channel, recipient, subject, sent_at_ms) VALUES ($1, $2, $3, $4)";
        let mut lease = self.write().await?;
        self.observe(Statement::InsertMessage, async {
            on!(lease.session(), c => sqlx::query(SQL).bind(channel).bind(recipient).bind(subject).bind(now_ms)
                .execute(c).await.map(drop))
        })
        .await?;
        self.commit(lease).await
    }

    /// Counts an event of a product.
    pub(crate) async fn count_event(&self, product_id: i64, event: &str, amount: i64) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO product_events (product_id, event, total) VALUES ($1, $2, $3) \
             ON CONFLICT (product_id, event) DO UPDATE SET total = product_events.total + excluded.total";
        let mut lease = self.write().await?;
        self.observe(Statement::UpsertProductEvent, async {
            on!(lease.session(), c => sqlx::query(SQL).bind(product_id).bind(event).bind(amount)
                .execute(c).await.map(drop))
        })
        .await?;
        self.commit(lease).await
    }

    /// Adds a line to the audit log.
    pub(crate) async fn audit(&self, actor: &str, action: &str, subject: &str, now_ms: i64) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO audit_log (actor, action, subject, at_ms) VALUES ($1, $2, $3, $4)";
        let mut lease = self.write().await?;
        self.observe(Statement::InsertAudit, async {
            on!(lease.session(), c => sqlx::query(SQL).bind(actor).bind(action).bind(subject).bind(now_ms)
                .execute(c).await.map(drop))
        })
        .await?;
        self.commit(lease).await
    }
}
