//! The token of the moment: obtained when it is wanted, renewed before it ends.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use ::http::HeaderValue;
use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::{sync::Mutex, task::AbortHandle, time::Instant};

use super::{
    super::Unavailable,
    api::{Api, Reply},
    life::Life,
    login::{VaultLogin, granted},
};
use crate::{authenticator::metrics::Metrics, error::printable, stamp::Stamp};

/// How long a token is left alone.
const LOOK: Duration = Duration::from_secs(60);
/// After what did not work.
const AGAIN: Duration = Duration::from_secs(5);
const AT_LEAST: Duration = Duration::from_millis(100);
/// For so long after its login a token may be unknown to some of Vault's nodes.
const NEW: Duration = Duration::from_secs(5);
/// How often a denial is answered by a login where nothing proves the token to be good: each leaves a
/// lease in Vault, and what is denied, strangers can name.
const IN_VAIN: Duration = Duration::from_secs(60);

/// A token of Vault's.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    /// Nothing where it does not end, or does not say.
    pub(super) life: Option<Life>,
    /// Of the file that it is from.
    pub(super) stamp: Option<Stamp>,
    /// Nothing where it was given to us.
    pub(super) logged_in: Option<Instant>,
}

impl Token {
    pub(super) fn is_new(&self) -> bool {
        self.logged_in.is_some_and(|at| at.elapsed() < NEW)
    }
}

/// Whoever wants a token gets this one's.
pub(super) struct Tokens {
    login: VaultLogin,
    api: Arc<Api>,
    current: ArcSwapOption<Token>,
    /// Held while another is obtained. When a denial was last answered by a login whose token
    /// nothing proves to be good either.
    obtaining: Mutex<Option<Instant>>,
    keeper: OnceLock<AbortHandle>,
    metrics: OnceLock<Arc<Metrics>>,
}

impl Tokens {
    pub(super) fn new(login: VaultLogin, api: Arc<Api>) -> Self {
        Tokens {
            login,
            api,
            current: ArcSwapOption::empty(),
            obtaining: Mutex::default(),
            keeper: OnceLock::new(),
            metrics: OnceLock::new(),
        }
    }

    /// Shows when tokens end.
    pub(super) fn show(&self, metrics: &Arc<Metrics>) {
        // Who was first stays.
        let _ = self.metrics.set(metrics.clone());
    }

    pub(super) async fn token(self: &Arc<Self>) -> Result<Arc<Token>, Unavailable> {
        self.keeper
            .get_or_init(|| tokio::spawn(keeper(Arc::downgrade(self))).abort_handle());
        if let Some(token) = self.usable().await {
            return Ok(token);
        }
        let _obtaining = self.obtaining.lock().await;
        match self.usable().await {
            Some(token) => Ok(token),
            None => self.obtain().await,
        }
    }

    /// Another token than this one, with which Vault does not answer; `None` if this one is good,
    /// or the only one that can be had. `mount` is where one asks what is mounted.
    pub(super) async fn instead_of(
        &self,
        denied: &Token,
        mount: &str,
    ) -> Result<Option<Arc<Token>>, Unavailable> {
        let mut in_vain = self.obtaining.lock().await;
        let current = self.current.load_full();
        if let Some(current) = current.filter(|current| current.header != denied.header) {
            return Ok(Some(current));
        }
        if !self.login.can_log_in() {
            let token = self.obtain().await?;
            return Ok((token.header != denied.header).then_some(token));
        }
        if self.is_good(denied, mount).await? {
            *in_vain = None;
            return Ok(None);
        }
        if in_vain.is_some_and(|at| at.elapsed() < IN_VAIN) {
            return Ok(None);
        }
        let token = self.obtain().await?;
        *in_vain = Some(Instant::now());
        if let Ok(true) = self.is_good(&token, mount).await {
            // The one before was withdrawn; so may this one be.
            *in_vain = None;
        }
        Ok(Some(token))
    }

