//! The admin API, as its proto says; but a change is waited for until it is in effect, which a busy server's own answer
//! does not.

pub(crate) use key_ip_sentinel::admin::api as proto;

use std::time::Duration;

use prost::Message;
use tokio::time::sleep;

use super::{grpc::Channel, within};

use proto::{
    ActivatePepperRequest, BanRequest, ChangeResponse, GetStatusRequest, GetStatusResponse, KeyReference,
    ListAuditRequest, ListAuditResponse, ListKeysRequest, ListKeysResponse, ListPeppersRequest, ListPeppersResponse,
    RotationResponse, UnbanRequest, UnbindRequest, key_reference::Reference, unbind_request::Mode,
};

/// gRPC's code and text.
pub(crate) type Refused = (u32, String);

#[derive(Clone)]
pub(crate) struct Admin(Channel);

impl Admin {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(channel)
    }

    /// Bans the key itself, for ever; it need not have been seen.
    pub(crate) async fn ban(&self, api_key: &str) -> Result<ChangeResponse, Refused> {
        self.ban_for(api_key, 0).await
    }

    /// The same for so many milliseconds.
    pub(crate) async fn ban_for(&self, api_key: &str, lasting_ms: i64) -> Result<ChangeResponse, Refused> {
        let request = BanRequest { key: by_key(api_key), lasting_ms, reason: "a test".to_owned(), until_ms: 0 };
        self.change("Ban", &request).await
    }

    pub(crate) async fn unban(&self, api_key: &str) -> Result<ChangeResponse, Refused> {
        self.change("Unban", &UnbanRequest { key: by_key(api_key) }).await
    }

    /// Without a mode the key is reserved.
    pub(crate) async fn unbind(&self, api_key: &str, mode: Option<Mode>) -> Result<ChangeResponse, Refused> {
        self.change("Unbind", &UnbindRequest { key: by_key(api_key), mode }).await
    }

    pub(crate) async fn keys(&self) -> Result<ListKeysResponse, Refused> {
        let request = ListKeysRequest { limit: 1000, ..Default::default() };
        self.0.unary("/sentinel.admin.v1.Admin/ListKeys", &request).await
    }

    pub(crate) async fn audit(&self, kind: &str) -> Result<ListAuditResponse, Refused> {
        let request = ListAuditRequest { kind: kind.to_owned(), limit: 1000, ..Default::default() };
        self.0.unary("/sentinel.admin.v1.Admin/ListAudit", &request).await
    }

    pub(crate) async fn peppers(&self) -> Result<ListPeppersResponse, Refused> {
        self.0.unary("/sentinel.admin.v1.Admin/ListPeppers", &ListPeppersRequest {}).await
    }

    pub(crate) async fn activate(&self, pepper: &str) -> Result<RotationResponse, Refused> {
        let request = ActivatePepperRequest { id: pepper.to_owned() };
        let done: RotationResponse = self.0.unary("/sentinel.admin.v1.Admin/ActivatePepper", &request).await?;
        let in_effect = done.in_effect || self.applies(done.revision).await;
        Ok(RotationResponse { in_effect, ..done })
    }

    pub(crate) async fn status(&self) -> Result<GetStatusResponse, Refused> {
        self.0.unary("/sentinel.admin.v1.Admin/GetStatus", &GetStatusRequest {}).await
    }

    async fn change(&self, method: &str, request: &impl Message) -> Result<ChangeResponse, Refused> {
        let done: ChangeResponse = self.0.unary(&format!("/sentinel.admin.v1.Admin/{method}"), request).await?;
        let in_effect = done.in_effect || self.applies(done.revision).await;
        Ok(ChangeResponse { in_effect, ..done })
    }

    /// Waits until this revision is in effect; false if the server goes before.
    pub(crate) async fn applies(&self, revision: i64) -> bool {
        let applied = async {
            loop {
                match self.status().await {
                    Ok(status) if status.applied_revision < revision => sleep(Duration::from_millis(5)).await,
                    answer => return answer.is_ok(),
                }
            }
        };
        within("the change is in effect", applied).await
    }
}

fn by_key(api_key: &str) -> Option<KeyReference> {
    Some(KeyReference { reference: Some(Reference::ApiKey(api_key.to_owned())), profile: String::new() })
}
