//! Which regions there are, and where STS answers in each.
//!
//! As botocore 1.44.5 has them (`data/endpoints.json` and `data/partitions.json`). A host is never
//! derived from what a caller wrote: a region that is not in this table is refused. The global
//! endpoint is left out, since its session tokens fail in opt-in regions.

/// An AWS region and the STS that serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    name: &'static str,
    partition: &'static str,
    sts_host: &'static str,
    sts_fips_host: Option<&'static str>,
}

impl Region {
    /// Looks a region up by its exact name.
    ///
    /// ```
    /// use approzium::identity::aws::Region;
    ///
    /// let region = Region::find("cn-north-1").ok_or("unknown region")?;
    /// assert_eq!(region.partition(), "aws-cn");
    /// assert_eq!(region.sts_host(), "sts.cn-north-1.amazonaws.com.cn");
    /// assert!(Region::find("cn-north-1.example.com").is_none());
    /// # Ok::<(), &str>(())
    /// ```
    pub fn find(name: &str) -> Option<&'static Region> {
        REGIONS.iter().find(|region| region.name == name)
    }

    /// `eu-central-1`, …
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub fn partition(&self) -> &'static str {
        self.partition
    }

    /// The host name of the regional STS.
    pub fn sts_host(&self) -> &'static str {
        self.sts_host
    }

    /// The host name of the regional STS with FIPS 140 cryptography, where there is one.
    pub fn sts_fips_host(&self) -> Option<&'static str> {
        self.sts_fips_host
    }
}

const fn region(
    name: &'static str,
    partition: &'static str,
    sts_host: &'static str,
    sts_fips_host: Option<&'static str>,
) -> Region {
    Region {
        name,
        partition,
        sts_host,
        sts_fips_host,
    }
}

