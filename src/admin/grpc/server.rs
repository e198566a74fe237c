//! The gRPC methods. Each finds the principal, converts its message to a command, calls the service and converts the
//! outcome.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use tonic::{Request, Response, Status, Streaming, transport::server::UdsConnectInfo};

use super::{
    api::{self, admin_server},
    keys, read,
};
use crate::admin::service::{ChangeCommand, Code, Error, OutcomeStream, Principal, Service};

/// Above the longest request head to explain (64 KiB).
const MAX_REQUEST_BYTES: usize = 80 * 1024;

/// The server to mount on the admin listener.
pub fn server(service: Arc<Service>) -> admin_server::AdminServer<Admin> {
    admin_server::AdminServer::new(Admin { service }).max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// Implements the proto over [`Service`].
pub struct Admin {
    service: Arc<Service>,
}

/// The principal and the message. Every handler gets its message from here, and so never without a principal.
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
            Code::FailedPrecondition => Self::failed_precondition(text),
            Code::Unavailable => Self::unavailable(text),
            Code::Corrupt => Self::data_loss(text),
        }
    }
}

/// The result of a method.
type Answer<M> = Result<Response<M>, Status>;

fn answer<M>(outcome: impl Into<M>) -> Answer<M> {
    Ok(Response::new(outcome.into()))
}

/// A stream of messages.
type Messages<M> = BoxStream<'static, Result<M, Status>>;

fn messages<T: 'static, M: From<T> + 'static>(outcomes: OutcomeStream<T>) -> Response<Messages<M>> {
    Response::new(outcomes.map(|outcome| outcome.map(M::from).map_err(Status::from)).boxed())
}

impl Admin {
    async fn change<T: Into<ChangeCommand>>(&self, request: Request<T>) -> Answer<api::ChangeResponse> {
        let (by, message) = open(request)?;
        answer(self.service.change(&by, message.into()).await?)
    }
}

#[tonic::async_trait]
impl admin_server::Admin for Admin {
    async fn list_keys(&self, request: Request<api::ListKeysRequest>) -> Answer<api::ListKeysResponse> {
        let (by, message) = open(request)?;
        answer(self.service.list_keys(&by, message.into()).await?)
    }

    async fn get_key(&self, request: Request<api::GetKeyRequest>) -> Answer<api::GetKeyResponse> {
        let (by, message) = open(request)?;
        answer(self.service.get_key(&by, read::key(message.key.unwrap_or_default())).await?)
    }

    async fn unbind(&self, request: Request<api::UnbindRequest>) -> Answer<api::ChangeResponse> {
        self.change(request).await
    }

    async fn ban(&self, request: Request<api::BanRequest>) -> Answer<api::ChangeResponse> {
        self.change(request).await
    }

    async fn unban(&self, request: Request<api::UnbanRequest>) -> Answer<api::ChangeResponse> {
        self.change(request).await
    }

    async fn set_networks(&self, request: Request<api::SetNetworksRequest>) -> Answer<api::ChangeResponse> {
        self.change(request).await
    }

    async fn claim_key(&self, request: Request<api::ClaimKeyRequest>) -> Answer<api::ChangeResponse> {
        self.change(request).await
    }

    async fn note(&self, request: Request<api::NoteRequest>) -> Answer<api::ChangeResponse> {
        self.change(request).await
    }

    async fn undo(&self, request: Request<api::UndoRequest>) -> Answer<api::ChangeResponse> {
        self.change(request).await
    }

    type PromoteStream = Messages<api::PromoteResponse>;

    async fn promote(&self, request: Request<api::PromoteRequest>) -> Answer<Self::PromoteStream> {
        let (by, message) = open(request)?;
        Ok(messages(self.service.promote(&by, message.dry_run)?))
    }

    type ExportKeysStream = Messages<api::ExportKeysResponse>;

    async fn export_keys(&self, request: Request<api::ExportKeysRequest>) -> Answer<Self::ExportKeysStream> {
        let (by, _) = open(request)?;
        let parts = self.service.export_keys(&by).await?.map_err(Status::from);
        let chunks = parts.map_ok(|part| stream::iter(keys::chunks(&part).into_iter().map(Ok)));
        Ok(Response::new(chunks.try_flatten().boxed()))
    }

    type ImportKeysStream = Messages<api::ImportKeysResponse>;

    async fn import_keys(&self, request: Request<Streaming<api::ImportKeysRequest>>) -> Answer<Self::ImportKeysStream> {
        let (by, chunks) = open(request)?;
        Ok(messages(self.service.import_keys(&by, chunks.map_ok(|message| message.chunk))?))
    }

    async fn list_audit(&self, request: Request<api::ListAuditRequest>) -> Answer<api::ListAuditResponse> {
        let (by, message) = open(request)?;
        answer(self.service.list_audit(&by, message.into()).await?)
    }

    type ExportAuditStream = Messages<api::AuditPage>;

    async fn export_audit(&self, request: Request<api::ExportAuditRequest>) -> Answer<Self::ExportAuditStream> {
        let (by, message) = open(request)?;
        Ok(messages(self.service.export_audit(&by, message.into()).await?))
    }

    type TailAuditStream = Messages<api::AuditPage>;

    async fn tail_audit(&self, request: Request<api::TailAuditRequest>) -> Answer<Self::TailAuditStream> {
        let (by, message) = open(request)?;
        Ok(messages(self.service.tail_audit(&by, message.into()).await?))
    }

    async fn get_status(&self, request: Request<api::GetStatusRequest>) -> Answer<api::GetStatusResponse> {
        let (by, _) = open(request)?;
        answer(self.service.status(&by).await?)
    }

    async fn list_peppers(&self, request: Request<api::ListPeppersRequest>) -> Answer<api::ListPeppersResponse> {
        let (by, _) = open(request)?;
        answer(self.service.list_peppers(&by).await?)
    }

    async fn activate_pepper(&self, request: Request<api::ActivatePepperRequest>) -> Answer<api::RotationResponse> {
        let (by, message) = open(request)?;
        answer(self.service.activate_pepper(&by, &message.id).await?)
    }

    async fn retire_pepper(&self, request: Request<api::RetirePepperRequest>) -> Answer<api::RotationResponse> {
        let (by, message) = open(request)?;
        answer(self.service.retire_pepper(&by, &message.id, message.forget).await?)
    }

    async fn explain(&self, request: Request<api::ExplainRequest>) -> Answer<api::ExplainResponse> {
        let (by, message) = open(request)?;
        answer(self.service.explain(&by, message.into()).await?)
    }

    async fn get_diagnosis(&self, request: Request<api::GetDiagnosisRequest>) -> Answer<api::GetDiagnosisResponse> {
        let (by, _) = open(request)?;
        answer(self.service.diagnosis(&by).await?)
    }
}
