//! The admin API over gRPC, on a unix socket whose file mode is the permission.

use std::sync::Arc;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, transport::server::UdsConnectInfo};

use super::{
    Operations,
    api::{self, admin_server},
    diagnosis, explain, export,
    follow::{self, Pages},
    import,
    operations::{lost, not_found},
    pepper, promote, request, response,
};
use crate::store::Change;

/// Above the longest request head to explain, far below what could hurt.
const MAX_REQUEST_BYTES: usize = 80 * 1024;

/// The service to mount on the admin listener.
pub fn service(operations: Operations) -> admin_server::AdminServer<Admin> {
    admin_server::AdminServer::new(Admin { operations: Arc::new(operations) })
        .max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// Implements the proto's service over [`Operations`].
pub struct Admin {
    operations: Arc<Operations>,
}

/// Who asks, and what. No handler gets at its message without having named the peer.
fn open<T>(request: Request<T>) -> Result<(String, T), Status> {
    let credentials = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
    let Some(credentials) = credentials else {
        return Err(Status::unauthenticated("the peer of this connection is unknown; use the admin unix socket"));
    };
    Ok((format!("uid:{}", credentials.uid()), request.into_inner()))
}

#[tonic::async_trait]
impl admin_server::Admin for Admin {
    async fn list_keys(
        &self,
        request: Request<api::ListKeysRequest>,
    ) -> Result<Response<api::ListKeysResponse>, Status> {
        let (_, message) = open(request)?;
        let query = request::keys(&message)?;
        let now = self.operations.now()?;
        let rows = self.operations.store.list(query).await.map_err(lost)?;
        let keys = rows.iter().map(|row| response::key(row, now)).collect();
        Ok(Response::new(api::ListKeysResponse { keys, now_ms: now.as_millis() }))
    }

    async fn get_key(&self, request: Request<api::GetKeyRequest>) -> Result<Response<api::GetKeyResponse>, Status> {
        let (_, message) = open(request)?;
        let target = request::target(&self.operations, message.key)?;
        let now = self.operations.now()?;
        let row = self.operations.store.find(target).await.map_err(not_found)?;
        Ok(Response::new(api::GetKeyResponse {
            key: Some(response::key(&row, now)),
            now_ms: now.as_millis(),
            refused: row.refused.iter().map(response::refused).collect(),
        }))
    }

    async fn unbind(&self, request: Request<api::UnbindRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        let (actor, message) = open(request)?;
        let change = request::unbind(&self.operations, message)?;
        self.change(change, actor).await
    }

    async fn ban(&self, request: Request<api::BanRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        let (actor, message) = open(request)?;
        let now = self.operations.now()?;
        let change = request::ban(&self.operations, message, now)?;
        let changed = self.operations.change_at(change, actor, now).await?;
        Ok(Response::new(response::change(changed)))
    }

    async fn unban(&self, request: Request<api::UnbanRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        let (actor, message) = open(request)?;
        let change = request::unban(&self.operations, message)?;
        self.change(change, actor).await
    }

    async fn set_networks(
        &self,
        request: Request<api::SetNetworksRequest>,
    ) -> Result<Response<api::ChangeResponse>, Status> {
        let (actor, message) = open(request)?;
        let change = request::set(&self.operations, message)?;
        self.change(change, actor).await
    }

    async fn claim_key(&self, request: Request<api::ClaimKeyRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        let (actor, message) = open(request)?;
        let change = request::claim(&self.operations, message)?;
        self.change(change, actor).await
    }

    async fn note(&self, request: Request<api::NoteRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        let (actor, message) = open(request)?;
        let change = request::note(&self.operations, message)?;
        self.change(change, actor).await
    }

    type PromoteStream = ReceiverStream<Result<api::PromoteResponse, Status>>;

    async fn promote(&self, request: Request<api::PromoteRequest>) -> Result<Response<Self::PromoteStream>, Status> {
        let (actor, message) = open(request)?;
        Ok(Response::new(promote::promote(&self.operations, actor, message.dry_run)?))
    }

    type ExportKeysStream = export::Chunks;

    async fn export_keys(&self, request: Request<api::ExportKeysRequest>) -> Result<Response<export::Chunks>, Status> {
        open(request)?;
        Ok(Response::new(export::export(Arc::clone(&self.operations)).await?))
    }

    type ImportKeysStream = ReceiverStream<Result<api::ImportKeysResponse, Status>>;

    async fn import_keys(
        &self,
        request: Request<Streaming<api::ImportKeysRequest>>,
    ) -> Result<Response<Self::ImportKeysStream>, Status> {
        let (actor, chunks) = open(request)?;
        Ok(Response::new(import::import(Arc::clone(&self.operations), actor, chunks)))
    }

    async fn undo(&self, request: Request<api::UndoRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        let (actor, message) = open(request)?;
        let change = request::undo(&message)?;
        self.change(change, actor).await
    }

    async fn list_audit(
        &self,
        request: Request<api::ListAuditRequest>,
    ) -> Result<Response<api::ListAuditResponse>, Status> {
        let (_, message) = open(request)?;
        let now = self.operations.now()?;
        let query = request::audit(&self.operations, message, now)?;
        let records = self.operations.store.audit(query).await.map_err(lost)?;
        let records = records.into_iter().map(response::record).collect();
        Ok(Response::new(api::ListAuditResponse { records, now_ms: now.as_millis() }))
    }

    type ExportAuditStream = Pages;

    async fn export_audit(&self, request: Request<api::ExportAuditRequest>) -> Result<Response<Pages>, Status> {
        let (_, message) = open(request)?;
        let query = request::export(&self.operations, message, self.operations.now()?)?;
        Ok(Response::new(follow::export(Arc::clone(&self.operations), query).await?))
    }

    type TailAuditStream = Pages;

    async fn tail_audit(&self, request: Request<api::TailAuditRequest>) -> Result<Response<Pages>, Status> {
        let (_, message) = open(request)?;
        let query = request::tail(&self.operations, message)?;
        Ok(Response::new(follow::tail(Arc::clone(&self.operations), query).await?))
    }

    async fn get_status(
        &self,
        request: Request<api::GetStatusRequest>,
    ) -> Result<Response<api::GetStatusResponse>, Status> {
        open(request)?;
        let counts = self.operations.store.counts().await.map_err(lost).ok();
        Ok(Response::new(response::status(&self.operations, counts.as_ref())))
    }

    async fn list_peppers(
        &self,
        request: Request<api::ListPeppersRequest>,
    ) -> Result<Response<api::ListPeppersResponse>, Status> {
        open(request)?;
        Ok(Response::new(pepper::list(&self.operations).await?))
    }

    async fn activate_pepper(
        &self,
        request: Request<api::ActivatePepperRequest>,
    ) -> Result<Response<api::RotationResponse>, Status> {
        let (actor, message) = open(request)?;
        Ok(Response::new(pepper::activate(&self.operations, message, actor).await?))
    }

    async fn retire_pepper(
        &self,
        request: Request<api::RetirePepperRequest>,
    ) -> Result<Response<api::RotationResponse>, Status> {
        let (actor, message) = open(request)?;
        Ok(Response::new(pepper::retire(&self.operations, message, actor).await?))
    }

    async fn explain(&self, request: Request<api::ExplainRequest>) -> Result<Response<api::ExplainResponse>, Status> {
        let (_, message) = open(request)?;
        Ok(Response::new(explain::explain(&self.operations, message).await?))
    }

    async fn get_diagnosis(
        &self,
        request: Request<api::GetDiagnosisRequest>,
    ) -> Result<Response<api::GetDiagnosisResponse>, Status> {
        open(request)?;
        Ok(Response::new(diagnosis::diagnosis(&self.operations).await?))
    }
}

impl Admin {
    async fn change(&self, change: Change, actor: String) -> Result<Response<api::ChangeResponse>, Status> {
        Ok(Response::new(response::change(self.operations.change(change, actor).await?)))
    }
}
