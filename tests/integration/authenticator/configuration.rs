//! A configuration error ends the process and names the setting.

use std::path::Path;

use approzium_peers::certificates::{Authority, Signature};

use super::process::{PASSWORD, command, failing, record, write_private};
use crate::NO_SUCH_HOST;

/// A folder with one good and some bad files of each kind.
fn files(folder: &Path) {
    let authority = Authority::new(Signature::EcdsaP256Sha256);
    authority.localhost().write(folder, "server").unwrap();
    authority.localhost().write(folder, "other").unwrap();
    let private = |name: &str, text: &str| write_private(&folder.join(name), text);
    private("good.yaml", &record("app", ""));
    private(
        "bad.yaml",
        &format!("- password: {PASSWORD}\n  dbhost: [{PASSWORD}]\n"),
    );
    private(
        "nobody.yaml",
        &record("app", "").replace("arn:aws", "nobody"),
    );
    private("key", "c2hvcnQ=");
    private("not-yaml", "{");
    private("open.yaml", &record("app", ""));
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(folder.join("open.yaml"), open).unwrap();
    private("unknown.yaml", "listener: {grpc_prot: 1}\n");
    private("twice.yaml", "tls: {}\nlogging: {}\ntls: {}\n");
    private("section.yaml", "listner: {}\n");
    private("value.yaml", "listener: {grpc_port: many}\n");
}

