//! The configuration file while the agent runs: what may change is taken over, and everything else is named.
//!
//! ```text
//!   file ─▶ the same at two looks? ─▶ reads and checks whole ─▶ calendar, throttle, limits: in force at once
//!                                        │                   └▶ anything else that differs: named, until the next start
//!                                        └▶ broken: nothing changes; what is wrong is logged and shown
//! ```
//!
//! An editor that writes half a file first is not taken at its word: the file has to stand still for a moment.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use crate::config::Config;

/// Tables that are taken over while the agent runs.
const HOT: &[&str] = &["calendar", "blackout", "throttle", "limits"];

pub struct Reload {
    /// None: it came from no file.
    file: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    /// What this process was started with.
    started: toml::Table,
    /// The text of the newest look.
    seen: String,
    /// The text that was judged last.
    judged: String,
    shown: Reloaded,
}

/// How the file stands to what is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Why nothing of the file as it is now is in force.
    pub wrong: Vec<String>,
    /// What differs from what the agent was started with, and needs a new start.
    pub needs_restart: Vec<String>,
}

impl Reload {
    /// `config`: what the process was started with, read a moment ago.
    pub fn of(config: &Config) -> Reload {
        let text = config.file.as_deref().map(text).unwrap_or_default();
        let state = State { started: tables(&text), seen: text.clone(), judged: text, shown: Reloaded::default() };
        Reload { file: config.file.clone(), state: Mutex::new(state) }
    }

    pub fn shown(&self) -> Reloaded {
        self.state().shown.clone()
    }

    /// Looks at the file once. Answers what it says, when that is new, whole and right.
    pub fn look(&self) -> Option<Config> {
        let file = self.file.as_deref()?;
        let text = text(file);
        let mut state = self.state();
        let stands_still = state.seen == text;
        state.seen.clone_from(&text);
        if !stands_still || state.judged == text {
            return None;
        }
        state.judged.clone_from(&text);
        // Through the file's own name, so that relative paths in it mean what they meant.
        match Config::read(file) {
            Err(error) => {
                tracing::warn!(file = %file.display(), wrong = ?error.wrong, "the configuration was changed and cannot be used; nothing changes");
                state.shown = Reloaded { wrong: error.wrong, needs_restart: state.shown.needs_restart.clone() };
                None
            }
            Ok(config) => {
                let needs_restart = changed(&state.started, &tables(&text));
                tracing::info!(file = %file.display(), ?needs_restart, "the configuration was changed; calendar, throttle and limits are taken over");
                state.shown = Reloaded { wrong: Vec::new(), needs_restart };
                Some(config)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this")
    }
}

/// A file that cannot be read is another text than any that can.
fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| format!("\0{error}"))
}

fn tables(text: &str) -> toml::Table {
    text.parse().unwrap_or_default()
}

/// The keys outside of `HOT` that are not the same, as they stand in the file.
fn changed(started: &toml::Table, now: &toml::Table) -> Vec<String> {
    let keys = started.keys().chain(now.keys().filter(|key| !started.contains_key(*key)));
    let differs = keys.filter(|key| !HOT.contains(&key.as_str()) && started.get(*key) != now.get(*key));
    let written = |key: &String| match now.get(key).or_else(|| started.get(key)) {
        Some(toml::Value::Table(_)) => format!("[{key}]"),
        Some(toml::Value::Array(rows)) if rows.iter().all(toml::Value::is_table) => format!("[[{key}]]"),
        _ => key.clone(),
    };
    differs.map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{fleet_limits, governor_rules};

    const BASE: &str = r#"
        key = { file = "store.key" }
        [sink]
        name = "store"
        plugin = "storage-s3"
        [[source]]
        name = "vc1"
        plugin = "vmware-cbt"
        [receiver]
        replicas = "replicas"
    "#;

    struct Site {
        reload: Reload,
        file: PathBuf,
        _folder: tempfile::TempDir,
    }

    impl Site {
        fn new() -> Site {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("transload.toml");
            std::fs::write(&file, BASE).unwrap();
            let config = Config { file: Some(file.clone()), ..Config::parse(BASE, folder.path()).unwrap() };
            Site { reload: Reload::of(&config), file, _folder: folder }
        }

        /// Writes this, and looks until the file stands still.
        fn says(&self, text: &str) -> Option<Config> {
            std::fs::write(&self.file, text).unwrap();
            assert!(self.reload.look().is_none(), "a file that was just written may be half of one");
            self.reload.look()
        }
    }

    #[test]
    fn throttle_and_limits_are_taken_over_and_everything_else_is_named() {
        let site = Site::new();
        assert!(site.reload.look().is_none() && site.reload.shown() == Reloaded::default());
        let found = site.says(&format!("{BASE}\n[[throttle]]\nsend = \"100 Mbit/s\"")).unwrap();
        assert_eq!((found.calendar.limits.len(), site.reload.shown().needs_restart.len()), (1, 0));
        assert!(site.reload.look().is_none(), "it is taken over once");
        let found = site.says(&format!("{BASE}\n[limits]\ndisks = 7\nsnapshot-age-max = \"1 d\"")).unwrap();
        assert_eq!((fleet_limits(&found.limits).disks, governor_rules(&found.limits).age_max.as_secs()), (7, 24 * 3600));
        assert_eq!(site.reload.shown(), Reloaded::default());
        let other = BASE.replace("vc1", "vc2") + "[[vm]]\nname = \"db01\"\n[replication]\npoll = \"3 s\"";
        assert!(site.says(&format!("role = \"both\"\n{other}")).is_some());
        assert_eq!(site.reload.shown().needs_restart, ["[[source]]", "[replication]", "role", "[[vm]]"]);
        assert!(site.says(BASE).is_some());
        assert_eq!(site.reload.shown(), Reloaded::default());
    }

    #[test]
    fn a_broken_file_changes_nothing_and_says_why() {
        let site = Site::new();
        assert!(site.says(&format!("{BASE}\n[[throttle]]\nsend = \"fast\"")).is_none());
        let wrong = site.reload.shown().wrong;
        assert!(wrong.len() == 1 && wrong[0].contains("\"fast\" must be a whole number and a unit"), "{wrong:?}");
        std::fs::remove_file(&site.file).unwrap();
        assert!(site.reload.look().is_none() && site.reload.look().is_none());
        assert!(site.reload.shown().wrong[0].contains("cannot be read"), "{:?}", site.reload.shown());
        assert!(site.says(BASE).is_some());
        assert_eq!(site.reload.shown(), Reloaded::default());
    }
}
