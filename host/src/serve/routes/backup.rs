//! `POST /v1/backup`: a copy of the ledger, made between two commits.

use axum::Json;
use axum::extract::State;

use crate::serve::body::Backup;
use crate::serve::extract::{Bearer, Body};
use crate::serve::host::Host;
use crate::serve::problem::Problem;

pub(super) async fn backup(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Body(backup): Body<Backup>,
) -> Result<Json<Backup>, Problem> {
    if !backup.file.is_absolute() {
        let found = backup.file.display();
        return Err(Problem::invalid(format!(
            "file: expected a path from the root, found {found}"
        )));
    }
    host.operator(token, ()).await?;
    host.writer.copy(backup.file.clone()).await?;
    tracing::info!("the ledger was copied to {}", backup.file.display());
    Ok(Json(backup))
}
