//! The journal in SQLite: one file, one writer, `synchronous = FULL`.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::model::Fault;
use crate::waypoint;

use super::{Journal, Kept, Snapshot};

/// Written into the file, so that a newer version never misreads an older journal and the other way round.
const SCHEMA_VERSION: i32 = 2;

/// The moment at which facts are written and not committed.
pub const UNCOMMITTED: &str = "journal/uncommitted";

pub struct SqliteJournal {
    connection: Arc<Mutex<Connection>>,
}

impl SqliteJournal {
    /// Opens the journal or begins one. A second process on the same file is refused.
    pub fn open(path: &Path) -> Result<SqliteJournal, Fault> {
        let shown = path.display();
        let connection =
            Connection::open(path).map_err(|error| Fault::unavailable(format!("the journal {shown} cannot be opened: {error}")))?;
        let prepare = || -> rusqlite::Result<i32> {
            // Exclusive from the first read on: two agents on one journal would each believe the other's facts.
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch("BEGIN IMMEDIATE; COMMIT;")?;
            connection.query_row("PRAGMA user_version", [], |row| row.get(0))
        };
        let version = prepare().map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                Fault::conflict(format!("the journal {shown} is in use by another agent; stop that one first"))
            }
            _ => Fault::corrupt(format!("the journal {shown} cannot be read: {error}; the data in the store is not affected")),
        })?;
        match version {
            0 | 1 => begin(&connection).map_err(|error| Fault::full(format!("the journal {shown} cannot be written: {error}")))?,
            SCHEMA_VERSION => {}
            other => return Err(Fault::unsupported(format!("the journal {shown} has version {other}, this agent reads {SCHEMA_VERSION}"))),
        }
        Ok(SqliteJournal { connection: Arc::new(Mutex::new(connection)) })
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let connection = self.connection.clone();
        let joined =
            tokio::task::spawn_blocking(move || work(&mut connection.lock().expect("no code panics while it holds the journal"))).await;
        match joined {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Fault::internal(format!("the journal failed: {error}"))),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// A journal of version 1 holds facts and no snapshots; it gets a place for them.
fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "BEGIN;
         CREATE TABLE IF NOT EXISTS fact (
             aggregate TEXT NOT NULL,
             number INTEGER NOT NULL,
             body TEXT NOT NULL,
             PRIMARY KEY (aggregate, number)
         ) WITHOUT ROWID, STRICT;
         CREATE TABLE snapshot (
             aggregate TEXT PRIMARY KEY NOT NULL,
             facts INTEGER NOT NULL,
             body TEXT NOT NULL
         ) WITHOUT ROWID, STRICT;
         PRAGMA user_version = 2;
         COMMIT;",
    )
}

/// Facts that were recorded in an aggregate, those that its snapshot stands for included.
fn recorded(connection: &Connection, aggregate: &str) -> rusqlite::Result<u64> {
    let query = "SELECT (SELECT count(*) FROM fact WHERE aggregate = ?1) + coalesce((SELECT facts FROM snapshot WHERE aggregate = ?1), 0)";
    connection.query_row(query, params![aggregate], |row| row.get(0))
}

