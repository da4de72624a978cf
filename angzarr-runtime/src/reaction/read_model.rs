//! Read models that keep a projector's checkpoint in the same transaction as its rows (row J1).
//!
//! In: a projector's field that is a database handle. Out: one transaction for a batch of events, begun when the first
//! handler asks for it, committed together with the checkpoint. Never: SQL of the user.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
use uuid::Uuid;

use crate::declare::{EventContext, ReactionError};
use crate::storage::BoxFuture;

/// Up to where a read model holds the events of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The store: [`Storage::id`](crate::storage::Storage::id).
    pub store: Uuid,
    /// The position in it.
    pub position: u64,
}

/// A database that a projector writes to and that can hold the projector's checkpoint.
///
/// A field of a projector whose type implements this is used without further ado: the handler writes through
/// [`EventContext::transaction`], and rows and checkpoint commit together, so that every event takes effect once.
///
/// Checkpoints have names: that of the projector, and one for each dead letter of it that was retried, so that a letter
/// takes effect once too. A failure to begin, to commit or to roll back is no fault of the event: the projector waits
/// until the database is back, and its status says so.
pub trait ReadModel: Send + Sync + 'static {
    /// An open transaction.
    type Transaction: Send + 'static;

    /// Whether the checkpoints are in a form that only earlier versions wrote. The runtime asks before it starts the
    /// projector, and refuses such a read model instead of guessing where it stands.
    fn is_of_earlier_version(&self) -> BoxFuture<'_, Result<bool, ReactionError>> {
        Box::pin(async { Ok(false) })
    }

    /// Whether each process has a read model of its own, as a file beside the program is. Then each process that shares a store
    /// runs the projector for itself; otherwise one of them does, for all (row R5).
    fn is_of_this_process(&self) -> bool {
        false
    }

    /// Begins a transaction.
    fn begin(&self) -> BoxFuture<'_, Result<Self::Transaction, ReactionError>>;

    /// The checkpoint that is committed under a name, if there is one.
    fn checkpoint<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>>;

    /// The checkpoint as an open transaction sees it. If somebody else moves it before the transaction commits, the commit fails:
    /// two processes that work on one read model never both commit behind the same place (row R5).
    fn checkpoint_in<'a>(
        &'a self,
        transaction: &'a mut Self::Transaction,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>>;

    /// Stores the checkpoint under its name in the transaction and commits it. A position of the same store never moves
    /// back.
    fn commit<'a>(
        &'a self,
        transaction: Self::Transaction,
        name: &'a str,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(), ReactionError>>;

    /// Undoes the transaction.
    fn rollback(&self, transaction: Self::Transaction) -> BoxFuture<'_, Result<(), ReactionError>>;

    /// Whether the other is a handle of this very database, as a clone is.
    fn is_same(&self, other: &Self) -> bool;

    /// Makes a fresh read model beside this one for a rebuild (row J3): empty, of the same schema. What a rebuild left
    /// behind whose process died is thrown away. The handlers' transactions are those of the fresh one then, through the
    /// same instance of the projector; live events go on into this one.
    ///
    /// # Errors
    /// This kind of read model cannot, or not for `projector`: the text says what to do.
    fn fresh<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Self, ReactionError>>
    where
        Self: Sized,
    {
        let text = format!(
            "this kind of read model cannot make a fresh one beside it: implement `ReadModel::fresh` and `take_over` for it, or \
             give the rebuild of `{projector}` an instance with an empty one by `.into_instance(…)`"
        );
        Box::pin(async move { Err(ReactionError::permanent(text)) })
    }

    /// Takes the whole content of `fresh` over, checkpoints included, in one step that happens or does not, whenever the
    /// process dies. Nothing of the old content remains, and nothing of `fresh` beside this one.
    ///
    /// # Errors
    /// It did not happen; the old content is untouched.
    fn take_over<'a>(&'a self, fresh: &'a Self) -> BoxFuture<'a, Result<(), ReactionError>> {
        let _ = fresh;
        Box::pin(async { Err(ReactionError::permanent("this kind of read model cannot take over another")) })
    }

    /// Throws away one that [`fresh`](Self::fresh) made: the rebuild failed.
    ///
    /// # Errors
    /// Something of it remains; the next `fresh` tries again.
    fn abandon(&self) -> BoxFuture<'_, Result<(), ReactionError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A [`ReadModel`] without its transaction's type. A *unit* is the work of one batch: a transaction, once somebody asked
/// for it.
pub trait ErasedReadModel: Send + Sync {
    /// A new unit; nothing is begun yet.
    fn unit(&self) -> Arc<dyn Any + Send + Sync>;
    /// See [`ReadModel::is_of_earlier_version`].
    fn is_of_earlier_version(&self) -> BoxFuture<'_, Result<bool, ReactionError>>;
    /// See [`ReadModel::checkpoint`].
    fn checkpoint<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>>;
    /// See [`ReadModel::is_of_this_process`].
    fn is_of_this_process(&self) -> bool;
    /// Commits the unit with the checkpoint, if the one before is still at `from`, where that is said. Fails where its
    /// transaction could not begin, whatever the handler made of that.
    fn commit<'a>(
        &'a self,
        unit: Arc<dyn Any + Send + Sync>,
        name: &'a str,
        from: Option<u64>,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(), ReactionError>>;
    /// Undoes the unit.
    fn rollback(&self, unit: Arc<dyn Any + Send + Sync>) -> BoxFuture<'_, Result<(), ReactionError>>;
    /// Why the unit's transaction could not begin, if it was tried and failed.
    fn failure(&self, unit: &(dyn Any + Send + Sync)) -> Option<String>;
    /// See [`ReadModel::fresh`]. Its units are lent to handlers in the name of this one.
    fn fresh<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Arc<dyn ErasedReadModel>, ReactionError>>;
    /// See [`ReadModel::take_over`].
    fn take_over(&self, fresh: Arc<dyn ErasedReadModel>) -> BoxFuture<'_, Result<(), ReactionError>>;
    /// See [`ReadModel::abandon`].
    fn abandon(&self) -> BoxFuture<'_, Result<(), ReactionError>>;
    /// The read model with its type.
    fn as_any(&self) -> &dyn Any;
}

