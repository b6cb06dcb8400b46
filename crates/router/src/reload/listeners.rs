//! What a reload makes of the listeners: which go on, which come, which go.

use std::{io, sync::Arc};

use super::ReloadError;
use crate::{
    listen::{
        Listener,
        bind::{BindError, BoundListener, bind},
    },
    plan::ListenerPlan,
    shared::Shared,
};

/// What becomes of the listeners.
pub(super) struct Listeners {
    /// For each one of the new plan: the one that goes on as it.
    places: Vec<Option<Arc<Listener>>>,
    added: Vec<ListenerPlan>,
    pub(super) removed: Vec<Arc<Listener>>,
}

impl Listeners {
    /// A listener goes on if protocol and address are asked for again, to the letter.
    pub(super) fn between(before: &[Arc<Listener>], plans: &[ListenerPlan]) -> Self {
        let mut removed = before.to_vec();
        let mut take = |plan: &ListenerPlan| {
            let same = |listener: &Arc<Listener>| listener.plan.is_same_place(plan);
            removed.iter().position(same).map(|at| removed.remove(at))
        };
        let places: Vec<_> = plans.iter().map(&mut take).collect();
        let new = plans.iter().zip(&places).filter(|(_, place)| place.is_none());
        let added = new.map(|(plan, _)| plan.clone()).collect();
        Self { places, added, removed }
    }

    /// Opens the sockets of the new ones, in their order.
    pub(super) async fn bind(
        &self,
        shared: &Arc<Shared>,
        shards: usize,
    ) -> Result<Vec<BoundListener>, ReloadError> {
        if self.added.is_empty() {
            return Ok(Vec::new());
        }
        let (added, registry) = (self.added.clone(), shared.registry.clone());
        let bind_all = move || -> Result<Vec<_>, BindError> {
            added.iter().map(|plan| bind(plan, shards, &registry)).collect()
        };
        let bound = tokio::task::spawn_blocking(bind_all).await;
        let bound = bound.map_err(|error| ReloadError::Interrupted(error.to_string()))?;
        bound.map_err(|cause| ReloadError::Bind { hint: self.hint(&cause), cause })
    }

    /// Those in the order of the plan: the ones that go on, and new ones in the gaps.
    pub(super) fn in_force(&self, bound: &[BoundListener]) -> Vec<Arc<Listener>> {
        let mut new = bound.iter().map(|bound| Arc::clone(&bound.listener));
        self.places.iter().filter_map(|place| place.clone().or_else(|| new.next())).collect()
    }

    /// An address in use may be that of a listener which goes.
    fn hint(&self, cause: &BindError) -> &'static str {
        let in_use = |address: &std::net::SocketAddr, cause: &io::Error| {
            let goes = |listener: &Arc<Listener>| listener.address.port() == address.port();
            cause.kind() == io::ErrorKind::AddrInUse && self.removed.iter().any(goes)
        };
        match cause {
            BindError::Bind { address, cause, .. } if in_use(address, cause) => {
                "; if it is the listener that is to go, take that out by a reload of its own first"
            }
            BindError::Bind { .. }
            | BindError::Resolve { .. }
            | BindError::Handed { .. }
            | BindError::Spool(_) => "",
        }
    }
}
