//! TOML into a type, with every unknown key listed. A key that nobody reads is a wish that nobody fulfils.

use serde::de::DeserializeOwned;

/// Parses all of `text`; on failure says everything that is wrong, one sentence each.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Vec<String>> {
    let document = toml::Deserializer::parse(text).map_err(|error| vec![syntax(text, &error)])?;
    let mut unknown = Vec::new();
    let parsed = serde_ignored::deserialize(document, |path| unknown.push(named(&path.to_string())));
    unknown.sort();
    match parsed {
        Ok(value) if unknown.is_empty() => Ok(value),
        Ok(_) => Err(unknown),
        Err(error) => {
            unknown.insert(0, syntax(text, &error));
            Err(unknown)
        }
    }
}

fn named(path: &str) -> String {
    // An Option on the way shows as "?" in the path, which means nothing to an operator.
    format!("unknown key {:?}", path.replace(".?", "").replace("?.", ""))
}

/// "line 3: …", without the drawing that the parser adds for terminals.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim_end();
    match error.span() {
        Some(span) => {
            let line = text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1;
            format!("line {line}: {message}")
        }
        None => message.to_owned(),
    }
}
