//! The realms of `vectors.tsv`: settings, and two keys as the upstream's own generator makes them.

use std::fs;

use key_ip_sentinel::{config, credential::Credentials};

use crate::{
    common::{Home, sentinel},
    oracle,
};

/// A profile with its options.
#[derive(Debug)]
pub(crate) struct Realm {
    pub(crate) name: &'static str,
    /// Setting and TOML value.
    settings: &'static [(&'static str, &'static str)],
    pub(crate) k: &'static str,
    pub(crate) l: &'static str,
}

const GENERIC: (&str, &str) = ("sk-0123456789ABCDef", "sk-fedcba9876543210");
const ONE_API: (&str, &str) =
    ("Ab0Cd1Ef2Gh3Ij4K5A0b1C2d3E4f5A6b7C8d9E0f1A2b3C4d", "Zy9Xw8Vu7Ts6Rq5P0f9E8d7C6b5A4f3E2d1C0b9A8f7E6d5C");
const AZURE: (&str, &str) = ("0123456789abcdef0123456789ABCDEF", "fedcba9876543210fedcba9876543210");
const LITELLM: (&str, &str) = ("sk-AbCdEfGhIjKlMnOpQr-_uv", "sk-ZyXwVuTsRqPoNmLkJi-_hg");
/// 40 letters and digits, and their CRC-32.
const SANCTUM: (&str, &str) =
    ("Ab0Cd1Ef2Gh3Ij4Kl5Mn6Op7Qr8St9Uv0Wx1Yz2A0b1c2d3e", "Zy9Xw8Vu7Ts6Rq5Po4Nm3Lk2Ji1Hg0Fe9Dc8Ba7Z4f5e6d7c");
const PLUS: (&str, &str) = ("ab+cd/0123456789==", "zy+xw/9876543210==");

macro_rules! realms {
    ($($test:ident $name:literal $keys:expr, $settings:expr;)*) => {
        pub(crate) const REALMS: &[Realm] = &[$(Realm { name: $name, settings: $settings, k: $keys.0, l: $keys.1 }),*];

        /// One test for each realm, so that they run in parallel.
        mod through_envoy {
            $(#[tokio::test]
            async fn $test() {
                crate::wire::through_envoy($name).await;
            })*
        }
    };
}

