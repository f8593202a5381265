//! The DevTools protocol over a pair of pipes: JSON, each message ended by a zero byte.

use std::{
    process::{ChildStdin, ChildStdout},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process,
    time::timeout,
};

use crate::{Error, Result};

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct DevTools {
    commands: process::ChildStdin,
    answers: BufReader<process::ChildStdout>,
    last: u64,
}

impl DevTools {
    pub(super) fn new(commands: ChildStdin, answers: ChildStdout) -> Result<Self> {
        let failed = |error| Error::failed("the pipes to Chromium", error);
        let answers = process::ChildStdout::from_std(answers).map_err(failed)?;
        Ok(DevTools {
            commands: process::ChildStdin::from_std(commands).map_err(failed)?,
            answers: BufReader::new(answers),
            last: 0,
        })
    }

    /// One command and its result. `session` is a page; none: the browser itself.
    pub(super) async fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
    ) -> Result<Value> {
        self.last += 1;
        let mut command = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let answer = timeout(PATIENCE, self.exchange(command.to_string())).await;
        let mut answer = match answer {
            Ok(answer) => answer.map_err(|error| Error::failed(method, error))?,
            Err(_) => return Err(Error::failed(method, format!("no answer in {PATIENCE:?}"))),
        };
        match answer.get("error") {
            Some(error) => Err(Error::failed(method, error)),
            None => Ok(answer["result"].take()),
        }
    }

    /// Events, and late answers to commands that were given up, are passed over.
    async fn exchange(&mut self, command: String) -> std::io::Result<Value> {
        self.commands.write_all(command.as_bytes()).await?;
        self.commands.write_all(&[0]).await?;
        loop {
            let mut message = Vec::new();
            if self.answers.read_until(0, &mut message).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            message.pop();
            let message: Value = serde_json::from_slice(&message)?;
            if message["id"] == self.last {
                return Ok(message);
            }
        }
    }
}
