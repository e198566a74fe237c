//! The routes on which an upstream accepts a credential that its profile does not read, such as a password in a form.
//!
//! Sentinel judges the key in the carriers. On such a route the upstream authenticates by something else: LiteLLM takes
//! its master key as the password of a form. A client with any key of its own could use a stolen credential there, and
//! would mostly get a fresh key or session for it, which to Sentinel is a new one. So Envoy must not forward these routes.
//!
//! Routes that issue keys to the judged key are not listed (`/key/generate` of LiteLLM, `/v1/realtime/client_secrets`):
//! only the owner of that key can use them, and may.

/// Routes of one upstream.
#[derive(Clone, Copy, Debug)]
pub struct LoginRoutes {
    /// The paths. `*` at the end is one or more segments; elsewhere one.
    pub paths: &'static [&'static str],
    /// Repository, version and file.
    pub source: &'static str,
}

impl LoginRoutes {
    /// An upstream without such routes.
    pub(super) const NONE: Self = Self { paths: &[], source: "" };
}

/// LiteLLM's own OAuth servers (`/oauth/*`, `/token`, `/*/token`, `/v1/mcp/*oauth/*`) trade codes, refresh tokens and the
/// dashboard's cookie.
pub(super) const LITELLM: LoginRoutes = LoginRoutes {
    paths: &[
        "/login",
        "/v2/login",
        "/v3/login",
        "/v3/login/*",
        "/fallback/login",
        "/sso/*",
        "/onboarding/*",
        "/oauth/*",
        "/claude_code_gateway/oauth/*",
        "/token",
        "/*/token",
        "/v1/mcp/oauth/*",
        "/v1/mcp/server/oauth/*",
    ],
    source: "PyPI litellm 1.110.2, litellm/proxy: proxy_server.py login, login_v2, login_v3, onboarding, claim_onboarding_link; \
             auth/login_utils.py authenticate_user; management_endpoints/ui_sso.py; anthropic_endpoints/gateway_endpoints.py \
             oauth_token; mcp_server/discoverable_endpoints.py token_endpoint; mcp_server/byok_oauth_endpoints.py; \
             management_endpoints/mcp_management_endpoints.py _mcp_oauth_user_api_key_auth, which reads a cookie",
};

/// By password, passkey, another provider's login or the session's cookie; `/api/token` lists and creates keys.
/// `/api/usage/token` and `/api/log/token` read the judged key.
pub(super) const NEW_API: LoginRoutes = LoginRoutes {
    paths: &["/api/setup", "/api/user", "/api/user/*", "/api/oauth/*", "/api/auth/*", "/api/token", "/api/token/*"],
    source: "QuantumNous/new-api@002f912 router/api-router.go",
};

pub(super) const ONE_API: LoginRoutes = LoginRoutes {
    paths: &["/api/user", "/api/user/*", "/api/oauth/*", "/api/token", "/api/token/*"],
    source: "songquanpeng/one-api@0fb6b21 router/api.go; @053bb85 middleware/auth.go authHelper: the session's cookie first",
};

/// Each request inside a batch has headers and a query of its own.
pub(super) const GEMINI: LoginRoutes = LoginRoutes {
    paths: &["/batch", "/batch/*"],
    source: "Google's discovery documents: `batchPath` is `batch`; cloud.google.com/storage/docs/batch: an inner request may \
             have an Authorization header, which overrides the outer one",
};

/// OpenAI's is on another host, auth.openai.com.
pub(super) const ANTHROPIC: LoginRoutes = LoginRoutes {
    paths: &["/v1/oauth/token"],
    source: "PyPI anthropic 2.12.0 anthropic/lib/credentials/_constants.py TOKEN_ENDPOINT, _workload.py: a token of another \
             issuer, or a refresh token, for an access token",
};
