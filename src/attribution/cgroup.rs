//! What `/proc/self/cgroup` and `/proc/self/mountinfo` tell of the container around a process.
//!
//! Cgroup paths name the container itself. Mounts are second hand: in a pod `/etc/hostname` comes
//! from the pod's *sandbox*, a container of its own, so there it names nothing that is ours, while
//! outside of pods Docker and Podman mount it from the container's own folder. What the kubelet
//! mounts names the pod and the container's name in it.

/// What is known of the container around this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traces {
    /// The runtime's id of the container.
    pub(super) container_id: Option<String>,
    /// The UID of the Kubernetes pod.
    pub(super) pod_uid: Option<String>,
    /// The container's name in its pod.
    pub(super) container_name: Option<String>,
}

impl Traces {
    pub(super) fn is_pod(&self) -> bool {
        self.pod_uid.is_some()
    }

    /// Reads both files; either may be absent and thus empty. `in_pod` says that something else
    /// shows that this is a pod.
    pub(super) fn read(cgroup: &str, mountinfo: &str, in_pod: bool) -> Self {
        let mut traces = Traces::default();
        for path in cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
            traces.take_cgroup(path);
        }
        let mounts = || mountinfo.lines().filter_map(Mount::parse);
        for mount in mounts() {
            if mount.is_cgroup {
                traces.take_cgroup(mount.root);
            }
            traces.take_kubelet_mount(&mount);
        }
        if !in_pod && !traces.is_pod() && traces.container_id.is_none() {
            traces.container_id = mounts().find_map(|mount| own_hostname(&mount));
        }
        traces
    }

    /// Takes what a path in a cgroup hierarchy names, innermost first.
    fn take_cgroup(&mut self, path: &str) {
        let mut container_id = None;
        let mut pod_uid = None;
        for segment in path.rsplit('/') {
            if let Some(uid) = pod_of_segment(segment) {
                pod_uid = Some(uid);
                // containerd without systemd: `…-pod<uid>.slice:cri-containerd:<id>`.
                container_id = container_id.or_else(|| container_of_segment(segment));
                // Outside of the pod lies the node, in a container of its own where it is kind's.
                break;
            }
            container_id = container_id.or_else(|| container_of_segment(segment));
        }
        self.container_id = self.container_id.take().or(container_id);
        self.pod_uid = self.pod_uid.take().or(pod_uid);
    }

    fn take_kubelet_mount(&mut self, mount: &Mount<'_>) {
        let mut segments = mount.root.rsplit('/');
        let mut next = || segments.next().unwrap_or_default();
        match (mount.point, [next(), next(), next(), next(), next()]) {
            // …/pods/<uid>/etc-hosts
            ("/etc/hosts", ["etc-hosts", uid, "pods", ..]) => {
                self.pod_uid = self.pod_uid.take().or_else(|| pod_uid(uid));
            }
            // …/pods/<uid>/containers/<name>/<attempt>, at the container's terminationMessagePath
            (_, [attempt, name, "containers", uid, "pods"]) if is_hex(attempt, 8) => {
                let Some(uid) = pod_uid(uid) else { return };
                self.pod_uid.get_or_insert(uid);
                self.container_name.get_or_insert_with(|| name.to_owned());
            }
            _ => {}
        }
    }
}

/// A line of `mountinfo`, see proc_pid_mountinfo(5).
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    is_cgroup: bool,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (fields, kind) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(3);
        Some(Mount {
            root: fields.next()?,
            point: fields.next()?,
            is_cgroup: matches!(kind.split(' ').next(), Some("cgroup" | "cgroup2")),
        })
    }
}

/// The container from whose own folder `/etc/hostname` is mounted.
fn own_hostname(mount: &Mount<'_>) -> Option<String> {
    if mount.point != "/etc/hostname" {
        return None;
    }
    let mut segments = mount.root.rsplit('/');
    let mut next = || segments.next().unwrap_or_default();
    let id = match [next(), next(), next(), next()] {
        // Docker: …/containers/<id>/hostname
        ["hostname", id, "containers", _] => id,
        // Podman: …/overlay-containers/<id>/userdata/hostname
        ["hostname", "userdata", id, "overlay-containers"] => id,
        _ => return None,
    };
    is_hex(id, 64).then(|| id.to_owned())
}

/// `pod<uid>`, or systemd's `kubepods-besteffort-pod<uid with underscores>.slice`.
fn pod_of_segment(segment: &str) -> Option<String> {
    let slice = segment.split(".slice").next()?;
    let uid = match slice.strip_prefix("pod") {
        Some(uid) => uid,
        None if slice.starts_with("kubepods") || slice.starts_with("kubelet-kubepods") => {
            slice.rsplit_once("-pod")?.1
        }
        None => return None,
    };
    pod_uid(uid)
}

