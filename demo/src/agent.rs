//! The agent as a process of its own: started, asked through its socket, killed without warning.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

pub struct Agent {
    child: Child,
    binary: PathBuf,
    config: PathBuf,
    /// The highest resident memory seen, in KiB.
    pub memory_peak_kib: u64,
}

impl Agent {
    /// Starts the agent and waits until it answers.
    pub async fn start(binary: &Path, config: &Path, log: &Path) -> Result<Agent> {
        let log = File::options().create(true).append(true).open(log)?;
        let child = Command::new(binary)
            .args(["--config".as_ref(), config.as_os_str(), "run".as_ref()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let mut agent = Agent { child, binary: binary.to_owned(), config: config.to_owned(), memory_peak_kib: 0 };
        for _ in 0..300 {
            if let Some(status) = agent.child.try_wait()? {
                bail!("the agent ended with {status} before it answered; its log says why");
            }
            if agent.ask(&["status"]).is_ok() {
                return Ok(agent);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the agent does not answer")
    }

    /// Runs one command of the command line and takes its JSON.
    pub fn ask(&mut self, words: &[&str]) -> Result<Value> {
        let output = Command::new(&self.binary).arg("--config").arg(&self.config).arg("--json").args(words).output()?;
        let reply: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("transload {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)))?;
        if let Some(refused) = reply.get("refused") {
            bail!("transload {}: {}", words.join(" "), refused["fault"]["message"].as_str().unwrap_or_default());
        }
        Ok(reply)
    }

    pub fn status(&mut self) -> Result<Value> {
        let status = self.ask(&["status"])?["status"].take();
        self.memory_peak_kib = self.memory_peak_kib.max(status["memory_peak_kib"].as_u64().unwrap_or(0));
        Ok(status)
    }

    /// Kill -9: no goodbye, nothing is tidied up.
    pub fn kill(mut self) -> Result<u64> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.memory_peak_kib)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // A demo that failed leaves no agent behind; one that ended already does not mind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
