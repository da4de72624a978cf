//! Read models that keep a projector's checkpoint in the same transaction as its rows (row J1).
//!
//! In: a projector's field that is a database handle. Out: one transaction for a batch of events, begun when the first
//! handler asks for it, committed together with the checkpoint. Never: SQL of the user.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};

use crate::declare::{EventContext, ReactionError};
use crate::storage::BoxFuture;

/// A database that a projector writes to and that can hold the projector's checkpoint.
///
/// A field of a projector whose type implements this is used without further ado: the handler writes through
/// [`EventContext::transaction`], and rows and checkpoint commit together, so that every event takes effect once.
pub trait ReadModel: Send + Sync + 'static {
    /// An open transaction.
    type Transaction: Send + 'static;

    /// Begins a transaction.
    fn begin(&self) -> BoxFuture<'_, Result<Self::Transaction, ReactionError>>;

    /// The stored checkpoint of a projector; `None` for one that never stored any.
    fn checkpoint<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Option<u64>, ReactionError>>;

    /// Stores the checkpoint in the transaction and commits it.
    fn commit<'a>(
        &'a self,
        transaction: Self::Transaction,
        projector: &'a str,
        position: u64,
    ) -> BoxFuture<'a, Result<(), ReactionError>>;

    /// Undoes the transaction.
    fn rollback(&self, transaction: Self::Transaction) -> BoxFuture<'_, Result<(), ReactionError>>;
}

/// A [`ReadModel`] without its transaction's type. A *unit* is the work of one batch: a transaction, once somebody asked
/// for it.
pub trait ErasedReadModel: Send + Sync {
    /// A new unit; nothing is begun yet.
    fn unit(&self) -> Arc<dyn Any + Send + Sync>;
    /// See [`ReadModel::checkpoint`].
    fn checkpoint<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Option<u64>, ReactionError>>;
    /// Commits the unit with the checkpoint.
    fn commit<'a>(
        &'a self,
        unit: Arc<dyn Any + Send + Sync>,
        projector: &'a str,
        position: u64,
    ) -> BoxFuture<'a, Result<(), ReactionError>>;
    /// Undoes the unit.
    fn rollback(&self, unit: Arc<dyn Any + Send + Sync>) -> BoxFuture<'_, Result<(), ReactionError>>;
}

/// Erases the type of a read model. Called by generated code.
#[doc(hidden)]
pub fn erase_read_model<R: ReadModel + Clone>(model: &R) -> Arc<dyn ErasedReadModel> {
    Arc::new(Erased { model: model.clone() })
}

/// An open transaction, lent to a handler. Derefs to the transaction.
pub type OpenTransaction<T> = OwnedMappedMutexGuard<Option<T>, T>;

struct Erased<R> {
    model: R,
}

struct Unit<R: ReadModel> {
    transaction: Arc<Mutex<Option<R::Transaction>>>,
}

impl<R: ReadModel + Clone> Erased<R> {
    async fn take(unit: Arc<dyn Any + Send + Sync>) -> Result<Option<R::Transaction>, ReactionError> {
        match unit.downcast::<Unit<R>>() {
            Ok(unit) => Ok(unit.transaction.lock().await.take()),
            Err(_) => Err(ReactionError::permanent("the transaction belongs to another read model")),
        }
    }
}

impl<R: ReadModel + Clone> ErasedReadModel for Erased<R> {
    fn unit(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(Unit::<R> { transaction: Arc::default() })
    }

    fn checkpoint<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Option<u64>, ReactionError>> {
        self.model.checkpoint(projector)
    }

    fn commit<'a>(
        &'a self,
        unit: Arc<dyn Any + Send + Sync>,
        projector: &'a str,
        position: u64,
    ) -> BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            let transaction = match Self::take(unit).await? {
                Some(transaction) => transaction,
                None => self.model.begin().await?,
            };
            self.model.commit(transaction, projector, position).await
        })
    }

    fn rollback(&self, unit: Arc<dyn Any + Send + Sync>) -> BoxFuture<'_, Result<(), ReactionError>> {
        Box::pin(async move {
            match Self::take(unit).await? {
                Some(transaction) => self.model.rollback(transaction).await,
                None => Ok(()),
            }
        })
    }
}

impl EventContext {
    /// The transaction of the projector's read model, begun at the first call. What is written through it is committed
    /// together with the checkpoint (row J1), so that a crash neither loses nor doubles it; if the handler fails, it is
    /// rolled back.
    ///
    /// Only through this transaction may a handler write to the read model: a second connection to the same SQLite file
    /// would wait for it in vain.
    ///
    /// # Errors
    /// The database cannot begin, or `model` is not the read model that this projector holds.
    // A box and an owned guard, because the compiler cannot prove through borrowed ones that a handler's future is `Send`.
    pub fn transaction<'a, R: ReadModel>(
        &'a self,
        model: &'a R,
    ) -> BoxFuture<'a, Result<OpenTransaction<R::Transaction>, ReactionError>> {
        Box::pin(async move {
            let unit = self.transaction.as_ref().and_then(|unit| unit.downcast_ref::<Unit<R>>()).ok_or_else(|| {
                ReactionError::permanent(
                    "this event is handled without a read model: the projector needs exactly one field that is one",
                )
            })?;
            let mut slot = unit.transaction.clone().lock_owned().await;
            if slot.is_none() {
                *slot = Some(model.begin().await?);
            }
            OwnedMutexGuard::try_map(slot, Option::as_mut)
                .map_err(|_| ReactionError::transient("the transaction is gone"))
        })
    }
}
