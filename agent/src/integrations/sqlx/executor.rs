//! The executor that records what runs through it, and the pool as one; it knows a query's text, its outcome and how many
//! rows came, never what they hold.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream};
use parking_lot::Mutex;
use sqlx::error::BoxDynError;
use sqlx::{Database, Describe, Either, Error, Execute, Executor, SqlStr, Statement as _};

use super::{ObservedPool, Queries};
use crate::{Query, QueryError, QueryGuard};

/// An executor whose queries are recorded; see [`ObservedPool::observe`].
#[derive(Debug)]
pub struct Observed<E> {
    executor: E,
    queries: Arc<Queries>,
}

impl<E> Observed<E> {
    pub(super) fn new(executor: E, queries: Arc<Queries>) -> Self {
        Self { executor, queries }
    }
}

/// What a query yields one by one: a row, or the result of a statement.
type Step<DB> = Either<<DB as Database>::QueryResult, <DB as Database>::Row>;

/// A query whose text has been read. sqlx gives the text of an unprepared query only away with the query, so what runs
/// is put together again from its parts.
enum Read<Q, DB: Database> {
    Prepared(Q),
    Text { sql: SqlStr, arguments: Result<Option<DB::Arguments>, BoxDynError>, persistent: bool },
}

impl<'q, Q: Execute<'q, DB>, DB: Database> Read<Q, DB> {
    /// The query, and the handle for its text.
    fn new(mut query: Q, queries: &Queries) -> (Self, Query) {
        if let Some(statement) = query.statement() {
            let handle = queries.of_text(statement.sql().as_str());
            return (Self::Prepared(query), handle);
        }
        let (arguments, persistent) = (query.take_arguments(), query.persistent());
        let sql = query.sql();
        let handle = queries.of_text(sql.as_str());
        (Self::Text { sql, arguments, persistent }, handle)
    }
}

impl<'q, Q: Execute<'q, DB>, DB: Database> Execute<'q, DB> for Read<Q, DB> {
    fn sql(self) -> SqlStr {
        match self {
            Self::Prepared(query) => query.sql(),
            Self::Text { sql, .. } => sql,
        }
    }

    fn statement(&self) -> Option<&DB::Statement> {
        match self {
            Self::Prepared(query) => query.statement(),
            Self::Text { .. } => None,
        }
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, BoxDynError> {
        match self {
            Self::Prepared(query) => query.take_arguments(),
            Self::Text { arguments, .. } => std::mem::replace(arguments, Ok(None)),
        }
    }

    fn persistent(&self) -> bool {
        match self {
            Self::Prepared(query) => query.persistent(),
            Self::Text { persistent, .. } => *persistent,
        }
    }
}

/// Waits for `work` and says how it ended, with the rows that `rows` counts in its result.
async fn recorded<T>(
    query: Query,
    work: impl Future<Output = Result<T, Error>>,
    rows: impl FnOnce(&T) -> usize,
) -> Result<T, Error> {
    let running = query.start();
    let result = work.await;
    match &result {
        Ok(done) => running.ok(rows(done) as u64),
        Err(error) => running.failed(error.error_type()),
    }
    result
}

impl<'c, E: Executor<'c>> Executor<'c> for Observed<E> {
    type Database = E::Database;

    fn execute<'e, 'q: 'e, Q>(self, query: Q) -> BoxFuture<'e, Result<<Self::Database as Database>::QueryResult, Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, Self::Database>,
    {
        let (query, handle) = Read::new(query, &self.queries);
        Box::pin(recorded(handle, self.executor.execute(query), |_| 0))
    }

    fn fetch_many<'e, 'q: 'e, Q>(self, query: Q) -> BoxStream<'e, Result<Step<Self::Database>, Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, Self::Database>,
    {
        let (query, handle) = Read::new(query, &self.queries);
        let steps = self.executor.fetch_many(query);
        Box::pin(Rows { steps, state: Running::NotYet(handle), taken: 0 })
    }

    fn fetch_all<'e, 'q: 'e, Q>(self, query: Q) -> BoxFuture<'e, Result<Vec<<Self::Database as Database>::Row>, Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, Self::Database>,
    {
        let (query, handle) = Read::new(query, &self.queries);
        Box::pin(recorded(handle, self.executor.fetch_all(query), Vec::len))
    }

    fn fetch_optional<'e, 'q: 'e, Q>(
        self,
        query: Q,
    ) -> BoxFuture<'e, Result<Option<<Self::Database as Database>::Row>, Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, Self::Database>,
    {
        let (query, handle) = Read::new(query, &self.queries);
        Box::pin(recorded(handle, self.executor.fetch_optional(query), |row| usize::from(row.is_some())))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [<Self::Database as Database>::TypeInfo],
    ) -> BoxFuture<'e, Result<<Self::Database as Database>::Statement, Error>>
    where
        'c: 'e,
    {
        self.executor.prepare_with(sql, parameters)
    }

    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Self::Database>, Error>>
    where
        'c: 'e,
    {
        self.executor.describe(sql)
    }
}

