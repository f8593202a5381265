//! What files and documents say of the machine, with NULs between them: `/proc/self/cgroup`,
//! `mountinfo`, ECS's documents of the container and the task, EC2's identity document, and
//! `OTEL_RESOURCE_ATTRIBUTES`. What is taken is fit to be shown.

#![no_main]

use approzium::fuzzing::attribution::{container, ec2, ecs, resource_attribute};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut parts = text.split('\0');
    let mut part = || parts.next().unwrap_or_default();
    let (cgroup, mountinfo) = (part(), part());
    for in_pod in [true, false] {
        let [container_id, pod_uid, _] = container(cgroup, mountinfo, in_pod);
        for id in [container_id, pod_uid].into_iter().flatten() {
            let digits = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
            assert!(
                (32..=80).contains(&id.len()) && id.bytes().all(digits),
                "{id:?}"
            );
        }
    }
    let found = ecs(part().as_bytes(), part().as_bytes());
    for (key, value) in found.into_iter().chain(ec2(part().as_bytes())) {
        // An array prints with brackets and quotes.
        fit(key, value.as_str().trim_matches(['[', ']']));
    }
    if let Some(value) = resource_attribute(part(), "k8s.pod.name") {
        fit("k8s.pod.name", &value);
    }
});

fn fit(key: &str, value: &str) {
    assert!(value.len() <= 258 && !value.is_empty(), "{key}: {value:?}");
    assert!(!value.contains(char::is_control), "{key}: {value:?}");
}