#[rustfmt::skip]
static REGIONS: &[Region] = &[
    region("af-south-1", "aws", "sts.af-south-1.amazonaws.com", None),
    region("ap-east-1", "aws", "sts.ap-east-1.amazonaws.com", None),
    region("ap-east-2", "aws", "sts.ap-east-2.amazonaws.com", None),
    region("ap-northeast-1", "aws", "sts.ap-northeast-1.amazonaws.com", None),
    region("ap-northeast-2", "aws", "sts.ap-northeast-2.amazonaws.com", None),
    region("ap-northeast-3", "aws", "sts.ap-northeast-3.amazonaws.com", None),
    region("ap-south-1", "aws", "sts.ap-south-1.amazonaws.com", None),
    region("ap-south-2", "aws", "sts.ap-south-2.amazonaws.com", None),
    region("ap-southeast-1", "aws", "sts.ap-southeast-1.amazonaws.com", None),
    region("ap-southeast-2", "aws", "sts.ap-southeast-2.amazonaws.com", None),
    region("ap-southeast-3", "aws", "sts.ap-southeast-3.amazonaws.com", None),
    region("ap-southeast-4", "aws", "sts.ap-southeast-4.amazonaws.com", None),
    region("ap-southeast-5", "aws", "sts.ap-southeast-5.amazonaws.com", None),
    region("ap-southeast-6", "aws", "sts.ap-southeast-6.amazonaws.com", None),
    region("ap-southeast-7", "aws", "sts.ap-southeast-7.amazonaws.com", None),
    region("ca-central-1", "aws", "sts.ca-central-1.amazonaws.com", None),
    region("ca-west-1", "aws", "sts.ca-west-1.amazonaws.com", None),
    region("eu-central-1", "aws", "sts.eu-central-1.amazonaws.com", None),
    region("eu-central-2", "aws", "sts.eu-central-2.amazonaws.com", None),
    region("eu-north-1", "aws", "sts.eu-north-1.amazonaws.com", None),
    region("eu-south-1", "aws", "sts.eu-south-1.amazonaws.com", None),
    region("eu-south-2", "aws", "sts.eu-south-2.amazonaws.com", None),
    region("eu-west-1", "aws", "sts.eu-west-1.amazonaws.com", None),
    region("eu-west-2", "aws", "sts.eu-west-2.amazonaws.com", None),
    region("eu-west-3", "aws", "sts.eu-west-3.amazonaws.com", None),
    region("il-central-1", "aws", "sts.il-central-1.amazonaws.com", None),
    region("me-central-1", "aws", "sts.me-central-1.amazonaws.com", None),
    region("me-south-1", "aws", "sts.me-south-1.amazonaws.com", None),
    region("me-west-1", "aws", "sts.me-west-1.amazonaws.com", None),
    region("mx-central-1", "aws", "sts.mx-central-1.amazonaws.com", None),
    region("sa-east-1", "aws", "sts.sa-east-1.amazonaws.com", None),
    region("sa-west-1", "aws", "sts.sa-west-1.amazonaws.com", None),
    region("us-east-1", "aws", "sts.us-east-1.amazonaws.com", Some("sts-fips.us-east-1.amazonaws.com")),
    region("us-east-2", "aws", "sts.us-east-2.amazonaws.com", Some("sts-fips.us-east-2.amazonaws.com")),
    region("us-west-1", "aws", "sts.us-west-1.amazonaws.com", Some("sts-fips.us-west-1.amazonaws.com")),
    region("us-west-2", "aws", "sts.us-west-2.amazonaws.com", Some("sts-fips.us-west-2.amazonaws.com")),
    region("cn-north-1", "aws-cn", "sts.cn-north-1.amazonaws.com.cn", None),
    region("cn-northwest-1", "aws-cn", "sts.cn-northwest-1.amazonaws.com.cn", None),
    region("us-gov-east-1", "aws-us-gov", "sts.us-gov-east-1.amazonaws.com", Some("sts.us-gov-east-1.amazonaws.com")),
    region("us-gov-west-1", "aws-us-gov", "sts.us-gov-west-1.amazonaws.com", Some("sts.us-gov-west-1.amazonaws.com")),
    region("us-iso-east-1", "aws-iso", "sts.us-iso-east-1.c2s.ic.gov", None),
    region("us-iso-west-1", "aws-iso", "sts.us-iso-west-1.c2s.ic.gov", None),
    region("us-isob-east-1", "aws-iso-b", "sts.us-isob-east-1.sc2s.sgov.gov", None),
    region("us-isob-west-1", "aws-iso-b", "sts.us-isob-west-1.sc2s.sgov.gov", None),
    region("eu-isoe-west-1", "aws-iso-e", "sts.eu-isoe-west-1.cloud.adc-e.uk", None),
    region("us-isof-east-1", "aws-iso-f", "sts.us-isof-east-1.csp.hci.ic.gov", None),
    region("us-isof-south-1", "aws-iso-f", "sts.us-isof-south-1.csp.hci.ic.gov", None),
    region("eusc-de-east-1", "aws-eusc", "sts.eusc-de-east-1.amazonaws.eu", None),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_has_its_own_host_in_its_partition_s_domain() {
        for region in REGIONS {
            let suffix = match region.partition {
                "aws" | "aws-us-gov" => "amazonaws.com",
                "aws-cn" => "amazonaws.com.cn",
                "aws-eusc" => "amazonaws.eu",
                "aws-iso" => "c2s.ic.gov",
                "aws-iso-b" => "sc2s.sgov.gov",
                "aws-iso-e" => "cloud.adc-e.uk",
                "aws-iso-f" => "csp.hci.ic.gov",
                other => panic!("unknown partition {other}"),
            };
            assert_eq!(region.sts_host, format!("sts.{}.{suffix}", region.name));
            if let Some(fips) = region.sts_fips_host {
                assert!(fips.ends_with(&format!(".{}.{suffix}", region.name)));
            }
            let namesakes = REGIONS.iter().filter(|other| other.name == region.name);
            assert_eq!(namesakes.count(), 1, "{}", region.name);
        }
    }

    #[test]
    fn what_is_not_in_the_table_has_no_host() {
        for name in [
            "",
            "aws-global",
            "us-east-1 ",
            "US-EAST-1",
            "us-east-1/../x",
            "us-east-99",
        ] {
            assert!(Region::find(name).is_none(), "{name:?}");
        }
    }
}