#[test]
fn every_mistake_ends_the_process_and_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let good = "--local-secrets-path=good.yaml";
    let tls = ["--tls-cert-path=server.crt", "--tls-key-path=server.key"];
    let [cert, key] = tls;
    let (vault, at_vault) = ("--secrets-manager=vault", "--vault-addr=https://vault");
    let token = "--vault-token-path=key";
    for (arguments, variables, names) in [
        (
            &["--vault-token=canary-hunter2"][..],
            &[][..],
            &["--vault-token", "VAULT_TOKEN", "vault_token_path"][..],
        ),
        (
            &["--vault-token", PASSWORD, good],
            &[],
            &["--vault-token", "VAULT_TOKEN", "vault_token_path"],
        ),
        (&[good, "--vault-token"], &[], &["VAULT_TOKEN"]),
        (
            &[][..],
            &[][..],
            &["secrets_manager", "local_secrets_path"][..],
        ),
        (&["--secrets-manager=local"], &[], &["local_secrets_path"]),
        (
            &["--secrets-manager=vault", good],
            &[],
            &["local_secrets_path", "flag --local-secrets-path"],
        ),
        (
            &[good],
            &[("APPROZIUM_SECRETS_MANAGER", "asm")],
            &["local_secrets_path"],
        ),
        (
            &[],
            &[("APPROZIUM_SECRETS_MANAGER", "vault")],
            &["vault_addr"],
        ),
        (
            &[vault, "--vault-addr=http://vault.internal:8200", token],
            &[],
            &["vault_addr", "https"],
        ),
        (
            &[vault],
            &[("VAULT_ADDR", "https://vault")],
            &["vault_token_path"],
        ),
        (
            &[vault, token],
            &[("VAULT_ADDR", "vault.internal")],
            &["vault_addr (variable VAULT_ADDR): it is not a URL"],
        ),
        (
            &[vault, at_vault, "--vault-token-path=/no/such/absent"],
            &[],
            &["vault_token_path (flag --vault-token-path): /no/such/absent: there is no such file"],
        ),
        (
            // It was to be vault_token.
            &[vault, at_vault, "--vault-token-path=canary-hunter2"],
            &[],
            &["vault_token_path (flag --vault-token-path): there is no such file"],
        ),
        (
            &[vault, at_vault, "--vault-token-path=absent"],
            &[],
            &["vault_token_path"],
        ),
        (
            &[vault, at_vault, token, "--vault-auth=ldap"],
            &[],
            &["vault_auth", "approle"],
        ),
        (
            &[vault, at_vault, "--vault-auth=aws"],
            &[],
            &["vault_role", "vault_auth is aws"],
        ),
        (
            &[vault, at_vault, token, "--vault-aws-server-id=x"],
            &[],
            &["vault_aws_server_id", "vault_auth"],
        ),
        (
            &[vault, at_vault, token, "--vault-role=x"],
            &[],
            &["vault_role", "vault_auth"],
        ),
        (
            &[vault, at_vault, "--vault-auth=approle"],
            &[],
            &["vault_role_id"],
        ),
        (
            &[
                vault,
                at_vault,
                "--vault-auth=kubernetes",
                "--vault-role=x",
                "--vault-jwt-path=absent",
            ],
            &[],
            &["vault_jwt_path"],
        ),
        (
            &[vault, at_vault, token, "--vault-path={host}"],
            &[],
            &["vault_path", "{port}"],
        ),
        (
            &[vault, at_vault, token, "--vault-kv-version=3"],
            &[],
            &["vault_kv_version"],
        ),
        (
            &[vault, at_vault, token, "--vault-ca-path=good.yaml"],
            &[],
            &["vault_ca_path"],
        ),
        (
            &[vault, at_vault, token, "--secrets-ttl=61s"],
            &[],
            &["secrets_ttl", "60s"],
        ),
        (
            &[vault, at_vault, token, "--secrets-timeout=10s"],
            &[],
            &["secrets_timeout", "9s"],
        ),
        (
            &["--secrets-manager=asm", token],
            &[],
            &["vault_token_path", "another secrets_manager"],
        ),
        (
            &[
                "--secrets-manager=asm",
                "--aws-region=eu-central-1",
                "--asm-endpoint=http://10.0.0.1",
            ],
            &[],
            &["asm_endpoint"],
        ),
        (
            &["--secrets-manager=asm", "--aws-region=mars-north-1"],
            &[],
            &["aws_region (flag --aws-region): \"mars-north-1\" is no region"],
        ),
        (
            &["--secrets-manager=asm"],
            &[],
            &["no AWS region is known", "give aws_region (AWS_REGION)"],
        ),
        (
            &["--secrets-manager=kubernetes"],
            &[],
            &["kubernetes_secrets_path"],
        ),
        (
            &[
                "--secrets-manager=kubernetes",
                "--kubernetes-secrets-path=absent",
            ],
            &[],
            &["kubernetes_secrets_path", "absent"],
        ),
        (&[good], &[], &["tls_cert_path", "disable_tls"]),
        (&[good, cert], &[], &["tls_key_path"]),
        (
            &[good, cert, "--tls-key-path=other.key"],
            &[],
            &["tls_key_path"],
        ),
        (
            &[good, cert, "--tls-key-path=absent"],
            &[],
            &["tls_key_path", "absent"],
        ),
        (
            &[good, cert, key, "--client-ca-path=good.yaml"],
            &[],
            &["client_ca_path"],
        ),
        (
            &[good, cert, key, "--session-key-path=key"],
            &[],
            &["session_key_path", "line 1"],
        ),
        (
            &[good, "--disable-tls", cert],
            &[],
            &["tls_cert_path", "disable_tls"],
        ),
        (
            &[good, "--disable-tls", "--host=0.0.0.0"],
            &[],
            &["disable_tls", "loopback"],
        ),
        (
            &[good, "--disable-tls", &format!("--host={NO_SUCH_HOST}")],
            &[],
            &["host"],
        ),
        (
            &[good, "--disable-tls", "--audiences=a b"],
            &[],
            &["audience"],
        ),
        (
            &["--disable-tls", "--local-secrets-path=absent"],
            &[],
            &["local_secrets_path", "absent"],
        ),
        (
            &["--disable-tls", "--local-secrets-path=bad.yaml"],
            &[],
            &["local_secrets_path", "line"],
        ),
        (
            &["--disable-tls", "--local-secrets-path=nobody.yaml"],
            &[],
            &["record 1", "iam_arn"],
        ),
        (
            &["--disable-tls", "--local-secrets-path=open.yaml"],
            &[],
            &["0644", "chmod"],
        ),
        (&["--config=absent"], &[], &["config", "absent"]),
        (&["--config=not-yaml"], &[], &["config", "line"]),
        (&["--config=unknown.yaml"], &[], &["grpc_prot"]),
        (&["--config=section.yaml"], &[], &["listner"]),
        (
            &["--config=value.yaml"],
            &[],
            &["grpc_port", "value.yaml, section listener"],
        ),
        (
            &["--config=twice.yaml"],
            &[],
            &["line 3", "tls stands twice"],
        ),
        (
            &[good, "--disable-tls", "--http-port=6001"],
            &[],
            &["http_port", "6001 is grpc_port's, too"],
        ),
        (&["--no-such-flag"], &[], &["--no-such-flag"]),
        (
            &[],
            &[("APPROZIUM_LOG_FORMAT", "xml")],
            &["log_format", "APPROZIUM_LOG_FORMAT"],
        ),
    ] {
        let mut command = command(arguments);
        command.current_dir(folder.path());
        command.envs(variables.iter().copied());
        let output = failing(command);
        let said = String::from_utf8(output.stderr).unwrap();
        let code = if may_pass(arguments) { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        for name in names {
            assert!(said.contains(name), "{arguments:?} {name}: {said}");
        }
        assert!(!said.contains(PASSWORD), "{said}");
    }
}

/// The settings may be right: what they name is not there, or not good, and may be so later.
fn may_pass(arguments: &[&str]) -> bool {
    let named = [
        "=absent",
        "/absent",
        "-token-path=canary-hunter2",
        "=bad.yaml",
        "=nobody.yaml",
        "=open.yaml",
        "=other.key",
        "-ca-path=good.yaml",
        "--session-key-path=key",
        NO_SUCH_HOST,
    ];
    // Its region may be the machine's to say.
    let only_lacks_a_region = arguments == ["--secrets-manager=asm"];
    let names_one = arguments
        .iter()
        .any(|argument| named.iter().any(|name| argument.ends_with(name)));
    only_lacks_a_region || names_one
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--grpc-port={}", taken.local_addr().unwrap().port());
    let good = "--local-secrets-path=good.yaml";
    let mut command = command(&["--disable-tls", good, &port]);
    command.current_dir(folder.path());
    let output = failing(command);
    assert_eq!(output.status.code(), Some(1), "it may be free in a moment");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("grpc_port"), "{said}");
}
