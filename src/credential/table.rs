//! The built-in profiles.
//!
//! A profile may accept less than its upstream (the text is denied and never becomes a second name), and may read a
//! carrier that its upstream does not. It must never miss a carrier that its upstream reads. `Sec-WebSocket-Protocol`
//! and the query reach the upstream unchanged, so each profile reads the former, and all parameters that its upstream
//! reads.
//!
//! These upstreams change at most the case of a parameter's name: gin (new-api) and Starlette (litellm) compare it
//! exactly, and Google's and Azure's names are documented, of which Azure's, on .NET, ignore case. So `?key[]=` is
//! another parameter to them, not a lookalike. Sources are cited as `repository@commit file`, and were read at that
//! commit.

use super::{
    Alphabet, Canonicalisation, Carrier, Dialect, Form, Format, Grammar, Place, Profile, Unmarked, login,
    passthrough::Ignored,
};
use crate::domain::MAX_KEY;

const ONE_API: &str = "songquanpeng/one-api@8df4a26 middleware/auth.go TokenAuth: Authorization less `Bearer `, less \
    `sk-`, up to the first `-`; what follows is a channel; no other carrier is read";
const ONE_API_KEY: &str = "songquanpeng/one-api@8df4a26 common/random/main.go GenerateKey: 48 letters and digits; \
    model/cache.go CacheGetTokenByKey: `key` = ?, which ignores case on MySQL's default collation";
const NEW_API: &str = "QuantumNous/new-api@040b46a middleware/auth.go TokenAuth";
const NEW_API_SOCKET: &str = "QuantumNous/new-api@691a804 middleware/auth.go TokenAuth: Authorization becomes `Bearer ` \
    and the first entry that begins with the mark, or, without one, the whole first line, on any path and without an \
    Upgrade; @040b46a apiKeyFromWebSocketSubprotocol: all lines, and a marked entry only";
const NEW_API_KEY: &str = "QuantumNous/new-api@1779dd5 common/utils.go GenerateKey: 48 letters and digits; @0067bd9 \
    model/token.go GetTokenByKey: `key` = ?, which ignores case on MySQL's default collation";
const LITELLM: &str = "BerriAI/litellm@0009d07 litellm/proxy/auth/user_api_key_auth.py get_api_key";
const LITELLM_PATHS: &str = "BerriAI/litellm@0009d07 litellm/proxy/auth/user_api_key_auth.py \
    check_api_key_for_custom_headers_or_pass_through_endpoints";
const LITELLM_SOCKET: &str = "BerriAI/litellm@0009d07 litellm/proxy/auth/user_api_key_auth.py \
    user_api_key_auth_websocket";
const LITELLM_KEY: &str = "BerriAI/litellm@0009d07 user_api_key_auth.py: a key starts with `sk-`; @168a005 \
    litellm/proxy/management_endpoints/key_management_endpoints.py generate_key_helper_fn: `sk-` and token_urlsafe of 16 \
    bytes, so 25; an operator's own key has 16 since BerriAI/litellm#33462 (constants.py MINIMUM_CUSTOM_KEY_LENGTH), and \
    shorter ones, made before, are refused here. The longest is not documented";
const OPENAI: &str = "openai/openai-python@02cf7cd src/openai/_client.py auth_headers";
const OPENAI_KEY: &str = "gitleaks/gitleaks@b58d3f1 cmd/generate/config/rules/openai.go: `sk-…`, `sk-proj-…`, \
    `sk-svcacct-…`, `sk-admin-…`; openai/openai-agents-js@f372dbd packages/agents-realtime/src/openaiRealtimeWebRtc.ts: \
    `ek_…` is a client's ephemeral key, sent as Bearer. Their length is not documented: accepted as that of the others, \
    since those of the API reference have 35 characters";
const ANTHROPIC: &str = "anthropics/anthropic-sdk-python@00dcf92 src/anthropic/_client.py auth_headers";
const ANTHROPIC_KEY: &str = "gitleaks/gitleaks@b58d3f1 cmd/generate/config/rules/anthropic.go: `sk-ant-api03-…`, \
    `sk-ant-admin01-…`; BerriAI/litellm#21039: `sk-ant-oat…` as Bearer";
