//! The closed set of statements the shop runs, each with the summary it is observed under.

/// One statement of the repository. The summary is what an engineer reads in the queries view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Is the database there?
    Ping,
    /// How many rows the main tables hold.
    Totals,
    /// One page of products.
    ProductsPage,
    /// Full-text search.
    ProductsSearch,
    /// One product by its key.
    ProductById,
    /// The stock of one product, never cached.
    ProductStock,
    /// The vendor of one product: what the N+1 fault asks once per row.
    VendorOfProduct,
    /// How often one product was sold: what the N+1 fault asks once per row.
    SoldOfProduct,
    /// A price change.
    UpdatePrice,
    /// A user's cart with current prices.
    CartLines,
    /// Put into the cart.
    UpsertCart,
    /// Take out of the cart.
    DeleteCart,
    /// Take stock for an order.
    TakeStock,
    /// The order row.
    InsertOrder,
    /// The lines of an order.
    InsertOrderLines,
    /// Empty the cart after ordering.
    ClearCart,
    /// The end of a write transaction.
    Commit,
    /// Paid, or payment put off.
    UpdateOrderStatus,
    /// A page of a user's orders.
    OrdersPage,
    /// One order.
    OrderById,
    /// The lines of one order.
    OrderLines,
    /// How a customer is reached.
    UserContact,
    /// A vendor's revenue and orders.
    VendorTotals,
    /// A vendor's best sellers.
    VendorTopProducts,
    /// A message that was sent.
    InsertMessage,
    /// A counted product event.
    UpsertProductEvent,
    /// A vendor's stored report.
    UpsertVendorReport,
    /// A line of the audit log.
    InsertAudit,
}

impl Statement {
    /// Every statement, in the order of [`Statement::index`].
    pub(crate) const ALL: [Self; 28] = [
        Self::Ping,
        Self::Totals,
        Self::ProductsPage,
        Self::ProductsSearch,
        Self::ProductById,
        Self::ProductStock,
        Self::VendorOfProduct,
        Self::SoldOfProduct,
        Self::UpdatePrice,
        Self::CartLines,
        Self::UpsertCart,
        Self::DeleteCart,
        Self::TakeStock,
        Self::InsertOrder,
        Self::InsertOrderLines,
        Self::ClearCart,
        Self::Commit,
        Self::UpdateOrderStatus,
        Self::OrdersPage,
        Self::OrderById,
        Self::OrderLines,
        Self::UserContact,
        Self::VendorTotals,
        Self::VendorTopProducts,
        Self::InsertMessage,
        Self::UpsertProductEvent,
        Self::UpsertVendorReport,
        Self::InsertAudit,
    ];

    /// Position in [`Statement::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The low-cardinality text the statement is observed under (`db.query.summary`).
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Ping => "SELECT 1",
            Self::Totals => "SELECT totals",
            Self::ProductsPage => "SELECT products page",
            Self::ProductsSearch => "SELECT products search",
            Self::ProductById => "SELECT products by id",
            Self::ProductStock => "SELECT products stock",
            Self::VendorOfProduct => "SELECT vendors by product",
            Self::SoldOfProduct => "SELECT order_items by product",
            Self::UpdatePrice => "UPDATE products price",
            Self::CartLines => "SELECT cart_items by user",
            Self::UpsertCart => "INSERT cart_items",
            Self::DeleteCart => "DELETE cart_items by product",
            Self::TakeStock => "UPDATE products stock",
            Self::InsertOrder => "INSERT orders",
            Self::InsertOrderLines => "INSERT order_items",
            Self::ClearCart => "DELETE cart_items by user",
            Self::Commit => "COMMIT",
            Self::UpdateOrderStatus => "UPDATE orders status",
            Self::OrdersPage => "SELECT orders by user",
            Self::OrderById => "SELECT orders by id",
            Self::OrderLines => "SELECT order_items by order",
            Self::UserContact => "SELECT users by id",
            Self::VendorTotals => "SELECT vendor totals",
            Self::VendorTopProducts => "SELECT vendor best sellers",
            Self::InsertMessage => "INSERT messages",
            Self::UpsertProductEvent => "INSERT product_events",
            Self::UpsertVendorReport => "INSERT vendor_reports",
            Self::InsertAudit => "INSERT audit_log",
        }
    }

    /// Whether the slow-query fault reaches it: the reads by user, as if their index were lost.
    pub(crate) fn slowed_by_fault(self) -> bool {
        matches!(self, Self::CartLines | Self::OrdersPage)
    }
}

#[cfg(test)]
mod tests {
    use super::Statement;

    #[test]
    fn all_lists_every_statement_at_its_index() {
        for (position, statement) in Statement::ALL.into_iter().enumerate() {
            assert_eq!(statement.index(), position, "{statement:?}");
        }
    }

    #[test]
    fn no_two_statements_share_a_summary() {
        let mut summaries: Vec<_> = Statement::ALL.iter().map(|s| s.summary()).collect();
        summaries.sort_unstable();
        summaries.dedup();
        assert_eq!(summaries.len(), Statement::ALL.len());
    }
}