    /// Whether something proves that it is a token, so that what it was denied is a matter of its
    /// policies. Without the policy `default` it may not look itself up; but what is mounted
    /// somewhere is told to whoever may read something there.
    async fn is_good(&self, token: &Token, mount: &str) -> Result<bool, Unavailable> {
        for path in ["auth/token/lookup-self", mount] {
            if let Reply::Good(_) = self.api.get(&token.header, path).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn usable(&self) -> Option<Arc<Token>> {
        let token = self.current.load_full()?;
        let ended = self.login.can_log_in() && token.life.is_some_and(|life| life.is_over());
        (!ended && self.login.is_current(&token).await).then_some(token)
    }

    async fn obtain(&self) -> Result<Arc<Token>, Unavailable> {
        let current = self.current.load_full();
        let token = self.login.obtain(&self.api, current.as_deref()).await?;
        let token = Arc::new(token);
        self.keep(token.clone());
        Ok(token)
    }

    fn keep(&self, token: Arc<Token>) {
        if let Some(metrics) = self.metrics.get() {
            metrics.secrets_token(token.life.map(|life| (life.ends, life.granted)));
        }
        self.current.store(Some(token));
    }

    /// Renews the token if it is time to; says when to look again.
    async fn tend(self: &Arc<Self>) -> Duration {
        let token = match self.token().await {
            Ok(token) => token,
            Err(unavailable) => return troubled("there is no token", &unavailable),
        };
        let Some(life) = token.life else { return LOOK };
        if !life.renewable && !self.login.can_log_in() {
            return LOOK;
        }
        if Instant::now() >= life.due()
            && let Err(unavailable) = self.renew(&token, life).await
        {
            let again = troubled("the token is not renewed", &unavailable);
            let last = life.last().saturating_duration_since(Instant::now());
            return if last > AT_LEAST {
                again.min(last)
            } else {
                again
            };
        }
        let life = self.current.load_full().and_then(|token| token.life);
        life.map_or(LOOK, |life| {
            let until = life.due().saturating_duration_since(Instant::now());
            until.clamp(AT_LEAST, LOOK)
        })
    }

    async fn renew(&self, token: &Arc<Token>, life: Life) -> Result<(), Unavailable> {
        let _obtaining = self.obtaining.lock().await;
        let current = self.current.load_full();
        if current.is_none_or(|current| current.header != token.header) {
            return Ok(());
        }
        let can_log_in = self.login.can_log_in();
        let renewed = match life.renewable {
            true => self.renewed(token).await,
            false => Ok(None),
        };
        match renewed {
            Ok(Some(new)) if !can_log_in => {
                let new = life.renewed(new);
                if new.dwindles && !life.dwindles {
                    ::tracing::warn!(
                        "Vault renews the token for less and less: give another before it ends"
                    );
                }
                self.live_on(token, new);
                return Ok(());
            }
            // Towards the end of the longest life that Vault grants, less and less is given, and
            // then a 500.
            Ok(Some(new)) if new.ttl >= life.ttl / 2 => {
                self.live_on(token, new);
                return Ok(());
            }
            // It is tried again: a login for each such moment leaves a good token behind.
            Err(unavailable) if !can_log_in || Instant::now() < life.last() => {
                return Err(unavailable);
            }
            _ if can_log_in => return self.obtain().await.map(drop),
            _ => {}
        }
        ::tracing::warn!("Vault does not renew the token: give another before it ends");
        self.live_on(
            token,
            Life {
                renewable: false,
                ..life
            },
        );
        Ok(())
    }

    /// How long it lives from now on; nothing if Vault does not renew it.
    async fn renewed(&self, token: &Token) -> Result<Option<Life>, Unavailable> {
        let path = "auth/token/renew-self";
        match self.api.post(Some(&token.header), path, &json!({})).await? {
            Reply::Good(answer) => granted(&answer).map(|renewed| renewed.life),
            Reply::Absent(_) | Reply::Denied(_) => Ok(None),
        }
    }

    fn live_on(&self, token: &Token, life: Life) {
        self.keep(Arc::new(Token {
            life: Some(life),
            ..token.clone()
        }));
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

/// A type that the compiler need not look into: it asks for tokens itself.
fn keeper(tokens: Weak<Tokens>) -> BoxFuture<'static, ()> {
    Box::pin(keep(tokens))
}

/// For as long as somebody may want a token.
async fn keep(tokens: Weak<Tokens>) {
    loop {
        let Some(kept) = tokens.upgrade() else { return };
        let wait = kept.tend().await;
        drop(kept);
        tokio::time::sleep(wait).await;
    }
}

fn troubled(what: &str, unavailable: &Unavailable) -> Duration {
    let detail = printable(&unavailable.to_string());
    ::tracing::warn!(trouble = ?unavailable.trouble, ?detail, "{what}");
    AGAIN
}

#[cfg(test)]
mod tests {
    use super::{
        super::scripted::{LOGIN, Scripted},
        *,
    };

    #[tokio::test]
    async fn a_renewal_that_fails_for_a_moment_is_no_reason_to_log_in() {
        for status in [429, 503] {
            let scripted = Scripted::start(move |_, _| (status, json!({}))).await;
            let tokens = &scripted.vault.tokens;
            let token = tokens.token().await.unwrap();
            let life = token.life.unwrap();
            assert!(tokens.renew(&token, life).await.is_err(), "{status}");
            assert_eq!(scripted.asked(LOGIN), 1, "{status}");
            // But for that nothing of its life is left.
            let ttl = Duration::ZERO;
            tokens.renew(&token, Life { ttl, ..life }).await.unwrap();
            assert_eq!(scripted.asked(LOGIN), 2, "{status}");
        }
    }
}