fn somebody_else(aggregate: &str, held: u64, after: u64) -> Fault {
    Fault::conflict(format!("the journal holds {held} facts of {aggregate}, not {after}: somebody else wrote to it"))
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn append(&self, aggregate: &str, after: u64, facts: &[String]) -> Result<(), Fault> {
        let (name, facts) = (aggregate.to_owned(), facts.to_vec());
        let held = self
            .with(move |connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let held = recorded(&transaction, &name)?;
                if held == after {
                    for (number, body) in facts.iter().enumerate() {
                        transaction.execute(
                            "INSERT INTO fact (aggregate, number, body) VALUES (?1, ?2, ?3)",
                            params![name, after + number as u64, body],
                        )?;
                    }
                    waypoint::reached(|| UNCOMMITTED.to_owned());
                    transaction.commit()?;
                }
                Ok(held)
            })
            .await?;
        if held == after { Ok(()) } else { Err(somebody_else(aggregate, held, after)) }
    }

    async fn compact(&self, aggregate: &str, after: u64, snapshot: &str) -> Result<(), Fault> {
        let (name, body) = (aggregate.to_owned(), snapshot.to_owned());
        let held = self
            .with(move |connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let held = recorded(&transaction, &name)?;
                if held == after {
                    let put = "INSERT OR REPLACE INTO snapshot (aggregate, facts, body) VALUES (?1, ?2, ?3)";
                    transaction.execute(put, params![name, after, body])?;
                    transaction.execute("DELETE FROM fact WHERE aggregate = ?1", params![name])?;
                    transaction.commit()?;
                }
                Ok(held)
            })
            .await?;
        if held == after { Ok(()) } else { Err(somebody_else(aggregate, held, after)) }
    }

    async fn load(&self, aggregate: &str) -> Result<Kept, Fault> {
        let name = aggregate.to_owned();
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            let snapshot = transaction
                .query_row("SELECT facts, body FROM snapshot WHERE aggregate = ?1", params![name], |row| {
                    Ok(Snapshot { facts: row.get(0)?, body: row.get(1)? })
                })
                .optional()?;
            let mut query = transaction.prepare("SELECT body FROM fact WHERE aggregate = ?1 ORDER BY number")?;
            let facts = query.query_map(params![name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            Ok(Kept { snapshot, facts })
        })
        .await
    }

    async fn aggregates(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        let prefix = prefix.to_owned();
        self.with(move |connection| {
            let mut query = connection.prepare("SELECT aggregate FROM fact UNION SELECT aggregate FROM snapshot ORDER BY aggregate")?;
            let names: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            Ok(names.into_iter().filter(|name| name.starts_with(&prefix)).collect())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn facts_come_back_in_order_and_only_one_writer_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = SqliteJournal::open(&path).unwrap();
        journal.append("a", 0, &["1".into(), "2".into()]).await.unwrap();
        journal.append("b", 0, &["x".into()]).await.unwrap();
        assert_eq!(journal.append("a", 1, &["3".into()]).await.unwrap_err().kind, crate::model::FaultKind::Conflict);
        journal.append("a", 2, &["3".into()]).await.unwrap();
        drop(journal);
        let journal = SqliteJournal::open(&path).unwrap();
        assert_eq!(journal.load("a").await.unwrap().facts, ["1", "2", "3"]);
        assert_eq!(journal.aggregates("").await.unwrap(), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_snapshot_takes_the_place_of_all_facts_before_it_and_counting_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = SqliteJournal::open(&path).unwrap();
        journal.append("a", 0, &["1".into(), "2".into()]).await.unwrap();
        journal.append("b", 0, &["x".into()]).await.unwrap();
        assert_eq!(journal.compact("a", 1, "one").await.unwrap_err().kind, crate::model::FaultKind::Conflict);
        assert_eq!(journal.load("a").await.unwrap().facts.len(), 2, "a snapshot of another state changes nothing");
        journal.compact("a", 2, "both").await.unwrap();
        journal.append("a", 2, &["3".into()]).await.unwrap();
        drop(journal);
        let journal = SqliteJournal::open(&path).unwrap();
        let snapshot = |facts, body: &str| Some(Snapshot { facts, body: body.to_owned() });
        assert_eq!(journal.load("a").await.unwrap(), Kept { snapshot: snapshot(2, "both"), facts: vec!["3".into()] });
        journal.compact("a", 3, "all").await.unwrap();
        assert_eq!(journal.load("a").await.unwrap(), Kept { snapshot: snapshot(3, "all"), facts: Vec::new() });
        assert_eq!(journal.load("b").await.unwrap().facts, ["x"], "another aggregate is not touched");
        assert_eq!(journal.aggregates("").await.unwrap(), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_journal_without_snapshots_gets_a_place_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let old = Connection::open(&path).unwrap();
        let made =
            "CREATE TABLE fact (aggregate TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (aggregate, number))
                    WITHOUT ROWID, STRICT; INSERT INTO fact VALUES ('a', 0, '1'); PRAGMA user_version = 1;";
        old.execute_batch(made).unwrap();
        drop(old);
        let journal = SqliteJournal::open(&path).unwrap();
        journal.compact("a", 1, "one").await.unwrap();
        drop(journal);
        assert_eq!(SqliteJournal::open(&path).unwrap().load("a").await.unwrap().snapshot.unwrap().body, "one");
    }

    #[tokio::test]
    async fn a_second_agent_on_the_same_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let _first = SqliteJournal::open(&path).unwrap();
        let second = SqliteJournal::open(&path).err().expect("the journal is in use");
        assert_eq!(second.kind, crate::model::FaultKind::Conflict);
    }
}
