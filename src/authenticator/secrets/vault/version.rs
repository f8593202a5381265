//! Which version the KV engine is of: said, or asked of Vault. Engines are upgraded, so it is asked
//! again now and then, and at once where a path turns out to be none.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use super::{super::Unavailable, kv::KvVersion};

/// For how long an answer is good.
const GOOD_FOR: Duration = Duration::from_secs(60);

pub(super) struct Version {
    said: Option<KvVersion>,
    /// Held while Vault is asked: whoever comes meanwhile gets that answer.
    found: Mutex<Option<(Instant, KvVersion)>>,
}

impl Version {
    pub(super) fn new(said: Option<KvVersion>) -> Self {
        Version {
            said,
            found: Mutex::default(),
        }
    }

    /// As it is known; or, for whom an answer of that moment is too old, as it is now.
    pub(super) async fn get(
        &self,
        too_old: Option<Instant>,
        ask: impl AsyncFnOnce() -> Result<KvVersion, Unavailable>,
    ) -> Result<KvVersion, Unavailable> {
        if let Some(said) = self.said {
            return Ok(said);
        }
        let mut found = self.found.lock().await;
        let is_good = |asked: Instant| match too_old {
            Some(too_old) => asked > too_old,
            None => asked.elapsed() < GOOD_FOR,
        };
        if let Some((asked, version)) = *found
            && is_good(asked)
        {
            return Ok(version);
        }
        let asked = Instant::now();
        let version = ask().await?;
        *found = Some((asked, version));
        Ok(version)
    }
}
