//! Whether the machine is an EC2 instance, told by its firmware and hypervisor and without a
//! single packet.
//!
//! Nitro instances name `Amazon EC2` as the vendor of the system. Xen instances have a UUID that
//! begins with `ec2`, which some firmware stores with the first fields in little-endian order.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html>

use super::machine::Machine;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is one, with its id where the board carries it (Nitro).
    Ec2 { instance_id: Option<String> },
    /// It is something else: what.
    Other(String),
    /// It does not say: no DMI, or not for us to read.
    Unknown,
}

pub(super) async fn verdict(machine: &Machine) -> Verdict {
    let read = async |path: &str| {
        let text = machine.read(path).await?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    judge(&Firmware {
        vendor: read("sys/class/dmi/id/sys_vendor").await,
        product_uuid: read("sys/class/dmi/id/product_uuid").await,
        hypervisor_uuid: read("sys/hypervisor/uuid").await,
        bios_version: read("sys/class/dmi/id/bios_version").await,
        board_asset_tag: read("sys/class/dmi/id/board_asset_tag").await,
    })
}

#[derive(Default)]
struct Firmware {
    vendor: Option<String>,
    /// Readable by root alone.
    product_uuid: Option<String>,
    /// Xen alone.
    hypervisor_uuid: Option<String>,
    bios_version: Option<String>,
    board_asset_tag: Option<String>,
}

fn judge(firmware: &Firmware) -> Verdict {
    let vendor = firmware.vendor.as_deref();
    let uuids = [&firmware.hypervisor_uuid, &firmware.product_uuid];
    let mut uuids = uuids.into_iter().flatten().peekable();
    let any_uuid = uuids.peek().is_some();
    let amazon_bios = firmware
        .bios_version
        .as_deref()
        .is_some_and(|version| version.ends_with(".amazon"));
    let is_xen = vendor == Some("Xen") || firmware.hypervisor_uuid.is_some();

    if vendor == Some("Amazon EC2") || amazon_bios || uuids.any(|uuid| is_ec2_uuid(uuid)) {
        let instance_id = firmware
            .board_asset_tag
            .clone()
            .filter(|tag| is_instance_id(tag));
        return Verdict::Ec2 { instance_id };
    }
    match vendor {
        // Xen is what old EC2 instances say too: then it is the UUID that decides.
        Some("Xen") | None if is_xen && any_uuid => {
            Verdict::Other("Xen, and its UUID is not one of EC2".to_owned())
        }
        Some("Xen") | None => Verdict::Unknown,
        Some(vendor) => Verdict::Other(crate::error::printable(vendor)),
    }
}

fn is_ec2_uuid(uuid: &str) -> bool {
    let uuid = uuid.to_ascii_lowercase();
    // aabbccdd-… in little-endian order is ddccbbaa-…
    let swapped = |bytes: &[u8]| match bytes {
        [.., c1, c2, d1, d2] => *d1 == b'e' && *d2 == b'c' && *c1 == b'2' && c2.is_ascii_hexdigit(),
        _ => false,
    };
    uuid.starts_with("ec2") || uuid.as_bytes().get(..8).is_some_and(swapped)
}

/// `i-` and 8 or 17 hexadecimal digits.
pub(super) fn is_instance_id(text: &str) -> bool {
    text.strip_prefix("i-").is_some_and(|id| {
        matches!(id.len(), 8 | 17) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_judged_by_what_it_shows() {
        let ec2 = || Verdict::Ec2 { instance_id: None };
        let other = |what: &str| Verdict::Other(what.to_owned());
        let xen = || other("Xen, and its UUID is not one of EC2");
        // vendor, product UUID, hypervisor UUID, BIOS
        let table = [
            ("Amazon EC2", "", "", "1.0", ec2()),
            ("Xen", "", "ec2e1916-9099-7caf-fd21-012345abcdef", "", ec2()),
            ("Xen", "EC2E1916-9099-7CAF-FD21-012345ABCDEF", "", "", ec2()),
            ("Xen", "45E12AEC-DCD1-B213-94ED-01234ABCDEF0", "", "", ec2()),
            ("", "", "ec2e1916-9099-7caf-fd21-012345abcdef", "", ec2()),
            ("Xen", "", "", "4.11.amazon", ec2()),
            ("Xen", "", "7c0e37a4-2b1a-4b0f-9d0c-1c2d3e4f5a6b", "", xen()),
            ("", "", "7c0e37a4-2b1a-4b0f-9d0c-1c2d3e4f5a6b", "", xen()),
            ("Xen", "", "", "", Verdict::Unknown),
            ("", "", "", "", Verdict::Unknown),
            (
                "",
                "7c0e37a4-2b1a-4b0f-9d0c-1c2d3e4f5a6b",
                "",
                "",
                Verdict::Unknown,
            ),
            ("QEMU", "", "", "", other("QEMU")),
            ("Google", "", "", "Google", other("Google")),
            (
                "Microsoft Corporation",
                "",
                "",
                "",
                other("Microsoft Corporation"),
            ),
            (
                "Dell Inc.",
                "4C4C4544-0042-4810-8056-B4C04F4B3132",
                "",
                "",
                other("Dell Inc."),
            ),
        ];
        for (vendor, product_uuid, hypervisor_uuid, bios_version, expected) in table {
            let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let verdict = judge(&Firmware {
                vendor: given(vendor),
                product_uuid: given(product_uuid),
                hypervisor_uuid: given(hypervisor_uuid),
                bios_version: given(bios_version),
                board_asset_tag: None,
            });
            assert_eq!(
                verdict, expected,
                "{vendor} {product_uuid} {hypervisor_uuid}"
            );
        }
    }

    #[test]
    fn a_nitro_board_carries_the_id_of_its_instance() {
        let board = |tag: &str| {
            judge(&Firmware {
                vendor: Some("Amazon EC2".to_owned()),
                board_asset_tag: Some(tag.to_owned()),
                ..Firmware::default()
            })
        };
        let instance_id = Some("i-0123456789abcdef0".to_owned());
        assert_eq!(board("i-0123456789abcdef0"), Verdict::Ec2 { instance_id });
        assert_eq!(board("Amazon EC2"), Verdict::Ec2 { instance_id: None });
    }
}
