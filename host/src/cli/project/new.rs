//! `transload plugin new`: a project that builds and passes the conformance kit as it is written.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::templates;
use super::{Kind, Language, Refused};
use crate::cli::plugin::checked;

pub fn write(name: &str, kind: Kind, language: Language, into: Option<&Path>, json: bool) -> Result<(), Refused> {
    let name = usable_name(name)?;
    let folder = into.unwrap_or(Path::new(name));
    let files = templates::of(kind, language);
    written(folder, name, &files)?;
    match json {
        true => {
            let files: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
            println!("{}", serde_json::json!({ "folder": folder, "files": files }));
        }
        false => tell(folder, kind, language, &files),
    }
    Ok(())
}

/// The name becomes a folder's, an operator's setting, and the name of a package in its language.
fn usable_name(name: &str) -> Result<&str, Refused> {
    let what = match checked(name) {
        Ok(name) if name.starts_with(|first: char| first.is_ascii_lowercase()) => return Ok(name),
        Ok(_) => format!("{name:?} cannot be the name of a package: it begins with no letter"),
        Err(failed) => failed.what,
    };
    Err(Refused::unusable(format!("{what}; nothing was written"), "Choose another name, such as my-store."))
}

fn written(folder: &Path, name: &str, files: &[templates::File]) -> Result<(), Refused> {
    let shown = folder.display();
    let failed = |error: std::io::Error| {
        Refused::failed(format!("the project cannot be written into {shown}: {error}"), "Name a folder that you may write to, with --into.")
    };
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => {
            return Err(Refused::unusable(
                format!("{shown} is not empty; nothing was written and nothing in it was touched"),
                "Name another folder with --into, or choose another name.",
            ));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    for (path, text) in files {
        let path = folder.join(path);
        let written = fs::create_dir_all(path.parent().unwrap_or(folder)).and_then(|()| fs::write(&path, text.replace("{{name}}", name)));
        written.map_err(failed)?;
    }
    Ok(())
}

fn tell(folder: &Path, kind: Kind, language: Language, files: &[templates::File]) {
    println!("Wrote a {} into {}: {} files; README.md says what each is for.", kind.word(), folder.display(), files.len());
    println!("Next:");
    println!("  cd {}", folder.display());
    language.setup().iter().for_each(|command| println!("  {command}"));
    println!("  transload plugin build");
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Sink => "sink",
            Kind::Cutover => "cutover",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANGUAGES: [Language; 3] = [Language::Rust, Language::Python, Language::Js];

    fn new(folder: &Path, name: &str, kind: Kind, language: Language) -> Result<(), Refused> {
        write(name, kind, language, Some(folder), true)
    }

    #[test]
    fn a_project_stands_alone_and_bears_its_name_everywhere() {
        for (kind, language) in
            [Kind::Source, Kind::Sink, Kind::Cutover].into_iter().flat_map(|kind| LANGUAGES.map(|language| (kind, language)))
        {
            let place = tempfile::tempdir().unwrap();
            let folder = place.path().join("deep/er");
            new(&folder, "my-store", kind, language).unwrap();
            for (path, _) in templates::of(kind, language) {
                let text = fs::read_to_string(folder.join(path)).unwrap();
                assert!(!text.contains("{{"), "{path}: {text}");
            }
            let manifest = fs::read_to_string(folder.join("manifest.toml")).unwrap();
            let manifest = crate::wasm::Manifest::parse(&manifest).unwrap();
            assert_eq!((manifest.name.as_str(), manifest.component.as_str()), ("my-store", "my-store.wasm"));
            assert_eq!(manifest.kind.word(), kind.word());
            let config = crate::config::ConfiguredPlugins::read(&folder.join("transload.toml")).unwrap();
            let ran: Vec<_> = config.used().map(|plugin| plugin.folder.clone()).collect();
            assert_eq!(ran, [folder.join("dist/my-store")], "what is built is what its configuration runs, and nothing else");
            assert_eq!(Language::of(&folder), Some(language));
        }
    }

    #[test]
    fn what_lies_in_a_folder_is_not_touched() {
        let place = tempfile::tempdir().unwrap();
        let own = place.path().join("own.txt");
        fs::write(&own, "mine").unwrap();
        let refused = new(place.path(), "my-store", Kind::Sink, Language::Rust).unwrap_err();
        assert!(refused.what.ends_with("is not empty; nothing was written and nothing in it was touched"), "{refused:?}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        // A file cannot be a project's folder.
        assert_eq!(new(&own, "my-store", Kind::Sink, Language::Rust).unwrap_err().code, 1);
        assert_eq!(fs::read_to_string(&own).unwrap(), "mine");
    }

    #[test]
    fn names_that_would_be_a_path_or_no_package_are_refused() {
        let place = tempfile::tempdir().unwrap();
        for name in ["../up", "", "Store", "my store", "9lives", "-x", &"x".repeat(41)] {
            let refused = new(place.path(), name, Kind::Sink, Language::Rust).unwrap_err();
            assert!(refused.code == 2 && refused.what.ends_with("; nothing was written"), "{name}: {refused:?}");
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
