//! The other side's own words, as far as they are shown to anybody: they may be long, and may quote the request.

const WORDS_MAX: usize = 200;

pub fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect::<String>().trim().to_owned()
}

/// "NoSuchKey (The specified key does not exist)"; some stores send the code alone, or say it twice.
pub fn explained(code: &str, message: &str) -> String {
    let (code, message) = (short(code), short(message));
    match message.trim_end_matches('.') {
        message if message.is_empty() || message == code => code,
        message => format!("{code} ({message})"),
    }
}