realms! {
    generic "generic" GENERIC, &[];
    generic_jwt "generic+jwt" GENERIC, &[("credentials.jwt", "\"opaque\"")];
    openai "openai" ("sk-proj-AbCdEf0123456789_xyz-0", "sk-proj-ZyXwVu9876543210_abc-9"),
        &[("credentials.profile", "\"openai\"")];
    anthropic "anthropic" ("sk-ant-api03-AbCdEf0123456789_xyz-AA", "sk-ant-api03-ZyXwVu9876543210_abc-AA"),
        &[("credentials.profile", "\"anthropic\"")];
    azure_openai "azure-openai" AZURE, &[("credentials.profile", "\"azure-openai\"")];
    azure_openai_jwt "azure-openai+jwt" AZURE,
        &[("credentials.profile", "\"azure-openai\""), ("credentials.jwt", "\"opaque\"")];
    gemini "gemini" ("AIzaSyAbCdEf0123456789-_AbCdEf012345678", "AIzaSyZyXwVu9876543210-_ZyXwVu987654321"),
        &[("credentials.profile", "\"gemini\"")];
    one_api "one-api" ONE_API, &[("credentials.profile", "\"one-api\"")];
    new_api "new-api" ONE_API, &[("credentials.profile", "\"new-api\"")];
    new_api_passthrough "new-api+passthrough" ONE_API,
        &[("credentials.profile", "\"new-api\""), ("credentials.passthrough", "[\"authorization\"]")];
    litellm "litellm" LITELLM, &[("credentials.profile", "\"litellm\"")];
    litellm_passthrough "litellm+passthrough" LITELLM, &[
        ("credentials.profile", "\"litellm\""),
        ("credentials.passthrough", "[\"authorization\", \"x-api-key\", \"?key\"]"),
    ];
    litellm_foreign "litellm+foreign" LITELLM, &[
        ("credentials.profile", "\"litellm\""),
        (
            "credentials.passthrough",
            "[\"authorization beside x-litellm-api-key on /github_mcp/mcp /vertex_ai/* /anthropic/v1/messages source \
             docs.litellm.ai\", \"x-api-key beside x-litellm-api-key on /anthropic/v1/messages source docs.litellm.ai\"]",
        ),
    ];
    azure_foreign "azure-openai+foreign" AZURE, &[
        ("credentials.profile", "\"azure-openai\""),
        (
            "credentials.passthrough",
            "[\"authorization beside ocp-apim-subscription-key on /apim/* source learn.microsoft.com\"]",
        ),
    ];
    supa "supa" ("sb_publishable_Ab0Cd1Ef2Gh3", "sb_secret_Zy9Xw8Vu7Ts6Rq5"), &[
        ("credentials.profile", "\"supa\""),
        ("credentials.custom.supa.carriers", "[\"header apikey bare\", \"query apikey\"]"),
        ("credentials.custom.supa.prefixes", "[\"sb_\"]"),
        ("credentials.custom.supa.alphabet", "\"base64url\""),
        ("credentials.custom.supa.min_length", "20"),
        ("credentials.custom.supa.max_length", "128"),
        (
            "credentials.passthrough",
            "[\"authorization beside apikey on /rest/v1/* /auth/v1/user source supabase.com/docs\"]",
        ),
    ];
    acme "acme" ("0123456789abCDEF", "fedcba9876543210"), &[
        ("credentials.profile", "\"acme\""),
        (
            "credentials.custom.acme.carriers",
            "[\"header x-acme-key bare\", \"header x-acme-auth bearer\", \"query token\", \"cookie acme_token\"]",
        ),
        ("credentials.custom.acme.strip", "\"acme_\""),
        ("credentials.custom.acme.fold_case", "true"),
        ("credentials.custom.acme.alphabet", "\"base64url\""),
        ("credentials.custom.acme.min_length", "16"),
        ("credentials.custom.acme.max_length", "64"),
    ];
    php "php" GENERIC, &[
        ("credentials.profile", "\"php\""),
        ("credentials.custom.php.carriers", "[\"query api_key\", \"cookie php.key\"]"),
    ];
    sanctum "sanctum" SANCTUM, &[
        ("credentials.profile", "\"sanctum\""),
        (
            "credentials.custom.sanctum.carriers",
            "[\"header authorization bearer\", \"header x-api-key bare\", \"query token\"]",
        ),
        ("credentials.custom.sanctum.strip_through", "\"|\""),
        ("credentials.custom.sanctum.alphabet", "\"base64url\""),
        ("credentials.custom.sanctum.min_length", "40"),
        ("credentials.custom.sanctum.max_length", "128"),
    ];
    desk "desk" SANCTUM, &[
        ("credentials.profile", "\"desk\""),
        (
            "credentials.custom.desk.carriers",
            "[\"header authorization scheme:Token|ApiKey\", \"header x-desk-login scheme:Basic password\", \
             \"header x-desk-user scheme:basic user\", \"query token\"]",
        ),
        ("credentials.custom.desk.alphabet", "\"base64url\""),
        ("credentials.custom.desk.min_length", "32"),
        ("credentials.custom.desk.max_length", "128"),
    ];
    desk_jwt "desk+jwt" SANCTUM, &[
        ("credentials.profile", "\"desk\""),
        ("credentials.jwt", "\"opaque\""),
        (
            "credentials.custom.desk.carriers",
            "[\"header x-desk-login scheme:Basic password\", \"header x-desk-user scheme:Basic user\"]",
        ),
        ("credentials.custom.desk.alphabet", "\"base64url\""),
        ("credentials.custom.desk.min_length", "32"),
        ("credentials.custom.desk.max_length", "128"),
    ];
    form "form" PLUS, &[
        ("credentials.profile", "\"form\""),
        ("credentials.custom.form.carriers", "[\"header x-form-key bare\", \"query token\"]"),
    ];
    literal "literal" PLUS, &[
        ("credentials.profile", "\"literal\""),
        ("credentials.custom.literal.carriers", "[\"header x-form-key bare\", \"query token\"]"),
        ("credentials.custom.literal.query_plus", "\"literal\""),
    ];
}

impl Realm {
    pub(crate) fn named(name: &str) -> &'static Self {
        REALMS.iter().find(|realm| realm.name == name).unwrap_or_else(|| panic!("unknown realm {name}"))
    }

    /// Its credentials as the config resolves them.
    pub(crate) fn credentials(&self) -> Credentials {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sentinel.toml");
        let lines: String = self.settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        fs::write(&file, lines).unwrap();
        config::load(Some(&file), []).unwrap_or_else(|faults| panic!("{faults}")).credentials
    }

    /// What it allows in addition to its profile, in the oracle's words.
    pub(crate) fn foreign(&self) -> &'static [oracle::Foreign] {
        match self.name {
            "litellm+foreign" => oracle::LITELLM_FOREIGN,
            "azure-openai+foreign" => oracle::AZURE_FOREIGN,
            "supa" => oracle::SUPA_FOREIGN,
            _ => &[],
        }
    }

    /// A server with its settings.
    pub(crate) fn home(&self) -> Home {
        self.settings.iter().fold(sentinel(), |home, (key, value)| home.set(key, value))
    }
}
