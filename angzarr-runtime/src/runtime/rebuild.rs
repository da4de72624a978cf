//! What is asked for with [`Runtime::rebuild`].
//!
//! In: the name of a projector, and how. Out: a rebuild in a task of its own. Never: the rebuild itself; that is
//! `reaction/rebuild.rs`.

use std::any::{Any, TypeId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Runtime;
use crate::command::detached;
use crate::declare::DeclaredProjector;
use crate::error::{Error, Result, nearest};
use crate::reaction::{Component, Order, RebuildProgress};
use crate::storage::BoxFuture;

/// A rebuild of a projector that is about to begin (row J3). From [`Runtime::rebuild`]. Await it.
#[must_use = "nothing is rebuilt before this is awaited"]
pub struct Rebuild {
    runtime: Runtime,
    projector: String,
    order: Order,
}

/// Gives the rebuild up that nobody waits for.
struct GiveUpOnDrop(Arc<AtomicBool>);

impl Drop for GiveUpOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Rebuild {
    pub(super) fn new(runtime: Runtime, projector: String) -> Self {
        Self { runtime, projector, order: Order::default() }
    }

    /// Is told how far it is, after each portion of up to 1,024 events. It must not block: the rebuild waits for it.
    pub fn progress(mut self, tell: impl Fn(RebuildProgress) + Send + Sync + 'static) -> Self {
        self.order.progress = Some(Box::new(tell));
        self
    }

    /// The handlers run on this instance instead, which writes to an empty place; at the end live events go to it. For
    /// projectors without a read model of the framework's, and for those whose read model cannot make a fresh one.
    ///
    /// From the switch on the program has to begin with the new place, after a restart too: the old one is not kept up to
    /// date.
    pub fn into_instance<P: DeclaredProjector + Send + Sync>(mut self, fresh: P) -> Self {
        let fresh: Arc<dyn Any + Send + Sync> = Arc::new(fresh);
        self.order.instance = Some((fresh, TypeId::of::<P>(), std::any::type_name::<P>()));
        self
    }

    async fn run(self) -> Result<RebuildProgress> {
        let Self { runtime, projector, order } = self;
        let inner = runtime.inner;
        let _in_flight = inner.core.begin()?;
        let subscription = inner.subscriptions.all.iter().find(
            |subscription| matches!(subscription.component(), Component::Projector(it) if it.name() == projector),
        );
        let Some(subscription) = subscription else {
            let known: Vec<_> = inner.core.registry.projectors.keys().copied().collect();
            return Err(unknown_projector(&projector, &known));
        };
        let Component::Projector(runner) = subscription.component() else {
            return Err(unknown_projector(&projector, &[]));
        };
        runner.rebuild(&inner.core, order, &|| subscription.position()).await
    }
}

/// Nothing of this program has that name.
fn unknown_projector(name: &str, known: &[&str]) -> Error {
    let near = nearest(name, known.iter().copied());
    let help = match (near.first(), known) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => "this program has none".to_owned(),
        (None, _) => format!("the projectors are: {}", known.join(", ")),
    };
    Error::invalid_argument("projector", format!("there is no projector `{name}`; {help}"))
}

impl IntoFuture for Rebuild {
    type Output = Result<RebuildProgress>;
    type IntoFuture = BoxFuture<'static, Result<RebuildProgress>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let _give_up = GiveUpOnDrop(self.order.given_up.clone());
            // A task of its own: a switch that has begun must not be left half done.
            detached(self.run()).await
        })
    }
}

impl std::fmt::Debug for Rebuild {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rebuild").field("projector", &self.projector).finish_non_exhaustive()
    }
}