/// A query whose rows are taken one by one: begins when first asked, ends with the last row or when dropped.
struct Rows<S> {
    steps: S,
    state: Running,
    taken: u64,
}

enum Running {
    NotYet(Query),
    Since(QueryGuard),
    Done,
}

impl<S> Rows<S> {
    fn end(&mut self, error_type: Option<&str>) {
        if let Running::Since(guard) = std::mem::replace(&mut self.state, Running::Done) {
            match error_type {
                None => guard.ok(self.taken),
                Some(error_type) => guard.failed(error_type),
            }
        }
    }
}

impl<S, A, R> Stream for Rows<S>
where
    S: Stream<Item = Result<Either<A, R>, Error>> + Unpin,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if let Running::NotYet(query) = &self.state {
            self.state = Running::Since(query.start());
        }
        let step = std::task::ready!(self.steps.poll_next_unpin(context));
        match &step {
            None => self.end(None),
            Some(Err(error)) => self.end(Some(error.error_type())),
            Some(Ok(Either::Right(_))) => self.taken += 1,
            Some(Ok(Either::Left(_))) => {}
        }
        Poll::Ready(step)
    }
}

impl<S> Drop for Rows<S> {
    fn drop(&mut self) {
        // who takes the first row and leaves has what it asked for; without any row the guard says cancelled
        if self.taken > 0 {
            self.end(None);
        }
    }
}

impl<'p, DB: Database> Executor<'p> for &'p ObservedPool<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    type Database = DB;

    fn execute<'e, 'q: 'e, Q>(self, query: Q) -> BoxFuture<'e, Result<DB::QueryResult, Error>>
    where
        'p: 'e,
        Q: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.observed().execute(query).await })
    }

    fn fetch_many<'e, 'q: 'e, Q>(self, query: Q) -> BoxStream<'e, Result<Step<DB>, Error>>
    where
        'p: 'e,
        Q: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        Box::pin(Handover::new(move |steps: Sender<Step<DB>>| async move {
            let mut connection = pool.acquire().await?;
            let mut rows = connection.observed().fetch_many(query);
            while let Some(step) = rows.next().await {
                steps.hand_over(step?).await;
            }
            Ok(())
        }))
    }

    fn fetch_all<'e, 'q: 'e, Q>(self, query: Q) -> BoxFuture<'e, Result<Vec<DB::Row>, Error>>
    where
        'p: 'e,
        Q: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.observed().fetch_all(query).await })
    }

    fn fetch_optional<'e, 'q: 'e, Q>(self, query: Q) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        'p: 'e,
        Q: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.observed().fetch_optional(query).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.observed().prepare_with(sql, parameters).await })
    }

    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<DB>, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.observed().describe(sql).await })
    }
}

/// A stream written as a future that hands items over one at a time: a stream of rows borrows its connection, and the
/// two must travel together.
struct Handover<T, F> {
    item: Arc<Mutex<Option<T>>>,
    work: Option<Pin<Box<F>>>,
}

/// The end of a [`Handover`] that its future holds.
struct Sender<T>(Arc<Mutex<Option<T>>>);

impl<T, F: Future<Output = Result<(), Error>>> Handover<T, F> {
    fn new(work: impl FnOnce(Sender<T>) -> F) -> Self {
        let item = Arc::new(Mutex::new(None));
        Self { work: Some(Box::pin(work(Sender(Arc::clone(&item))))), item }
    }
}

impl<T> Sender<T> {
    /// Gives `item` to whoever polls the stream; goes on when it is polled again.
    async fn hand_over(&self, item: T) {
        *self.0.lock() = Some(item);
        let mut handed_over = false;
        std::future::poll_fn(
            |_| if std::mem::replace(&mut handed_over, true) { Poll::Ready(()) } else { Poll::Pending },
        )
        .await;
    }
}

impl<T, F: Future<Output = Result<(), Error>>> Stream for Handover<T, F> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(work) = &mut self.work else {
            return Poll::Ready(None);
        };
        match work.as_mut().poll(context) {
            Poll::Ready(result) => {
                self.work = None;
                Poll::Ready(result.err().map(Err))
            }
            Poll::Pending => match self.item.lock().take() {
                Some(item) => Poll::Ready(Some(Ok(item))),
                None => Poll::Pending,
            },
        }
    }
}
