//! Whether STS can be asked. Of which region each proof says; the settings know some of them.

use std::time::Duration;

use futures_util::future::join_all;

use super::{
    Finding::{self, Bad, Doubtful, Good, Unchecked},
    bad,
};
use crate::{
    authenticator::config::Config,
    error::printable,
    identity::aws::{Region, StsVerifierBuilder},
};

/// STS is near, or there is something between.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whose STS is asked where no setting names a region: AWS's first, which nobody can turn off.
const OTHERWISE: &str = "us-east-1";

pub(super) async fn sts(config: &Config, verifier: StsVerifierBuilder) -> Finding {
    let named: Vec<&str> = match (config.sts_regions.as_slice(), &config.aws_region) {
        ([], Some(region)) => vec![region],
        ([], None) => vec![OTHERWISE],
        (regions, _) => regions.iter().map(|region| region.name()).collect(),
    };
    let is_guessed = config.sts_regions.is_empty() && config.aws_region.is_none();
    let mut regions = Vec::new();
    for name in named {
        let Some(region) = Region::find(name) else {
            let problem = format!("\"{}\" is no region of AWS's", printable(name));
            return bad(&config.layers.error("aws_region", problem));
        };
        regions.push(region);
    }
    if config.without_sts {
        return Unchecked("--without-sts: nobody was asked");
    }
    let verifier = match verifier.timeout(TIMEOUT).build() {
        Ok(verifier) => verifier,
        Err(error) => return bad(&error),
    };
    let asked = regions.iter().map(async |region| {
        let reached = verifier.reach(region).await;
        let problem = |rejection| format!("the one of {}: {rejection}", region.name());
        reached.map_err(problem)
    });
    let silent: Vec<String> = join_all(asked)
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    let names: Vec<&str> = regions.iter().map(|region| region.name()).collect();
    let (names, silent) = (names.join(", "), silent.join("; "));
    match (silent.is_empty(), is_guessed) {
        (true, false) => Good(format!("the one of {names} answers")),
        (true, true) => Good(format!("the one of {names} answers; {UNNAMED}")),
        (false, false) => Bad(silent),
        (false, true) => Doubtful(format!("{silent}; {UNNAMED}")),
    }
}

const UNNAMED: &str = "sts_regions says which applications use";

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};

    use super::*;
    use crate::{
        authenticator::{config::load, serve::verifier},
        identity::Rejection,
    };

    /// What is found where nobody listens, whatever the name of the STS is.
    async fn found(flags: &[&str]) -> Finding {
        let config = load(flags, &[]).unwrap();
        sts(&config, verifier(&config).dial(nobody())).await
    }

    fn nobody() -> SocketAddr {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        free.local_addr().unwrap()
    }

    #[tokio::test]
    async fn it_is_asked_in_every_region_that_a_setting_names_and_in_one_where_none_does() {
        let Doubtful(said) = found(&[]).await else {
            panic!("it is no more than a guess");
        };
        assert!(said.starts_with("the one of us-east-1: ") && said.ends_with(UNNAMED));
        let Bad(said) = found(&["--aws-region=eu-west-1"]).await else {
            panic!("it is the one that was said");
        };
        assert!(said.starts_with("the one of eu-west-1: ") && !said.contains("sts_regions"));
        // Secrets may be in another region than applications.
        let flags = [
            "--aws-region=eu-west-1",
            "--sts-regions=us-east-2,cn-north-1",
        ];
        let Bad(said) = found(&flags).await else {
            panic!("both are those that were said");
        };
        assert!(said.contains("us-east-2: ") && said.contains("; the one of cn-north-1: "));
        assert!(!said.contains("eu-west-1"));
        // None that `serve` would not ask.
        let config = load(&flags, &[]).unwrap();
        let verifier = verifier(&config).dial(nobody()).build().unwrap();
        let region = Region::find("eu-west-1").unwrap();
        assert_eq!(verifier.reach(region).await, Err(Rejection::UnknownRegion));
        let left_out = found(&["--check", "--without-sts"]).await;
        assert!(matches!(left_out, Unchecked(_)));
    }
}
