//! A Chromium without a window, with one page: to see what people see.

mod devtools;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use self::devtools::DevTools;
use crate::{Error, Process, Result, Stop, files};

/// How long a page may take to show what it has to show.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it is called on Debian, on others, and by Google.
const PROGRAMS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
];

/// Nothing leaves this machine, and nothing is kept.
const FLAGS: [&str; 18] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox", // root has none
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-breakpad",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
    "--no-proxy-server",
    "--password-store=basic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--lang=en-US",
];

/// A running Chromium. It stops when the value is dropped.
pub struct Chromium {
    browser: Process,
    folder: tempfile::TempDir,
    devtools: DevTools,
    session: String,
}

impl Chromium {
    /// Starts the one on `PATH`.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn start() -> Result<Self> {
        let program = PROGRAMS.into_iter().find_map(files::on_path);
        let program = program.ok_or_else(|| {
            let install = "Chromium is not on this machine; install Debian's package chromium";
            Error::Missing(install.into())
        })?;
        let folder = files::folder_of(None)?;
        let (browser, commands, answers) = Process::start_talking(
            "chromium",
            &mut command(&program, folder.path()),
            Stop::Terminate,
            &folder.path().join("chromium.log"),
            Some(folder.path()),
        )?;
        let mut devtools = DevTools::new(commands, answers)?;
        let page = json!({"url": "about:blank"});
        let page = devtools.call(None, "Target.createTarget", page).await?;
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let session = devtools.call(None, "Target.attachToTarget", attach).await?;
        let mut chromium = Chromium {
            browser,
            folder,
            devtools,
            session: session["sessionId"].as_str().unwrap_or("").to_owned(),
        };
        chromium.resize(1400, 2000).await?;
        Ok(chromium)
    }

    /// Where all that it keeps is, until it stops.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Goes to an address, and waits until that has loaded. What scripts still do there is for
    /// [`until`](Self::until).
    pub async fn open(&mut self, url: &str) -> Result<()> {
        self.evaluate("document.documentElement.dataset.left = ''")
            .await?;
        let answer = self.call("Page.navigate", json!({"url": url})).await?;
        if let Some(error) = answer.get("errorText") {
            return Err(Error::failed(url, error));
        }
        let loaded =
            "document.readyState == 'complete' && !('left' in document.documentElement.dataset)";
        self.until(url, loaded).await.map(drop)
    }

    /// The value of an expression in the page.
    pub async fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", parameters).await?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(Error::failed(expression, thrown)),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Waits until an expression in the page has a value that counts as true, and returns it.
    ///
    /// # Errors
    /// After a minute: says what was waited for, and what the page showed instead.
    pub async fn until(&mut self, what: &str, expression: &str) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        // A page on its way to the next throws.
        let counts = format!(
            "(async () => {{ try {{ return (await {expression}) || null }} catch {{}} }})()"
        );
        loop {
            match self.evaluate(&counts).await {
                Ok(value) if !value.is_null() => return Ok(value),
                Err(error) if Instant::now() > deadline => return Err(error),
                Ok(_) if Instant::now() > deadline => break,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        let shown = self.evaluate("location.href + '\\n' + document.body.innerText");
        let shown = shown.await?;
        let shown = shown.as_str().unwrap_or_default();
        Err(Error::Failed(format!(
            "{what}: not within {PATIENCE:?}; the page shows\n{shown}"
        )))
    }

    /// Makes the page this large, in pixels as CSS counts them.
    pub async fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size)
            .await
            .map(drop)
    }

    /// The page as a PNG.
    pub async fn screenshot(&mut self) -> Result<Vec<u8>> {
        let format = json!({"format": "png"});
        let taken = self.call("Page.captureScreenshot", format).await?;
        let data = taken["data"].as_str().unwrap_or_default();
        STANDARD
            .decode(data)
            .map_err(|error| Error::failed("a screenshot", error))
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.devtools
            .call(Some(&self.session), method, parameters)
            .await
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.browser.stop();
        // Its own children end a moment after it, and write to the last.
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::fs::remove_dir_all(self.folder.path()).is_err()
            && self.folder.path().exists()
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Chromium talks over the descriptors 3 and 4, which a shell makes of its standard ones.
fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            r#"exec "$@" 3<&0 4>&1 </dev/null >&2"#,
            "approzium-chromium",
        ])
        .arg(program)
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", folder.display()))
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_CACHE_HOME")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        // So that pages, and pictures of them, say the same everywhere.
        .env("TZ", "UTC");
    command
}
