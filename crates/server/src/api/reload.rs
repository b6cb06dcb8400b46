//! `POST /reload`: reads the configuration file again; for this machine only.

use std::net::SocketAddr;

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{Api, json as answer, problem};
use crate::reload::Outcome;

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Peer {
    /// The same machine, whatever address the API listens on.
    fn is_here(self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

/// 200 with what changed; 403 for another machine; 409 without a file, or when an address cannot be had;
/// 422 with all faults of the file.
pub(super) async fn reload(State(api): State<Api>, Extension(peer): Extension<Peer>) -> Response {
    if !peer.is_here() {
        return problem(StatusCode::FORBIDDEN, "only for clients on this machine, by 127.0.0.1");
    }
    let Some(outcome) = api.reloads.reload().await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the process is stopping or handing over");
    };
    let status = match &*outcome {
        Outcome::Done { .. } => return answer(&outcome.as_json()),
        Outcome::Faulty(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Outcome::Failed(_) | Outcome::NoFile => StatusCode::CONFLICT,
    };
    (status, Json(outcome.as_json())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_each_of_its_loopback_addresses() {
        let is_here = |text: &str| Peer(text.parse().unwrap()).is_here();
        assert!(
            ["127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1"]
                .map(is_here)
                .iter()
                .all(|&it| it)
        );
        assert!(!["10.0.0.1:1", "[::ffff:10.0.0.1]:1", "[::]:1"].map(is_here).iter().any(|&it| it));
    }
}
