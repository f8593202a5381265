//! An Authenticator in Kubernetes: a pod's own identity before Vault, and Secrets that are mounted.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use approzium::authenticator::{MountedSecrets, VaultLogin};
use approzium_peers::{Authority, OpenBao, peer};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    Code, HOSTILE, Login, PASSWORD, Service, no_record, refused, secret,
    vault::{at, denied, openbao, saying},
};

#[tokio::test]
async fn a_pod_logs_in_to_vault_as_its_service_account() {
    let bao = peer!(openbao());
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "status": {
            "authenticated": true,
            "user": {"username": "system:serviceaccount:shop:approzium", "uid": "7f"},
        },
    });
    mount_kubernetes(&bao, &saying("201 Created", &review.to_string()).await).await;
    let folder = tempfile::tempdir().unwrap();
    let jwt = folder.path().join("token");
    fs::write(&jwt, token()).unwrap();
    // As Kubernetes mounts it: for everybody in the pod.
    fs::set_permissions(&jwt, fs::Permissions::from_mode(0o644)).unwrap();
    for (role, expected) in [("approzium", Login::Accepted), ("absent", denied())] {
        let login = VaultLogin::kubernetes(role).jwt_path(&jwt).mount("pods");
        let service = Service::start(at(&bao).login(login).build().unwrap()).await;
        assert_eq!(service.login("app").await, expected, "{role}");
    }
}

/// Gives the service account `approzium` of the namespace `shop` the policy.
async fn mount_kubernetes(bao: &OpenBao, api: &str) {
    let configuration = json!({
        "kubernetes_host": api,
        "kubernetes_ca_cert": Authority::default().pem(),
        "disable_local_ca_jwt": true,
        "token_reviewer_jwt": "x",
    });
    let role = json!({
        "bound_service_account_names": ["approzium"],
        "bound_service_account_namespaces": ["shop"],
        "token_policies": ["approzium"],
    });
    for (path, body) in [
        ("sys/auth/pods", json!({"type": "kubernetes"})),
        ("auth/pods/config", configuration),
        ("auth/pods/role/approzium", role),
    ] {
        bao.post(path, &body).await.unwrap();
    }
}

/// A service account's token. Its signature is the business of Kubernetes, which vouches for it.
fn token() -> String {
    let account = json!({"name": "approzium", "uid": "7f"});
    let claims = json!({
        "sub": "system:serviceaccount:shop:approzium",
        "iat": 1,
        "nbf": 1,
        "exp": 9_999_999_999_i64,
        "kubernetes.io": {"namespace": "shop", "serviceaccount": account},
    });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "RS256", "typ": "JWT"});
    let signature = BASE64_URL_SAFE_NO_PAD.encode([7; 256]);
    format!("{}.{}.{signature}", part(&header), part(&claims))
}

#[tokio::test]
async fn a_mounted_secret_is_read_again_when_it_is_swapped() {
    let folder = tempfile::tempdir().unwrap();
    mount(folder.path(), "..first", &secret("app", PASSWORD));
    symlink(
        "..data/db.example_5432",
        folder.path().join("db.example_5432"),
    )
    .unwrap();
    let secrets = MountedSecrets::open(folder.path()).unwrap();
    let service = Service::start(secrets).await;
    assert_eq!(service.login("app").await, Login::Accepted);
    assert_eq!(service.login("other").await, no_record());
    assert_eq!(service.login_at("db2.example", "app").await, no_record());
    for host in HOSTILE {
        assert_eq!(service.login_at(host, "app").await, no_record(), "{host}");
    }

    mount(folder.path(), "..second", &secret("other", PASSWORD));
    assert_eq!(service.login("app").await, no_record());
    assert_eq!(service.login("other").await, Login::Accepted);
    mount(folder.path(), "..third", &json!({"other": PASSWORD}));
    let malformed = refused(Code::PermissionDenied, "secrets_malformed");
    assert_eq!(service.login("other").await, malformed);
}

/// As the kubelet does it: a new folder, to which `..data` then points.
fn mount(folder: &Path, name: &str, record: &Value) {
    let files = folder.join(name);
    fs::create_dir(&files).unwrap();
    fs::write(files.join("db.example_5432"), record.to_string()).unwrap();
    symlink(name, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}