const AZURE: &str = "openai/openai-python@0117738 src/openai/lib/azure.py _prepare_options";
const FOUNDRY: &str = "microsoft/Generative-AI-for-beginners-dotnet@2ab8846 samples/CoreSamples/BasicChat-11FoundryClaude/\
    README.md: Claude in Microsoft Foundry, …services.ai.azure.com/anthropic/v1/messages, authenticates by `x-api-key`";
const AZURE_SOCKET: &str = "MicrosoftDocs/azure-ai-docs@021e720 articles/ai-foundry/openai/how-to/\
    realtime-audio-websockets.md: an `api-key` header, or an `api-key` query parameter";
const APIM: &str = "MicrosoftDocs/azure-docs@0521fdd articles/api-management/api-management-subscriptions.md: the \
    header, else `subscription-key` in the query (`Ocp-Apim-Subscription-key` until fc639c3)";
const AZURE_KEY: &str = "MicrosoftDocs/microsoft-365-docs microsoft-365/compliance/\
    sit-defn-azure-cognitive-service-key.md: 32 hex digits; microsoft/security-utilities@8f3e9a2 GeneratedRegexPatterns/\
    PreciselyClassifiedSecurityKeys.json SEC101/200: 84 letters and digits, or 88 with `==`; SEC101/182, subscription \
    keys of API Management: 88 of Base64. Nothing says that a service compares case-sensitively, so case is folded";
const GEMINI: &str = "googleapis/python-genai google/genai/_api_client.py: x-goog-api-key";
const GEMINI_QUERY: &str = "cloud.google.com/apis/docs/system-parameters: `key`, `$key`, `access_token`, `oauth_token`";
const GEMINI_TOKEN: &str = "Google's discovery documents until 2018: `bearer_token`, OAuth bearer token";
const GEMINI_CORS: &str = "google/closure-library closure/goog/net/rpc/httpcors.js: `$httpHeaders`, whose lines \
    (`X-Goog-Api-Key:KEY`) become headers, and `$httpMethod`, which Google's front ends read so that browsers need no \
    preflight";
const GEMINI_OVERRIDE: &str = "cloud.google.com/translate/docs/reference/rest/v2/translate: a POST with \
    `X-HTTP-Method-Override: GET` has its parameters, `key` too, in the body, which is not read here";
const GEMINI_BEARER: &str = "google-gemini/cookbook@05b617f quickstarts/Get_started_OpenAI_Compatibility.ipynb: the \
    OpenAI client's `api_key`, which it sends as Bearer, is the Gemini key; ai.google.dev/gemini-api/docs/openai: by curl";
const GEMINI_KEY: &str = "gitleaks/gitleaks@b58d3f1 cmd/generate/config/rules/gcp.go: `AIza` and 35 of [A-Za-z0-9_-]; \
    ai.google.dev/gemini-api/docs/api-key (2026): authorization keys, `AQ.…`";
const BROWSER: &str = "QuantumNous/new-api@040b46a middleware/auth.go apiKeyFromWebSocketSubprotocol, as OpenAI's \
    realtime API has it; not every upstream reads it, but it must not reach one unchecked";
const GENERIC: &str = "RFC 6750 §2.1; x-api-key and api-key are the usual names for a bare key";

const fn header(name: &'static str, form: Form, source: &'static str) -> Carrier {
    Carrier { place: Place::Header(name), form, placeholders: &[], source }
}

const fn query(name: &'static str, source: &'static str) -> Carrier {
    Carrier { place: Place::Query(name), form: Form::Bare, placeholders: &[], source }
}

pub(super) const PROTOCOL: Carrier =
    Carrier { place: Place::Protocol(Unmarked::Ignored), form: Form::Bare, placeholders: &[], source: BROWSER };

const fn format(prefix: &'static str, alphabet: Alphabet, min: usize, max: usize) -> Format {
    Format { prefix, alphabet, length: (min, max) }
}

/// The grammar of an upstream that looks up the text as it is, and does not accept JSON Web Tokens.
const fn grammar(formats: &'static [Format], source: &'static str) -> Grammar {
    Grammar { canonical: Canonicalisation::IDENTITY, formats, may_be_jwt: false, schemes: &[], source }
}

