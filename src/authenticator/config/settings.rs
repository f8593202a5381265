//! Every setting there is: its key, its section in the file, its variable, its flag.

/// One setting. Its flag, if it has one, is its key with hyphens: `--grpc-port`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    /// The section of the file; empty where only flags can say it.
    pub(super) section: &'static str,
    /// The environment variable; empty where there is none.
    pub(super) variable: &'static str,
    pub(super) takes: Takes,
    pub(super) help: &'static str,
}

/// What is given to a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// `true` or `false`; as a flag, nothing.
    Switch,
    Value,
    /// In the file a list, elsewhere separated by commas.
    List,
    /// A value that is no flag: whoever lists processes sees those.
    Secret,
}

use Takes::{List, Secret, Switch, Value};

macro_rules! settings {
    ($($section:literal { $($key:literal $variable:literal $takes:ident $help:literal)+ })+) => {
        /// In the order of `--help`.
        pub(super) const SETTINGS: &[Setting] = &[$($(Setting {
            key: $key,
            section: $section,
            variable: $variable,
            takes: $takes,
            help: $help,
        },)+)+];
    };
}

settings! {
    "listener" {
        "host" "APPROZIUM_HOST" Value
            "Address to listen at [default: 127.0.0.1]"
        "http_port" "APPROZIUM_HTTP_PORT" Value
            "Port of health and metrics; 0 takes a free one [default: 6000]"
        "grpc_port" "APPROZIUM_GRPC_PORT" Value
            "Port for applications; 0 takes a free one [default: 6001]"
        "drain_delay" "APPROZIUM_DRAIN_DELAY" Value
            "How long it serves on after SIGTERM, and says that it is not ready [default: 2s]"
        "drain_timeout" "APPROZIUM_DRAIN_TIMEOUT" Value
            "How long logins under way may take after that [default: 20s]"
        "v1_api" "APPROZIUM_V1_API" Switch
            "Serve the original's API too, for its SDKs: its proofs can be replayed"
        "v1_max_expires" "APPROZIUM_V1_MAX_EXPIRES" Value
            "What X-Amz-Expires of its proofs may say, at most 60m; Python's says 60m [default: 15m]"
        "v1_replay_store" "APPROZIUM_V1_REPLAY_STORE" Value
            "Redis where replicas share who used a proof first: rediss://host [default: none]"
        "v1_replay_store_password_path" "APPROZIUM_V1_REPLAY_STORE_PASSWORD_PATH" Value
            "File with its password"
        "v1_replay_store_ca_path" "APPROZIUM_V1_REPLAY_STORE_CA_PATH" Value
            "Authority of its certificate, PEM [default: those of this machine]"
    }
    "logging" {
        "log_level" "APPROZIUM_LOG_LEVEL" Value
            "error, warn, info, debug, trace, or directives such as info,h2=warn; audit lines are written \
             unless approzium::audit=off [default: info]"
        "log_format" "APPROZIUM_LOG_FORMAT" Value
            "text or json [default: text]"
        "audit_log_path" "APPROZIUM_AUDIT_LOG_PATH" Value
            "File for audit lines, JSON; - is standard output [default: they are in the log]"
    }
    "tls" {
        "disable_tls" "APPROZIUM_DISABLE_TLS" Switch
            "Speak plaintext; on a loopback address only"
        "tls_cert_path" "APPROZIUM_TLS_CERT_PATH" Value
            "Certificate chain, PEM"
        "tls_key_path" "APPROZIUM_TLS_KEY_PATH" Value
            "Its private key, PEM"
        "client_ca_path" "APPROZIUM_CLIENT_CA_PATH" Value
            "Demand client certificates of these authorities, PEM; not to ask whether it is ready"
    }
    "secrets" {
        "secrets_manager" "APPROZIUM_SECRETS_MANAGER" Value
            "vault, asm, kubernetes or local [default: local, if local_secrets_path is given]"
        "secrets_ttl" "APPROZIUM_SECRETS_TTL" Value
            "How long a record of vault or asm is good, at most 60s [default: 10s]"
        "secrets_timeout" "APPROZIUM_SECRETS_TIMEOUT" Value
            "How long vault or asm is waited for, at most 9s [default: 3s]"
        "local_secrets_path" "APPROZIUM_LOCAL_SECRETS_PATH" Value
            "YAML file with records, readable by its owner (and group) only"
        "kubernetes_secrets_path" "APPROZIUM_KUBERNETES_SECRETS_PATH" Value
            "Folder with a file of records for each database, as Kubernetes mounts a Secret"
        "vault_addr" "VAULT_ADDR" Value
            "Vault's or OpenBao's address: https, or http on loopback"
        "vault_namespace" "VAULT_NAMESPACE" Value
            "Its namespace"
        "vault_ca_path" "VAULT_CACERT" Value
            "Authorities of its certificate, PEM [default: the system's]"
        "vault_mount" "APPROZIUM_VAULT_MOUNT" Value
            "Where its KV secrets engine is mounted [default: approzium]"
        "vault_path" "APPROZIUM_VAULT_PATH" Value
            "Path of a record below it [default: {host}:{port}]"
        "vault_kv_version" "APPROZIUM_VAULT_KV_VERSION" Value
            "Version of the engine: 1, 2, or auto to ask for it [default: auto]"
        "vault_auth" "APPROZIUM_VAULT_AUTH" Value
            "How to log in: token, approle, kubernetes or aws [default: token]"
        "vault_auth_mount" "APPROZIUM_VAULT_AUTH_MOUNT" Value
            "Where that auth method is mounted [default: its name]"
        "vault_token" "VAULT_TOKEN" Secret
            "Token; better in a file"
        "vault_token_path" "APPROZIUM_VAULT_TOKEN_PATH" Value
            "File with the token, read again when it changes; wins over the variable VAULT_TOKEN"
        "vault_role_id" "APPROZIUM_VAULT_ROLE_ID" Value
            "Role id of AppRole"
        "vault_secret_id_path" "APPROZIUM_VAULT_SECRET_ID_PATH" Value
            "File with its secret id"
        "vault_role" "APPROZIUM_VAULT_ROLE" Value
            "Role of the Kubernetes or AWS auth method"
        "vault_jwt_path" "APPROZIUM_VAULT_JWT_PATH" Value
            "File with the service account's token [default: the pod's own]"
        "vault_aws_server_id" "APPROZIUM_VAULT_AWS_SERVER_ID" Value
            "What Vault's AWS auth method calls itself: its iam_server_id_header_value"
        "assume_aws_role" "APPROZIUM_ASSUME_AWS_ROLE" Value
            "Role to assume for the secrets manager asm, by its ARN"
        "aws_region" "AWS_REGION" Value
            "Region of the secrets manager asm"
        "asm_endpoint" "APPROZIUM_ASM_ENDPOINT" Value
            "Address of AWS Secrets Manager, for a VPC endpoint or a test [default: the region's]"
    }
    "session" {
        "audiences" "APPROZIUM_AUDIENCES" List
            "Names that this Authenticator answers to [default: its certificate's, and host]"
        "session_lifetime" "APPROZIUM_SESSION_LIFETIME" Value
            "How long a session lasts, at most 15m [default: 15m]"
        "session_key_path" "APPROZIUM_SESSION_KEY_PATH" Value
            "Keys of session tokens that replicas share [default: a random one]"
        "sts_regions" "APPROZIUM_STS_REGIONS" List
            "Regions whose STS is asked; proofs for others are refused [default: all]"
        "sts_fips" "APPROZIUM_STS_FIPS" Switch
            "Ask the FIPS endpoints of STS"
    }
    "limits" {
        "max_connections" "APPROZIUM_MAX_CONNECTIONS" Value
            "Connections in all, and as many calls on those of somebody known [default: 10000]"
        "max_connections_per_address" "APPROZIUM_MAX_CONNECTIONS_PER_ADDRESS" Value
            "The same from one address [default: 2000]"
        "max_unauthenticated" "APPROZIUM_MAX_UNAUTHENTICATED" Value
            "Connections of nobody yet identified [default: 1000]"
        "max_unauthenticated_per_address" "APPROZIUM_MAX_UNAUTHENTICATED_PER_ADDRESS" Value
            "The same from one address [default: 100]"
        "sts_calls_per_second" "APPROZIUM_STS_CALLS_PER_SECOND" Value
            "Questions to STS [default: 100]"
        "sts_calls_per_second_per_address" "APPROZIUM_STS_CALLS_PER_SECOND_PER_ADDRESS" Value
            "The same for one address [default: 20]"
        "min_iterations" "APPROZIUM_MIN_ITERATIONS" Value
            "Fewest SCRAM iterations that a database may ask for [default: 4096]"
        "max_iterations" "APPROZIUM_MAX_ITERATIONS" Value
            "Most [default: 100000]"
        "derivations_per_principal" "APPROZIUM_DERIVATIONS_PER_PRINCIPAL" Value
            "Key derivations at a time for one identity [default: 16]"
        "md5_per_second_per_principal" "APPROZIUM_MD5_PER_SECOND_PER_PRINCIPAL" Value
            "MD5 answers for one identity [default: 10]"
        "handshakes_per_second_per_principal" "APPROZIUM_HANDSHAKES_PER_SECOND_PER_PRINCIPAL" Value
            "Logins begun for one identity [default: 1000]"
        "handshakes_per_second_per_address" "APPROZIUM_HANDSHAKES_PER_SECOND_PER_ADDRESS" Value
            "The same from one address [default: 2000]"
        "lookups_per_second_per_account" "APPROZIUM_LOOKUPS_PER_SECOND_PER_ACCOUNT" Value
            "Databases newly named by one AWS account [default: 50]"
        "handshake_timeout" "APPROZIUM_HANDSHAKE_TIMEOUT" Value
            "For TLS handshakes, first messages, and requests of one message [default: 10s]"
        "challenge_timeout" "APPROZIUM_CHALLENGE_TIMEOUT" Value
            "For a database's challenge, and for a login's outcome [default: 60s]"
    }
    "" {
        "check" "" Switch
            "See whether everything that serving takes is good, say so, and listen nowhere"
        "without_sts" "" Switch
            "With --check: leave STS out, where there is no way to it yet"
        "config" "" Value
            "YAML file with settings: sections listener, logging, tls, secrets, session, limits"
        "dev" "" Switch
            "Development: stand-in STS, throw-away certificate and keys; loopback only"
        "dev_dir" "" Value
            "Where --dev puts what it makes [default: a fresh temporary folder]"
    }
}

/// One of the above.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The flag of a key, without its hyphens.
pub(super) fn flag(key: &str) -> String {
    key.replace('_', "-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_and_variables_are_distinct() {
        let keys: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.key).collect();
        assert_eq!(keys.len(), SETTINGS.len());
        let variables: Vec<_> = SETTINGS
            .iter()
            .map(|setting| setting.variable)
            .filter(|variable| !variable.is_empty())
            .collect();
        let distinct: BTreeSet<_> = variables.iter().collect();
        assert_eq!(distinct.len(), variables.len());
    }
}
