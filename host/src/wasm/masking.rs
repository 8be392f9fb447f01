//! Text that came from outside, made fit for a log or an error: known secrets masked, control characters escaped, length bounded.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::web::encode;
use crate::secret::Secret;
use crate::wasm::bindings::http::Encoding;

/// Shorter ones would mask half of every line, and guessing them takes no log.
const MASKED_BYTES_MIN: usize = 4;

/// The forms in which the plugin's secrets could show up.
#[derive(Default)]
pub struct Masks(Vec<Zeroizing<String>>);

impl Masks {
    pub fn of<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Masks {
        let mut forms = Vec::new();
        let secrets: Vec<Secret> = secrets.flat_map(|secret| [secret.clone()].into_iter().chain(signature(secret))).collect();
        for secret in secrets.iter().filter(|secret| secret.expose().len() >= MASKED_BYTES_MIN) {
            for encoding in [Encoding::Raw, Encoding::XmlText, Encoding::JsonString, Encoding::FormValue, Encoding::Base64] {
                let mut form = Vec::new();
                // A secret that is no text has no raw, XML or JSON form that a line could hold.
                if encode(secret, encoding, &mut form).is_ok()
                    && let Ok(text) = String::from_utf8(form)
                {
                    forms.push(Zeroizing::new(text));
                }
            }
            forms.push(Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.expose())));
            forms.extend(inside_base64(secret.expose()));
        }
        // Longer forms first, so that no remainder of one is left beside the mask of a shorter one.
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Masks(forms)
    }

    /// The text without the secrets, and otherwise as it was.
    pub fn hide(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for form in &self.0 {
            if masked.contains(form.as_str()) {
                masked = masked.replace(form.as_str(), "…");
            }
        }
        masked
    }

    /// The same of a text whose end is lost: where it breaks off in what may be a secret, that goes as well.
    pub fn hide_in_beginning(&self, text: &str) -> String {
        // Half a character may have been left of the last one.
        let mut masked = self.hide(text.trim_end_matches(char::REPLACEMENT_CHARACTER));
        let begun = |form: &str| (1..form.len()).rev().find(|length| masked.as_bytes().ends_with(&form.as_bytes()[..*length]));
        let begun = self.0.iter().filter_map(|form| begun(form)).max().unwrap_or(0);
        masked.truncate(masked.floor_char_boundary(masked.len() - begun));
        masked
    }

    /// One printable line of at most `bytes_max` bytes.
    pub fn line(&self, text: &str, bytes_max: usize) -> String {
        let masked = self.hide(text);
        let mut line = String::with_capacity(masked.len().min(bytes_max));
        for character in masked.chars() {
            if line.len() + 12 > bytes_max {
                line.push('…');
                break;
            }
            match misleads(character) {
                true => line.extend(character.escape_default()),
                false => line.push(character),
            }
        }
        line
    }
}

/// Whether a terminal does something else with it than to show it: move, erase, or turn the text around it.
pub fn misleads(character: char) -> bool {
    character.is_control() || matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What is left of a secret wherever it stands in a longer text in base64 (the password in `user:password`): four characters carry three
/// bytes, so there are three ways to fall in, and the characters at either end belong to the neighbours as well.
fn inside_base64(secret: &[u8]) -> impl Iterator<Item = Zeroizing<String>> {
    (0..3).flat_map(|before| {
        let text = Zeroizing::new([&[0; 2][..before], secret].concat());
        let own = (before * 8).div_ceil(6)..(text.len() * 8) / 6;
        [STANDARD, URL_SAFE_NO_PAD].map(|alphabet| Zeroizing::new(Zeroizing::new(alphabet.encode(&*text))[own.clone()].to_owned()))
    })
}

/// Of a secret that is a query, what makes it one: a server may repeat this parameter alone. As it is sent, and decoded.
fn signature(secret: &Secret) -> Vec<Secret> {
    let text = std::str::from_utf8(secret.expose()).unwrap_or_default();
    let value = text.trim().split('&').find_map(|pair| pair.trim_start_matches('?').strip_prefix("sig="));
    value.into_iter().flat_map(|value| [Secret::new(value), Secret::new(decoded(value))]).collect()
}

/// `%2B` as `+`. What is not encoded stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| first == b'%').and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(hex.unwrap_or(first));
        rest = if hex.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let masks = Masks::of([Secret::new("p<ss w\"rd/1")].iter());
        for shown in ["p<ss w\"rd/1", "p&lt;ss w\"rd/1", "p<ss w\\\"rd/1", "cDxzcyB3InJkLzE=", "p%3Css+w%22rd%2F1"] {
            assert_eq!(masks.line(&format!("login {shown} failed"), 200), "login … failed", "{shown}");
        }
    }

    #[test]
    fn a_secret_inside_of_base64_is_masked_wherever_it_starts() {
        let masks = Masks::of([Secret::new("hunter2?>~")].iter());
        for before in ["", "a", "ab", "abc", "svc:"] {
            for alphabet in [STANDARD, URL_SAFE_NO_PAD] {
                let shown = masks.line(&alphabet.encode(format!("{before}hunter2?>~ and more")), 200);
                let left: Vec<&str> = shown.split('…').collect();
                assert_eq!(left.len(), 2, "{shown}");
                // At most one character on either side holds some bits of it.
                assert!(left[0].len() <= before.len().div_ceil(3) * 4, "{before}: {shown}");
            }
        }
    }

    #[test]
    fn the_signature_of_a_secret_query_is_masked_alone_as_well() {
        let masks = Masks::of([Secret::new("?sv=2021&sp=rl&sig=a%2Bsecret%3D\n")].iter());
        assert_eq!(masks.hide("signature a+secret= did not match a%2Bsecret%3D, sp=rl"), "signature … did not match …, sp=rl");
    }

    #[test]
    fn the_beginning_of_a_text_ends_before_the_beginning_of_a_secret() {
        let masks = Masks::of([Secret::new("hunter2 für alle")].iter());
        for (text, shown) in [
            ("login hunter2 für alle and hunter2 f", "login … and "),
            ("login hunter2 f\u{fffd}", "login "),
            ("login hunter2 für alle", "login …"),
            ("nothing of it", "nothing of it"),
        ] {
            assert_eq!(masks.hide_in_beginning(text), shown);
        }
    }

    #[test]
    fn a_line_is_one_line_and_bounded() {
        let masks = Masks::default();
        assert_eq!(masks.line("a\nb\u{1b}[31m\u{202e}", 200), "a\\nb\\u{1b}[31m\\u{202e}");
        assert!(masks.line(&"x".repeat(5000), 100).len() <= 100);
    }
}