/// Erases the type of a read model. Called by generated code.
#[doc(hidden)]
pub fn erase_read_model<R: ReadModel + Clone>(model: &R) -> Arc<dyn ErasedReadModel> {
    Arc::new(Erased { model: model.clone(), lent_as: model.clone() })
}

/// An open transaction, lent to a handler. Derefs to the transaction.
pub type OpenTransaction<T> = OwnedMappedMutexGuard<Option<T>, T>;

struct Erased<R> {
    model: R,
    /// The one that handlers know: another one during a rebuild.
    lent_as: R,
}

struct Unit<R: ReadModel> {
    model: R,
    lent_as: R,
    transaction: Arc<Mutex<Option<R::Transaction>>>,
    failure: parking_lot::Mutex<Option<String>>,
}

impl<R: ReadModel + Clone> Erased<R> {
    async fn take(unit: &(dyn Any + Send + Sync)) -> Result<Option<R::Transaction>, ReactionError> {
        match unit.downcast_ref::<Unit<R>>() {
            Some(unit) => Ok(unit.transaction.lock().await.take()),
            None => Err(ReactionError::permanent("the transaction belongs to another read model")),
        }
    }
}

impl<R: ReadModel + Clone> ErasedReadModel for Erased<R> {
    fn unit(&self) -> Arc<dyn Any + Send + Sync> {
        let (transaction, failure) = Default::default();
        Arc::new(Unit::<R> { model: self.model.clone(), lent_as: self.lent_as.clone(), transaction, failure })
    }

    fn is_of_earlier_version(&self) -> BoxFuture<'_, Result<bool, ReactionError>> {
        self.model.is_of_earlier_version()
    }

    fn checkpoint<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        self.model.checkpoint(name)
    }

    fn is_of_this_process(&self) -> bool {
        self.model.is_of_this_process()
    }

    fn commit<'a>(
        &'a self,
        unit: Arc<dyn Any + Send + Sync>,
        name: &'a str,
        from: Option<u64>,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            if let Some(failure) = self.failure(unit.as_ref()) {
                return Err(ReactionError::transient(failure));
            }
            let mut transaction = match Self::take(unit.as_ref()).await? {
                Some(transaction) => transaction,
                None => self.model.begin().await?,
            };
            if let Some(from) = from {
                let found = self.model.checkpoint_in(&mut transaction, name).await?;
                let found = found.filter(|it| it.store == checkpoint.store).map_or(0, |it| it.position);
                if found != from {
                    self.model.rollback(transaction).await?;
                    let message = format!("another process has brought this read model from {from} to {found}");
                    return Err(ReactionError::transient(message));
                }
            }
            self.model.commit(transaction, name, checkpoint).await
        })
    }

    fn rollback(&self, unit: Arc<dyn Any + Send + Sync>) -> BoxFuture<'_, Result<(), ReactionError>> {
        Box::pin(async move {
            match Self::take(unit.as_ref()).await? {
                Some(transaction) => self.model.rollback(transaction).await,
                None => Ok(()),
            }
        })
    }

    fn failure(&self, unit: &(dyn Any + Send + Sync)) -> Option<String> {
        unit.downcast_ref::<Unit<R>>().and_then(|unit| unit.failure.lock().clone())
    }

    fn fresh<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Arc<dyn ErasedReadModel>, ReactionError>> {
        Box::pin(async move {
            let fresh: Arc<dyn ErasedReadModel> =
                Arc::new(Self { model: self.model.fresh(projector).await?, lent_as: self.lent_as.clone() });
            Ok(fresh)
        })
    }

    fn take_over(&self, fresh: Arc<dyn ErasedReadModel>) -> BoxFuture<'_, Result<(), ReactionError>> {
        Box::pin(async move {
            match fresh.as_any().downcast_ref::<Self>() {
                Some(fresh) => self.model.take_over(&fresh.model).await,
                None => Err(ReactionError::permanent("the fresh read model is of another kind")),
            }
        })
    }

    fn abandon(&self) -> BoxFuture<'_, Result<(), ReactionError>> {
        self.model.abandon()
    }

    fn as_any(&self) -> &dyn Any {
        self
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
            if !unit.lent_as.is_same(model) {
                return Err(ReactionError::permanent(
                    "this is another read model than the projector's own: its rows would not commit with the checkpoint",
                ));
            }
            let mut slot = unit.transaction.clone().lock_owned().await;
            if slot.is_none() {
                // During a rebuild it is not the handler's own one.
                match unit.model.begin().await {
                    Ok(transaction) => *slot = Some(transaction),
                    Err(error) => {
                        *unit.failure.lock() = Some(error.message().to_owned());
                        return Err(error);
                    }
                }
            }
            OwnedMutexGuard::try_map(slot, Option::as_mut)
                .map_err(|_| ReactionError::transient("the transaction is gone"))
        })
    }
}
