//! `plugin test PATH`: a plugin that is not installed, tried in place of the one that the configuration names, with that one's settings,
//! endpoints and secrets.
//!
//! It is foreign code all the same. It runs when just this version is approved, or when --yes says so after it was shown what it would
//! reach. That yes is good for one trial: it lies in a folder where no agent looks, and is taken back at the end. With the digest that was
//! shown, `--yes=SHA256`, it is good for nothing else that may lie there by then.

use std::path::{Path, PathBuf};

use super::{Failed, plain};
use crate::agent;
use crate::config::PluginConfig;
use crate::wasm::{Approval, Approvals, Kind, Package, asks};

const NEXT: &str = "Name the folder that `transload plugin build` left in dist/, or such a folder as an archive, NAME.tar.";

/// Whether the operator says yes to a plugin that was not approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unapproved {
    Refused,
    /// Whatever lies there.
    RunsOnce,
    /// What was shown with this digest, and only that.
    ThisRunsOnce(String),
}

pub struct Candidate {
    /// Without the ending of an archive, as packages are read.
    folder: PathBuf,
    package: Package,
}

/// The approval of one trial.
pub struct Admitted {
    approvals: PathBuf,
    name: String,
}

impl Candidate {
    pub fn read(path: &Path) -> Result<Candidate, Failed> {
        let wrong = |what: String| Failed { next: NEXT.into(), ..Failed::new(2, what) };
        let absolute = std::path::absolute(path).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
        let folder = match absolute.extension() {
            Some(extension) if extension == "tar" && !absolute.is_dir() => absolute.with_extension(""),
            _ => absolute,
        };
        let package = Package::read(&folder).map_err(|why| wrong(why.join("; ")))?;
        Ok(Candidate { folder, package })
    }

    pub fn name(&self) -> &str {
        &self.package.manifest.name
    }

    pub fn kind(&self) -> Kind {
        self.package.manifest.kind
    }

    /// The configured plugin with this one in its place.
    pub fn in_place_of(&self, config: &PluginConfig) -> PluginConfig {
        PluginConfig { folder: self.folder.clone(), ..config.clone() }
    }

    /// Lets what was read here run for one trial, and nothing that lies there later.
    pub fn admit(&self, state: &Path, unapproved: &Unapproved) -> Result<Admitted, Failed> {
        let name = self.name();
        let known = agent::approvals(state).judge(name, &self.package).is_ok();
        let reaches: Vec<String> = asks(&self.package.manifest).iter().map(|ask| format!("  - {}", plain(ask))).collect();
        let shown = |what: &str| format!("{name} at {} {what}. It would\n{}", self.folder.display(), reaches.join("\n"));
        let digest = self.package.digest();
        let refused = |what: &str| {
            let next = format!("Say yes to just this with --yes={digest}: it is good for this trial alone.").into();
            Err(Failed { next, ..Failed::new(1, shown(what)) })
        };
        match (known, unapproved) {
            (_, Unapproved::ThisRunsOnce(other)) if !digest.eq_ignore_ascii_case(other) => {
                return refused("is not what --yes names, so it was not run");
            }
            (true, _) => {}
            // Not on standard output: --json promises one list there.
            (false, Unapproved::RunsOnce | Unapproved::ThisRunsOnce(_)) => {
                eprintln!("{}", shown("is not approved, and runs in this trial because of --yes"))
            }
            (false, Unapproved::Refused) => return refused("is not approved, and was not run"),
        }
        let folder = self.folder.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        let admitted = Admitted { approvals: state.join("tried"), name: folder.to_owned() };
        let approval = Approval::of(&self.package, None, jiff::Timestamp::now());
        admitted.approvals().record(folder, &approval).map_err(|why| Failed::new(1, why))?;
        Ok(admitted)
    }
}

