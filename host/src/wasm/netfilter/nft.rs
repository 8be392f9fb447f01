//! Runs `nft`: from a fixed place, without a shell, with an empty environment, input on a pipe, bounded in time and output.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::model::Fault;

/// Never looked up in a search path, which others may set.
const PLACES: [&str; 3] = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"];
/// A table of the largest size takes a second.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Of what it complains about. The first lines say it.
const COMPLAINT_BYTES_MAX: u64 = 16 * 1024;
const COMPLAINT_CHARS_MAX: usize = 400;

/// Why it came to nothing. The table is as it was, unless it broke off: then nft may have been done already.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// The table is not there.
    Missing,
    /// This process may not change rules.
    Forbidden,
    Refused(String),
    TooLong(u64),
    Broken(String),
}

impl Failed {
    pub fn fault(self, table: &str) -> Fault {
        match self {
            Failed::Missing => Fault::not_found(format!(
                "something that the ruleset names is not in the table {table}, or this kernel lacks a module for it; the table is as it was"
            )),
            Failed::Forbidden => Fault::denied(format!(
                "the agent may not change the table {table}: run it with the capability CAP_NET_ADMIN (systemd: AmbientCapabilities=)"
            )),
            Failed::Refused(why) => Fault::invalid(format!("nft refuses the ruleset, and the table {table} is as it was: {why}")),
            Failed::TooLong(bytes_max) => {
                Fault::denied(format!("the table {table} takes more than the {bytes_max} bytes that are granted"))
            }
            Failed::Broken(why) => Fault::unavailable(format!(
                "nft did not come to an end with the table {table}, which may be as it was or as it was to be: {why}"
            )),
        }
    }
}

pub fn find() -> Result<PathBuf, String> {
    let there = PLACES.iter().map(Path::new).find(|place| place.exists());
    there.map(Path::to_owned).ok_or_else(|| "it needs nft, which is not installed here (Debian: nftables)".to_owned())
}

/// What it prints, at most so many bytes.
pub async fn run(program: &Path, arguments: &[&str], input: String, output_bytes_max: u64) -> Result<String, Failed> {
    tokio::time::timeout(TIME_MAX, talk(program, arguments, input, output_bytes_max))
        .await
        .unwrap_or_else(|_| Err(Failed::Broken(format!("it took more than {} s", TIME_MAX.as_secs()))))
}

async fn talk(program: &Path, arguments: &[&str], input: String, output_bytes_max: u64) -> Result<String, Failed> {
    let broken = |error: std::io::Error| Failed::Broken(error.to_string());
    let mut command = Command::new(program);
    // Its complaints are read, so they must not be in the language of whoever started the agent.
    command.args(arguments).env_clear().env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(broken)?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(Failed::Broken("it has no pipes".to_owned()));
    };
    let feeding = async move {
        // One that hangs up early says why on its own.
        let _heard = stdin.write_all(input.as_bytes()).await;
    };
    let ((), printed, complaint) = tokio::join!(feeding, heard(stdout, output_bytes_max + 1), heard(stderr, COMPLAINT_BYTES_MAX));
    let (printed, complaint) = (printed.map_err(broken)?, complaint.map_err(broken)?);
    if printed.len() as u64 > output_bytes_max {
        return Err(Failed::TooLong(output_bytes_max));
    }
    let status = child.wait().await.map_err(broken)?;
    match status.success() {
        true => String::from_utf8(printed).map_err(|_| Failed::Broken("it printed what is no text".to_owned())),
        false => Err(judged(status, &String::from_utf8_lossy(&complaint))),
    }
}

/// What comes, up to so many bytes. The pipe is closed then: whoever goes on talking is ended by it, and holds up nobody.
async fn heard(pipe: impl AsyncRead + Unpin, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(bytes_max).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn judged(status: ExitStatus, complaint: &str) -> Failed {
    let shown: String = complaint.chars().map(|c| if c.is_control() { ' ' } else { c }).take(COMPLAINT_CHARS_MAX).collect();
    match complaint {
        _ if complaint.contains("Operation not permitted") => Failed::Forbidden,
        _ if complaint.contains("No such file or directory") => Failed::Missing,
        // Killed by somebody.
        _ if status.code().is_none() => Failed::Broken(format!("it ended by {status}")),
        _ => Failed::Refused(shown.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program in nft's place.
    fn stand_in(script: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nft");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    }

    async fn says(script: &str, input: &str, bytes_max: u64) -> Result<String, Failed> {
        let (_folder, path) = stand_in(script);
        run(&path, &["-j", "$(touch /tmp/x)"], input.to_owned(), bytes_max).await
    }

    #[tokio::test]
    async fn it_sees_its_arguments_and_input_and_nothing_of_the_agent() {
        let said = says("echo \"$2 $(cat) $HOME $PWD\"; /usr/bin/env | /usr/bin/sort | /usr/bin/tr '\\n' ' '", "in", 1000).await.unwrap();
        assert!(said.starts_with("$(touch /tmp/x) in  /\n"), "{said}");
        let (_, environment) = said.split_once('\n').unwrap();
        // What the shell of this stand-in adds by itself.
        let given: Vec<&str> = environment.split_whitespace().filter(|each| !each.starts_with("PWD=") && !each.starts_with("_=")).collect();
        assert_eq!(given, ["LC_ALL=C"]);
    }

    #[tokio::test]
    async fn what_it_prints_is_bounded_and_what_it_complains_about_is_read() {
        assert_eq!(says("yes", "", 1000).await, Err(Failed::TooLong(1000)));
        let endless = "yes complaint | head -c 100000 >&2; exit 1";
        let Err(Failed::Refused(why)) = says(endless, "", 0).await else { panic!("it was no refusal") };
        assert_eq!(why.chars().count(), COMPLAINT_CHARS_MAX - 1);
        assert_eq!(says("echo 'Error: Operation not permitted' >&2; exit 1", "", 0).await, Err(Failed::Forbidden));
        assert_eq!(says("echo 'Error: No such file or directory' >&2; exit 1", "", 0).await, Err(Failed::Missing));
        assert_eq!(says("kill -9 $$", "", 0).await, Err(Failed::Broken("it ended by signal: 9 (SIGKILL)".to_owned())));
        assert_eq!(says("exec true", &"x".repeat(1 << 20), 0).await, Ok(String::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_is_ended() {
        assert_eq!(says("exec sleep 86400", "", 0).await, Err(Failed::Broken("it took more than 20 s".to_owned())));
    }
}