const ALNUM_48: &[Format] = &[format("", Alphabet::ALNUM, 48, 48)];
const ONE_API_CANONICAL: Canonicalisation =
    Canonicalisation { strip: "sk-", channel: true, fold: true, ..Canonicalisation::IDENTITY };

const LITELLM_ORDER: &str = "BerriAI/litellm@0009d07 get_api_key: x-litellm-api-key, else Authorization, else the \
    others; @00e06b8 litellm/proxy/anthropic_endpoints/endpoints.py: these routes authenticate by it";
/// The order does not hold on every path: /langfuse/* and WebSockets read Authorization and never x-litellm-api-key;
/// /gemini/* reads `?key` first.
const LITELLM_MESSAGES: &[&str] = &["/v1/messages", "/v1/messages/count_tokens"];

const LITELLM_ANTHROPIC: &str = "BerriAI/litellm@b791384 litellm/proxy/pass_through_endpoints/\
    anthropic_passthrough_endpoints.py: /anthropic/{endpoint:path} depends on user_api_key_auth, whose get_api_key \
    (@0009d07) takes x-litellm-api-key first";
const LITELLM_VERTEX: &str = "BerriAI/litellm@00cb4ba litellm/proxy/pass_through_endpoints/llm_passthrough_endpoints.py \
    _base_vertex_proxy_route: user_api_key_auth with get_litellm_virtual_key, which is x-litellm-api-key unless empty \
    (@13ac068 common_utils.py); 1.110.2 _authenticate_vertex_caller: the same order, for /vertex-ai/ and /vertex_ai/";
const LITELLM_CODEX: &str = "litellm 1.110.2 litellm/proxy/pass_through_endpoints/codex_passthrough_endpoints.py: \
    user_api_key_auth, which takes x-litellm-api-key first; Authorization is the ChatGPT subscription's, and the two must \
    differ";
const LITELLM_MCP_OAUTH: &str = "litellm 1.110.2 litellm/proxy/mcp_server/auth/user_api_key_auth_mcp.py \
    get_oauth2_headers_from_headers: every header whose name begins with `authorization` becomes Authorization";
const LITELLM_MCP: &str = "BerriAI/litellm@001064b litellm/proxy/_experimental/mcp_server/auth/user_api_key_auth_mcp.py \
    process_mcp_request: an explicit x-litellm-api-key is always a LiteLLM credential and is validated; \
    _extract_target_server_names_from_path: /mcp/{server} and /{server}/mcp";
/// litellm 1.110.2 litellm/proxy/_types.py mapped_pass_through_routes: these belong to other functions, of which
/// /langfuse/* authenticates by Authorization.
const LITELLM_PROVIDERS: &[&str] = &[
    "backend-api",
    "bedrock",
    "comprehendmedical",
    "azure_speech",
    "transcribe",
    "vertex-ai",
    "vertex_ai",
    "cohere",
    "cursor",
    "gemini",
    "anthropic",
    "langfuse",
    "azure",
    "azure_ai",
    "openai",
    "openai_passthrough",
    "assemblyai",
    "eu.assemblyai",
    "tinyfish",
    "vllm",
    "mistral",
    "typesafe",
    "laya",
    "bespoke",
    "openrouter",
    "milvus",
    "gigachat",
    "watsonx",
    "nvidia_nim",
    "deepgram",
    "fal_ai",
];
const APIM_TOKEN: &str = "MicrosoftDocs/azure-docs@0521fdd articles/api-management/api-management-subscriptions.md: a \
    request with a subscription key is allowed if that key is valid, else denied with 401; learn.microsoft.com/azure/\
    api-management/api-management-authenticate-authorize-azure-openai: OAuth tokens preauthorize requests in addition";

/// A row that the carrier's label alone selects.
const fn ignored(
    carrier: &'static str,
    overridden_by: &'static [&'static str],
    paths: &'static [&'static str],
    source: &'static str,
) -> Ignored {
    Ignored { carrier, overridden_by, paths, except: &[], by_label: true, only_jwt: false, source }
}

/// A row that an entry with paths selects.
const fn named(
    carrier: &'static str,
    overridden_by: &'static [&'static str],
    paths: &'static [&'static str],
    source: &'static str,
) -> Ignored {
    Ignored { by_label: false, ..ignored(carrier, overridden_by, paths, source) }
}

