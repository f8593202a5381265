//! The machine as the probes see it: environment variables and small files, both replaceable.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tokio::{
    fs::File,
    io::{AsyncReadExt, Take},
    sync::OnceCell,
};

use super::{
    container::{self, Traces},
    dmi::{self, Verdict},
};

/// The most that is read of a file. A crowded host's mount table may be longer; what names the
/// container stands in a container's own, which is short.
const LONGEST_FILE: u64 = 256 * 1024;

#[derive(Debug)]
pub(super) struct Machine {
    variables: Option<BTreeMap<String, String>>,
    root: PathBuf,
    verdict: OnceCell<Verdict>,
    traces: OnceCell<Traces>,
}

impl Machine {
    /// `variables` instead of the process's own, and `root` instead of `/`.
    pub(super) fn new(variables: Option<BTreeMap<String, String>>, root: PathBuf) -> Self {
        Machine {
            variables,
            root,
            verdict: OnceCell::new(),
            traces: OnceCell::new(),
        }
    }

    /// Whether the variables are the process's own, which the AWS SDK reads too.
    #[cfg(feature = "aws-config")]
    pub(super) fn is_own_environment(&self) -> bool {
        self.variables.is_none()
    }

    /// A variable that is set to something.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let value = match &self.variables {
            Some(variables) => variables.get(name).cloned(),
            None => std::env::var(name).ok(),
        };
        value.filter(|value| !value.trim().is_empty())
    }

    /// The first of several variables that is set to something.
    pub(super) fn first_variable(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.variable(name))
    }

    /// Whether a variable says `true`, as the AWS SDKs read it.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.variable(name)
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }

    /// The beginning of a file as text, if there is such a file and it can be read.
    pub(super) async fn read(&self, path: &str) -> Option<String> {
        let path = self.root.join(Path::new(path.trim_start_matches('/')));
        let mut file: Take<File> = File::open(path).await.ok()?.take(LONGEST_FILE);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).await.ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether this is an EC2 instance, as its firmware and hypervisor tell it.
    pub(super) async fn verdict(&self) -> &Verdict {
        self.verdict.get_or_init(|| dmi::verdict(self)).await
    }

    /// What cgroups and mounts tell of the container around this process.
    pub(super) async fn traces(&self) -> &Traces {
        self.traces.get_or_init(|| container::traces(self)).await
    }

    /// Whether this process runs in a Kubernetes pod.
    pub(super) async fn is_kubernetes(&self) -> bool {
        self.variable("KUBERNETES_SERVICE_HOST").is_some()
            || self.traces().await.is_pod()
            || self.read(super::kubernetes::NAMESPACE_FILE).await.is_some()
    }
}
