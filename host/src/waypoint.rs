//! Moments with a name, at which the process can be told to die: `kill -9` where a test wants it, and not where a timer happens to hit.
//!
//! ```text
//!   TRANSLOAD_DIE_AT=vm/committed/recorded      dies the first time that this moment comes
//!   TRANSLOAD_DIE_AT=store/page/stored:3        the third time
//!   TRANSLOAD_DIE_AT=nowhere                    dies never, and logs every moment that comes
//! ```
//!
//! The names are the code's own: a step, a fact, what an object is for. They are read from the types that the code works with, so that what is
//! added to a type is in the list of all moments (`transload waypoints`), and in the matrix that kills at each of them.
//!
//! Always compiled in, so that what is tried is what is shipped; it costs one look at a static where the variable is not set. Whoever can set
//! a variable of the process can kill it as well.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor, value::Error};
use serde::{Serialize, forward_to_deserialize_any};

pub const VARIABLE: &str = "TRANSLOAD_DIE_AT";

struct Death {
    name: String,
    /// How often the moment may still pass.
    spared: AtomicU64,
}

static DEATH: OnceLock<Option<Death>> = OnceLock::new();

fn death() -> Option<&'static Death> {
    DEATH.get_or_init(|| std::env::var(VARIABLE).ok().map(|told| Death::parse(&told))).as_ref()
}

impl Death {
    fn parse(told: &str) -> Death {
        let (name, which) = match told.rsplit_once(':') {
            Some((name, which)) => (name, which.parse().unwrap_or(1)),
            None => (told, 1),
        };
        Death { name: name.to_owned(), spared: AtomicU64::new(u64::max(which, 1) - 1) }
    }

    /// Whether it is this moment's time.
    fn strikes(&self, name: &str) -> bool {
        let spare = |left: u64| left.checked_sub(1);
        name == self.name && self.spared.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spare).is_err()
    }
}

/// The moment has come. Does not return where the process was told to die at it.
pub fn reached(name: impl FnOnce() -> String) {
    let Some(death) = death() else { return };
    let name = name();
    tracing::info!(waypoint = name, "a waypoint");
    if death.strikes(&name) {
        die();
    }
}

/// As `kill -9` from outside: no destructor runs, nothing is flushed, nobody is told.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // The signal is on its way, and this thread does nothing any more.
    loop {
        std::thread::park();
    }
}

/// What a value of an enum is called where it is written down.
pub fn name_of<T: Serialize>(value: &T) -> String {
    let written = serde_json::to_string(value).unwrap_or_default();
    variant(&written).to_owned()
}

/// The same of one that is written already: `"powered-off"`, or `{"cycle-began":{…}}`.
pub fn variant(written: &str) -> &str {
    written.split('"').nth(1).unwrap_or("?")
}

/// Everything that a value of this enum can be called, as the compiler knows it.
pub fn names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut found = Variants(&[]);
    let _ = T::deserialize(&mut found);
    found.0
}

/// Reads nothing: it is asked for an enum, and told then which variants there are.
struct Variants(&'static [&'static str]);

impl<'de> Deserializer<'de> for &mut Variants {
    type Error = Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        self.0 = variants;
        Err(Error::custom("only the names were asked for"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("no enum"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Weather {
        SunnySpells,
        Rain { millimetres: u32 },
    }

    #[test]
    fn names_are_those_of_the_type_and_of_its_values() {
        assert_eq!(names::<Weather>(), ["sunny-spells", "rain"]);
        assert_eq!(name_of(&Weather::SunnySpells), "sunny-spells");
        assert_eq!(name_of(&Weather::Rain { millimetres: 3 }), "rain");
    }

    #[test]
    fn death_comes_at_the_occurrence_that_was_named_and_nowhere_else() {
        let times = |told: &str, names: &[&str]| {
            let death = Death::parse(told);
            names.iter().filter(|name| death.strikes(name)).count()
        };
        assert_eq!(times("a/b", &["a/c", "a"]), 0);
        assert_eq!(times("a/b", &["a/c", "a/b"]), 1);
        assert_eq!(times("a/b:3", &["a/b", "a/b", "a/c"]), 0);
        assert_eq!(times("a/b:3", &["a/b", "a/b", "a/b"]), 1);
        assert_eq!(times("nowhere", &["a/b", "a/c"]), 0);
    }
}