const ONE_API_RELAY: &str = "songquanpeng/one-api@204f2ae router/relay.go: TokenAuth authenticates /v1/*, by Authorization \
    only";
const NEW_API_RELAY: &str = "QuantumNous/new-api@040b46a middleware/auth.go TokenAuth, which authenticates /v1/*: reads \
    Authorization, x-api-key, x-goog-api-key, mj-api-secret, ?key and Sec-WebSocket-Protocol only";

/// The built-in profiles.
pub const PROFILES: [Profile; 8] = [
    Profile::new(
        "generic",
        Dialect::Generic,
        &[
            header("authorization", Form::BearerOrBare, GENERIC),
            header("x-api-key", Form::Bare, GENERIC),
            header("api-key", Form::Bare, GENERIC),
            PROTOCOL,
        ],
        // A shorter text is a placeholder or garbage, and must not claim.
        Grammar { may_be_jwt: true, ..grammar(&[format("", Alphabet::TOKEN, 8, MAX_KEY)], GENERIC) },
    ),
    Profile::new(
        "openai",
        Dialect::OpenAi,
        &[header("authorization", Form::Bearer, OPENAI), PROTOCOL],
        grammar(
            &[format("sk-", Alphabet::BASE64URL, 20, MAX_KEY), format("ek_", Alphabet::BASE64URL, 20, MAX_KEY)],
            OPENAI_KEY,
        ),
    ),
    Profile {
        login_routes: login::ANTHROPIC,
        ..Profile::new(
            "anthropic",
            Dialect::Anthropic,
            &[header("x-api-key", Form::Bare, ANTHROPIC), header("authorization", Form::Bearer, ANTHROPIC), PROTOCOL],
            grammar(&[format("sk-ant-", Alphabet::BASE64URL, 20, MAX_KEY)], ANTHROPIC_KEY),
        )
    },
    Profile {
        // Keys never have the shape of a token, and API Management judges the subscription key first.
        ignored: &[Ignored {
            only_jwt: true,
            ..named("authorization", &["ocp-apim-subscription-key", "?subscription-key"], &["/*"], APIM_TOKEN)
        }],
        ..Profile::new(
            "azure-openai",
            Dialect::OpenAi,
            &[
                header("api-key", Form::Bare, AZURE),
                header("x-api-key", Form::Bare, FOUNDRY),
                // Entra tokens, which are JSON Web Tokens.
                header("authorization", Form::Bearer, AZURE),
                header("ocp-apim-subscription-key", Form::Bare, APIM),
                query("api-key", AZURE_SOCKET),
                query("subscription-key", APIM),
                query("ocp-apim-subscription-key", APIM),
                PROTOCOL,
            ],
            Grammar {
                canonical: Canonicalisation { fold: true, ..Canonicalisation::IDENTITY },
                may_be_jwt: true,
                ..grammar(
                    &[format("", Alphabet::ALNUM, 32, 128), format("", Alphabet::ALNUM.and(b"+/="), 88, 88)],
                    AZURE_KEY,
                )
            },
        )
    },
    Profile {
        login_routes: login::GEMINI,
        ..Profile::new(
            "gemini",
            Dialect::Google,
            &[
                header("x-goog-api-key", Form::Bare, GEMINI),
                header("authorization", Form::Bearer, GEMINI_BEARER),
                query("key", GEMINI_QUERY),
                query("$key", GEMINI_QUERY),
                query("access_token", GEMINI_QUERY),
                query("oauth_token", GEMINI_QUERY),
                Carrier { form: Form::Never, ..query("bearer_token", GEMINI_TOKEN) },
                Carrier { form: Form::Never, ..query("$httpHeaders", GEMINI_CORS) },
                Carrier { form: Form::Never, ..query("$httpMethod", GEMINI_CORS) },
                header("x-http-method-override", Form::Never, GEMINI_OVERRIDE),
                PROTOCOL,
            ],
            grammar(
                &[
                    format("AIza", Alphabet::BASE64URL, 39, 39),
                    format("AQ.", Alphabet::BASE64URL.and(b"."), 20, MAX_KEY),
                ],
                GEMINI_KEY,
            ),
        )
    },
    Profile {
        ignored: &[
            named("x-api-key", &["authorization"], &["/v1/*"], ONE_API_RELAY),
            named("api-key", &["authorization"], &["/v1/*"], ONE_API_RELAY),
            named("x-goog-api-key", &["authorization"], &["/v1/*"], ONE_API_RELAY),
        ],
        login_routes: login::ONE_API,
        ..Profile::new(
            "one-api",
            Dialect::OpenAi,
            &[header("authorization", Form::BearerOrBare, ONE_API), PROTOCOL],
            Grammar { canonical: ONE_API_CANONICAL, ..grammar(ALNUM_48, ONE_API_KEY) },
        )
    },
    Profile {
        ignored: &[
            ignored(
                "authorization",
                &["x-api-key"],
                &["/v1/messages"],
                "QuantumNous/new-api@040b46a middleware/auth.go TokenAuth: where the path has /v1/messages, a \
                 x-api-key that is not empty overwrites Authorization",
            ),
            named("api-key", &["authorization", "x-api-key"], &["/v1/*"], NEW_API_RELAY),
        ],
        login_routes: login::NEW_API,
        ..Profile::new(
            "new-api",
            Dialect::OpenAi,
            &[
                // Midjourney clients send the placeholder here and the key in mj-api-secret.
                Carrier { placeholders: &["midjourney-proxy"], ..header("authorization", Form::BearerOrBare, NEW_API) },
                header("x-api-key", Form::Bare, NEW_API),
                header("x-goog-api-key", Form::Bare, NEW_API),
                header("mj-api-secret", Form::BearerOrBare, NEW_API),
                query("key", NEW_API),
                Carrier { place: Place::Protocol(Unmarked::IsKey), source: NEW_API_SOCKET, ..PROTOCOL },
            ],
            Grammar { canonical: ONE_API_CANONICAL, ..grammar(ALNUM_48, NEW_API_KEY) },
        )
    },
    Profile {
        ignored: &[
            ignored("authorization", &["x-litellm-api-key"], LITELLM_MESSAGES, LITELLM_ORDER),
            ignored("x-api-key", &["x-litellm-api-key", "authorization"], LITELLM_MESSAGES, LITELLM_ORDER),
            // On this path, the parameter names the key to describe.
            ignored(
                "?key",
                &["x-litellm-api-key", "authorization"],
                &["/key/info"],
                "BerriAI/litellm@0009d07 get_api_key: read on generateContent routes only, and after all headers",
            ),
            // The credential of the server behind LiteLLM, which LiteLLM forwards.
            named("authorization", &["x-litellm-api-key"], &["/anthropic/*"], LITELLM_ANTHROPIC),
            named("x-api-key", &["x-litellm-api-key"], &["/anthropic/*"], LITELLM_ANTHROPIC),
            named("authorization", &["x-litellm-api-key"], &["/vertex_ai/*", "/vertex-ai/*"], LITELLM_VERTEX),
            named("authorization", &["x-litellm-api-key"], &["/backend-api/codex/*"], LITELLM_CODEX),
            Ignored {
                except: LITELLM_PROVIDERS,
                ..named("authorization", &["x-litellm-api-key"], &["/mcp", "/mcp/*", "/*/mcp"], LITELLM_MCP)
            },
        ],
        login_routes: login::LITELLM,
        removed_starts: &[("authorization", LITELLM_MCP_OAUTH)],
        ..Profile::new(
            "litellm",
            Dialect::OpenAi,
            &[
                header("x-litellm-api-key", Form::BearerOrBare, LITELLM),
                header("authorization", Form::LiteLlm, LITELLM),
                header("api-key", Form::Bare, LITELLM),
                header("x-api-key", Form::Bare, LITELLM),
                header("x-goog-api-key", Form::Bare, LITELLM),
                header("ocp-apim-subscription-key", Form::Bare, LITELLM),
                header("litellm_user_api_key", Form::Bare, LITELLM_PATHS),
                query("key", LITELLM),
                Carrier { source: LITELLM_SOCKET, ..PROTOCOL },
            ],
            Grammar { may_be_jwt: true, ..grammar(&[format("sk-", Alphabet::BASE64URL, 16, MAX_KEY)], LITELLM_KEY) },
        )
    },
];

impl Profile {
    /// The built-in profile with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        PROFILES.into_iter().find(|profile| profile.name == name)
    }
}