impl Admitted {
    pub fn approvals(&self) -> Approvals {
        Approvals::at(&self.approvals)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        // What stays behind lets nothing in: the next trial writes its own.
        let _ = self.approvals().withdraw(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::config::Config;

    /// A site with a store, and a plugin that lies elsewhere.
    fn site() -> (tempfile::TempDir, Config, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let text = "state = \"state\"\nrole = \"receiver\"\nplugins = \"plugins\"\n[key]\nfile = \"key\"\n[sink]\nname = \"store\"\n\
                    plugin = \"installed\"\n[receiver]\nreplicas = \"replicas\"\n";
        let config = Config::parse(text, place.path()).unwrap_or_else(|error| panic!("{error:?}"));
        let folder = place.path().join("dist/mine");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("mine.wasm"), "hello").unwrap();
        let digest: String = Sha256::digest("hello").iter().map(|byte| format!("{byte:02x}")).collect();
        let manifest = format!(
            "name = \"mine\"\nkind = \"sink\"\nversion = \"1\"\nwit = \"0.1.0\"\ncomponent = \"mine.wasm\"\nsha256 = \"{digest}\"\n\
             [[http]]\norigin = \"https://store.test\"\nmethods = [\"GET\"]\npaths = [\"/\"]\nreason = \"objects\"\n"
        );
        std::fs::write(folder.join("manifest.toml"), manifest).unwrap();
        (place, config, folder)
    }

    fn judged(admitted: &Admitted, folder: &Path) -> bool {
        admitted.approvals().judge("mine", &Package::read(folder).ok().unwrap()).is_ok()
    }

    #[test]
    fn what_nobody_approved_is_shown_and_runs_only_by_a_yes_that_ends_with_the_trial() {
        let (_place, config, folder) = site();
        let candidate = Candidate::read(&folder).ok().unwrap();
        let refused = candidate.admit(&config.state, &Unapproved::Refused).err().unwrap();
        assert!(
            refused.what.contains("is not approved, and was not run. It would\n  - send GET to https://store.test"),
            "{}",
            refused.what
        );
        assert!(refused.next.contains("--yes"));
        assert!(!config.state.exists());

        let admitted = candidate.admit(&config.state, &Unapproved::RunsOnce).ok().unwrap();
        assert!(judged(&admitted, &folder));
        assert!(agent::approvals(&config.state).read("mine").unwrap().is_none(), "an agent knows nothing of it");
        let manifest = folder.join("manifest.toml");
        std::fs::write(&manifest, std::fs::read_to_string(&manifest).unwrap().replace("GET", "PUT")).unwrap();
        assert!(!judged(&admitted, &folder), "what was put there after it was shown");
        drop(admitted);
        assert_eq!(std::fs::read_dir(config.state.join("tried")).unwrap().count(), 0);
    }

    #[test]
    fn a_yes_to_what_was_shown_is_none_to_what_lies_there_by_then() {
        let (_place, config, folder) = site();
        let shown = Candidate::read(&folder).ok().unwrap().admit(&config.state, &Unapproved::Refused).err().unwrap();
        let digest = shown.next.split_once("--yes=").unwrap().1.split(':').next().unwrap().to_owned();
        let yes = Unapproved::ThisRunsOnce(digest);
        assert!(Candidate::read(&folder).ok().unwrap().admit(&config.state, &yes).is_ok());

        let manifest = folder.join("manifest.toml");
        std::fs::write(&manifest, std::fs::read_to_string(&manifest).unwrap().replace("GET", "PUT")).unwrap();
        let other = Candidate::read(&folder).ok().unwrap();
        let refused = other.admit(&config.state, &yes).err().unwrap();
        assert!(refused.what.contains("is not what --yes names, so it was not run. It would\n  - send PUT to"), "{}", refused.what);
        assert_ne!(refused.next, shown.next, "and shows what a yes to this one would be");
        // Nor is a version that was approved run under the name of another.
        agent::approvals(&config.state).record("mine", &Approval::of(&other.package, None, jiff::Timestamp::now())).unwrap();
        assert!(other.admit(&config.state, &yes).is_err());
        assert!(other.admit(&config.state, &Unapproved::Refused).is_ok());
    }

    #[test]
    fn what_was_approved_runs_wherever_it_lies_and_stands_in_with_the_settings_of_the_other() {
        let (place, config, folder) = site();
        let elsewhere = place.path().join("elsewhere");
        std::fs::rename(&folder, &elsewhere).unwrap();
        let candidate = Candidate::read(&elsewhere).ok().unwrap();
        agent::approvals(&config.state).record("mine", &Approval::of(&candidate.package, None, jiff::Timestamp::now())).unwrap();
        assert!(candidate.admit(&config.state, &Unapproved::Refused).is_ok());
        let stand_in = candidate.in_place_of(&config.sink);
        assert_eq!((stand_in.name.as_str(), stand_in.folder), ("store", elsewhere));
    }

    #[test]
    fn what_is_no_plugin_is_said_with_what_would_be() {
        let (place, ..) = site();
        for path in ["nowhere", "nowhere.tar", "dist"] {
            let refused = Candidate::read(&place.path().join(path)).err().unwrap();
            assert!(refused.code == 2 && refused.next == NEXT && refused.what.contains("manifest.toml"), "{path}: {}", refused.what);
        }
    }
}