/// A UUID, or the hash that stands in for it in static pods.
fn pod_uid(text: &str) -> Option<String> {
    let uid = text.replace('_', "-");
    let digits: String = uid.chars().filter(|c| *c != '-').collect();
    let is_uuid = uid.len() == 36 && uid.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    (is_hex(&digits, 32) && (is_uuid || uid.len() == 32)).then_some(uid)
}

/// `<id>`, `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>.scope`,
/// `libpod-<id>.scope`, `….slice:cri-containerd:<id>`; on Fargate `<task id>-<number>`.
fn container_of_segment(segment: &str) -> Option<String> {
    let scope = segment.strip_suffix(".scope").unwrap_or(segment);
    // The monitor beside a container has the container's id in its name too.
    if scope.contains("conmon") {
        return None;
    }
    if let Some((task, number)) = scope.split_once('-') {
        let is_number =
            (6..=12).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        if is_hex(task, 32) && is_number {
            return Some(scope.to_owned());
        }
    }
    let id = scope.rsplit(['-', ':']).next()?;
    is_hex(id, 64).then(|| id.to_owned())
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c";
    const OTHER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
    const POD: &str = "8f4c1a52-0b6d-4f0e-9a55-3d1d6c1f7e21";

    #[test]
    fn a_cgroup_path_names_container_and_pod() {
        let pod_ = POD.replace('-', "_");
        let slice = format!("kubepods-burstable-pod{pod_}.slice");
        let task = "8f03e41243824aea923aca126495f665";
        let fargate = format!("{task}-3456789012");
        let table = [
            (format!("/docker/{ID}"), Some(ID), None),
            (format!("/system.slice/docker-{ID}.scope"), Some(ID), None),
            (format!("/docker/{ID}/init.scope"), Some(ID), None),
            (
                format!("/machine.slice/libpod-{ID}.scope/container"),
                Some(ID),
                None,
            ),
            (
                format!("/machine.slice/libpod-conmon-{ID}.scope"),
                None,
                None,
            ),
            (format!("/ecs/{task}/{ID}"), Some(ID), None),
            (
                format!("/ecs/{task}/{fargate}"),
                Some(fargate.as_str()),
                None,
            ),
            (
                format!("/kubepods/besteffort/pod{POD}/{ID}"),
                Some(ID),
                Some(POD),
            ),
            (format!("/kubepods/pod{POD}/{ID}"), Some(ID), Some(POD)),
            (
                format!("/kubepods.slice/{slice}/cri-containerd-{ID}.scope"),
                Some(ID),
                Some(POD),
            ),
            (
                format!("/kubepods.slice/{slice}/crio-{ID}.scope"),
                Some(ID),
                Some(POD),
            ),
            (
                format!("/kubepods.slice/{slice}/crio-{ID}.scope/container"),
                Some(ID),
                Some(POD),
            ),
            (
                format!("/kubepods.slice/{slice}/crio-conmon-{ID}.scope"),
                None,
                Some(POD),
            ),
            (
                format!("/system.slice/containerd.service/{slice}:cri-containerd:{ID}"),
                Some(ID),
                Some(POD),
            ),
            (
                format!("/docker/{OTHER}/kubelet/kubepods/pod{POD}/{ID}"),
                Some(ID),
                Some(POD),
            ),
            (
                format!("/docker/{OTHER}/kubelet/kubepods/pod{POD}"),
                None,
                Some(POD),
            ),
            (format!("/kubepods/pod{task}/{ID}"), Some(ID), Some(task)),
            ("/".to_owned(), None, None),
            (
                "/user.slice/user-1000.slice/session-2.scope".to_owned(),
                None,
                None,
            ),
            ("/podinfo/podman".to_owned(), None, None),
            (format!("/docker/{}", &ID[1..]), None, None),
        ];
        for (path, container_id, pod_uid) in table {
            let traces = Traces::read(&format!("12:cpu,cpuacct:{path}\n0::/\n"), "", false);
            assert_eq!(traces.container_id.as_deref(), container_id, "{path}");
            assert_eq!(traces.pod_uid.as_deref(), pod_uid, "{path}");
        }
    }

    #[test]
    fn nothing_makes_it_panic() {
        for nonsense in [
            "",
            ":",
            "::",
            ":::::",
            "\u{0}",
            "0::pod/é.slice:x",
            " - ",
            "a b c d - ",
        ] {
            assert_eq!(Traces::read(nonsense, nonsense, false), Traces::default());
        }
    }
}
