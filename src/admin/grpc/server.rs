//! The methods of the proto: each names who asks, reads its message into a command of the service, and writes what that
//! answers.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use tonic::{Request, Response, Status, Streaming, transport::server::UdsConnectInfo};

use super::{
    api::{self, admin_server},
    keys, read,
};
use crate::admin::service::{ChangeCommand, Code, Error, Parts, Principal, RotationCommand, Service};

/// Above the longest request head to explain, far below what could hurt.
const MAX_REQUEST_BYTES: usize = 80 * 1024;

/// The server to mount on the admin listener.
pub fn server(service: Arc<Service>) -> admin_server::AdminServer<Admin> {
    admin_server::AdminServer::new(Admin { service }).max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// Implements the proto over [`Service`].
pub struct Admin {
    service: Arc<Service>,
}

/// Who asks, and what. No handler gets at its message without having named the peer.
fn open<T>(request: Request<T>) -> Result<(Principal, T), Status> {
    let credentials = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
    let Some(credentials) = credentials else {
        return Err(Status::unauthenticated("the peer of this connection is unknown; use the admin unix socket"));
    };
    Ok((Principal::Peer { uid: credentials.uid() }, request.into_inner()))
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error.code() {
            Code::Invalid => Self::invalid_argument(text),
            Code::Forbidden => Self::permission_denied(text),
            Code::NotFound => Self::not_found(text),
            Code::Refused => Self::failed_precondition(text),
            Code::Unavailable => Self::unavailable(text),
            Code::Corrupt => Self::data_loss(text),
        }
    }
}

fn answer<M>(outcome: impl Into<M>) -> Result<Response<M>, Status> {
    Ok(Response::new(outcome.into()))
}

/// The messages of an answer that is a stream.
type Messages<M> = BoxStream<'static, Result<M, Status>>;

fn messages<T: 'static, M: From<T> + 'static>(parts: Parts<T>) -> Response<Messages<M>> {
    Response::new(parts.map(|part| part.map(M::from).map_err(Status::from)).boxed())
}

impl Admin {
    async fn change<T: Into<ChangeCommand>>(
        &self,
        request: Request<T>,
    ) -> Result<Response<api::ChangeResponse>, Status> {
        let (by, message) = open(request)?;
        answer(self.service.change(&by, message.into()).await?)
    }

    async fn rotate<T: Into<RotationCommand>>(
        &self,
        request: Request<T>,
    ) -> Result<Response<api::RotationResponse>, Status> {
        let (by, message) = open(request)?;
        answer(self.service.rotate(&by, message.into()).await?)
    }
}

#[tonic::async_trait]
impl admin_server::Admin for Admin {
    async fn list_keys(
        &self,
        request: Request<api::ListKeysRequest>,
    ) -> Result<Response<api::ListKeysResponse>, Status> {
        let (by, message) = open(request)?;
        answer(self.service.list_keys(&by, message.into()).await?)
    }

    async fn get_key(&self, request: Request<api::GetKeyRequest>) -> Result<Response<api::GetKeyResponse>, Status> {
        let (by, message) = open(request)?;
        answer(self.service.get_key(&by, read::key(message.key)).await?)
    }

    async fn unbind(&self, request: Request<api::UnbindRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        self.change(request).await
    }

    async fn ban(&self, request: Request<api::BanRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        self.change(request).await
    }

    async fn unban(&self, request: Request<api::UnbanRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        self.change(request).await
    }

    async fn set_networks(
        &self,
        request: Request<api::SetNetworksRequest>,
    ) -> Result<Response<api::ChangeResponse>, Status> {
        self.change(request).await
    }

    async fn claim_key(&self, request: Request<api::ClaimKeyRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        self.change(request).await
    }

    async fn note(&self, request: Request<api::NoteRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        self.change(request).await
    }

    async fn undo(&self, request: Request<api::UndoRequest>) -> Result<Response<api::ChangeResponse>, Status> {
        self.change(request).await
    }

    type PromoteStream = Messages<api::PromoteResponse>;

    async fn promote(&self, request: Request<api::PromoteRequest>) -> Result<Response<Self::PromoteStream>, Status> {
        let (by, message) = open(request)?;
        Ok(messages(self.service.promote(&by, message.dry_run)?))
    }

    type ExportKeysStream = Messages<api::ExportKeysResponse>;

    async fn export_keys(
        &self,
        request: Request<api::ExportKeysRequest>,
    ) -> Result<Response<Self::ExportKeysStream>, Status> {
        let (by, _) = open(request)?;
        let parts = self.service.export_keys(&by).await?.map_err(Status::from);
        let chunks = parts.map_ok(|part| stream::iter(keys::chunks(&part).into_iter().map(Ok)));
        Ok(Response::new(chunks.try_flatten().boxed()))
    }

    type ImportKeysStream = Messages<api::ImportKeysResponse>;

    async fn import_keys(
        &self,
        request: Request<Streaming<api::ImportKeysRequest>>,
    ) -> Result<Response<Self::ImportKeysStream>, Status> {
        let (by, chunks) = open(request)?;
        Ok(messages(self.service.import_keys(&by, chunks.map_ok(|message| message.chunk))?))
    }

    async fn list_audit(
        &self,
        request: Request<api::ListAuditRequest>,
    ) -> Result<Response<api::ListAuditResponse>, Status> {
        let (by, message) = open(request)?;
        answer(self.service.list_audit(&by, message.into()).await?)
    }

    type ExportAuditStream = Messages<api::AuditPage>;

    async fn export_audit(
        &self,
        request: Request<api::ExportAuditRequest>,
    ) -> Result<Response<Self::ExportAuditStream>, Status> {
        let (by, message) = open(request)?;
        Ok(messages(self.service.export_audit(&by, message.into()).await?))
    }

    type TailAuditStream = Messages<api::AuditPage>;

    async fn tail_audit(
        &self,
        request: Request<api::TailAuditRequest>,
    ) -> Result<Response<Self::TailAuditStream>, Status> {
        let (by, message) = open(request)?;
        Ok(messages(self.service.tail_audit(&by, message.into()).await?))
    }

    async fn get_status(
        &self,
        request: Request<api::GetStatusRequest>,
    ) -> Result<Response<api::GetStatusResponse>, Status> {
        let (by, _) = open(request)?;
        answer(self.service.status(&by).await?)
    }

    async fn list_peppers(
        &self,
        request: Request<api::ListPeppersRequest>,
    ) -> Result<Response<api::ListPeppersResponse>, Status> {
        let (by, _) = open(request)?;
        answer(self.service.list_peppers(&by).await?)
    }

    async fn activate_pepper(
        &self,
        request: Request<api::ActivatePepperRequest>,
    ) -> Result<Response<api::RotationResponse>, Status> {
        self.rotate(request).await
    }

    async fn retire_pepper(
        &self,
        request: Request<api::RetirePepperRequest>,
    ) -> Result<Response<api::RotationResponse>, Status> {
        self.rotate(request).await
    }

    async fn explain(&self, request: Request<api::ExplainRequest>) -> Result<Response<api::ExplainResponse>, Status> {
        let (by, message) = open(request)?;
        answer(self.service.explain(&by, message.into()).await?)
    }

    async fn get_diagnosis(
        &self,
        request: Request<api::GetDiagnosisRequest>,
    ) -> Result<Response<api::GetDiagnosisResponse>, Status> {
        let (by, _) = open(request)?;
        answer(self.service.diagnosis(&by).await?)
    }
}
