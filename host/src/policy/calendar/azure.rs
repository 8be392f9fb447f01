//! Blackout windows as Azure Migrate's appliance has them: `Monday;7:00;7h | Tuesday;8:00;1d7h | Friday;13:00;8m`.
//!
//! A day, when it begins on the clock, and how long it lasts in days, hours and minutes.

use jiff::SignedDuration;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::window::{Days, LENGTH_MAX, Length, Window};

/// What is wrong with one window of the string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("blackout {window:?}: {why}")]
pub struct AzureError {
    pub window: String,
    pub why: String,
}

/// Reads all windows, or says what is wrong with each that cannot be read.
pub fn azure_windows(text: &str, zone: &TimeZone) -> Result<Vec<Window>, Vec<AzureError>> {
    let parts = text.split('|').map(str::trim).filter(|part| !part.is_empty());
    let (mut windows, mut wrong) = (Vec::new(), Vec::new());
    for part in parts {
        match window(part, zone) {
            Ok(window) => windows.push(window),
            Err(why) => wrong.push(AzureError { window: part.to_owned(), why }),
        }
    }
    if windows.is_empty() && wrong.is_empty() {
        wrong.push(AzureError { window: text.to_owned(), why: "there is no window in it".to_owned() });
    }
    if wrong.is_empty() { Ok(windows) } else { Err(wrong) }
}

fn window(text: &str, zone: &TimeZone) -> Result<Window, String> {
    let parts: Vec<&str> = text.split(';').map(str::trim).collect();
    let [day, from, length] = parts[..] else { return Err("it must be a day, a time and a length, such as Monday;7:00;7h".to_owned()) };
    let day = weekday(day).ok_or_else(|| format!("{day:?} is no day of the week"))?;
    let from = time(from).ok_or_else(|| format!("{from:?} is no time such as 7:00 or 16:30"))?;
    Ok(Window::new(Days::NONE.with(day), from, Length::For(duration(length)?), zone.clone()))
}

/// "Monday" or "mon", however it is written.
pub fn weekday(text: &str) -> Option<Weekday> {
    let text = text.to_ascii_lowercase();
    Weekday::Monday.cycle_forward().take(7).find(|day| {
        let name = format!("{day:?}").to_ascii_lowercase();
        text == name || text == name[..3]
    })
}

/// "7:00" or "07:00".
pub fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour, 2) || minute.len() != 2 || !digits(minute, 2) {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

/// "1d7h", "8m": each unit once, the larger ones first.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{text:?} is no length such as 7h, 1d7h or 8m");
    let (mut minutes, mut rest) = (0i64, text);
    for (unit, factor) in [('d', 24 * 60), ('h', 60), ('m', 1)] {
        if let Some((count, after)) = rest.split_once(unit) {
            let count: u32 = count.parse().map_err(|_| wrong())?;
            minutes += i64::from(count) * factor;
            rest = after;
        }
    }
    if !rest.is_empty() {
        return Err(wrong());
    }
    match SignedDuration::from_mins(minutes) {
        SignedDuration::ZERO => Err(format!("{text:?} is no time at all")),
        length if length > LENGTH_MAX => Err(format!("{text:?} is longer than the week after which it comes back")),
        length => Ok(length),
    }
}
