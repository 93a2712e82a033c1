//! The catalog's file: read at the start, then looked at again and again. By its content: a file
//! that a container mounts may keep its time. The last good one stays in force.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tollgate_pricing::catalog::Catalog;

use super::error::ServeError;
use super::host::Host;
use super::problem::Problem;
use crate::catalog_file;
use crate::clock;
use crate::core::apply;
use crate::core::catalog::{CatalogLoaded, LoadCatalog};
use crate::store::Store;

/// A change is taken at the second look that finds it.
const INTERVAL: Duration = Duration::from_millis(500);

/// The text of a catalog without mistakes, to start with.
pub(super) fn read(path: &Path) -> Result<String, ServeError> {
    let text = catalog_file::read(path)
        .map_err(|error| ServeError::CatalogUnreadable { path: path.to_owned(), error })?;
    match Catalog::parse(&text) {
        Ok(_) => Ok(text),
        Err(mistakes) => Err(ServeError::CatalogMistakes(catalog_file::lines(path, &mistakes))),
    }
}

/// Puts the first catalog in force, before anybody is answered.
pub(super) fn load(store: &mut Store, text: String) -> Result<CatalogLoaded, ServeError> {
    let request = LoadCatalog { text };
    apply(store, clock::now(), request).map_err(ServeError::catalog)
}

/// Follows the file for as long as the process lives. `text` is in force.
pub(super) async fn watch(host: Host, path: PathBuf, text: String) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = Looks::new(text);
    loop {
        ticks.tick().await;
        let file = path.clone();
        let read = tokio::task::spawn_blocking(move || catalog_file::read(&file)).await;
        let Ok(read) = read else {
            return; // The runtime ends.
        };
        let found = read.map_err(|error| format!("{} cannot be read: {error}", path.display()));
        if looks.settled(&found) && follow(&host, &path, found).await.is_err() {
            // Not the catalog's fault: try again.
            looks.tried = None;
        }
    }
}

/// A file's text, or why it cannot be read.
type Found = Result<String, String>;

/// What was found in the file.
struct Looks {
    /// The last that was taken, or told to be wrong.
    tried: Option<Found>,
    /// At the last look.
    last: Found,
}

impl Looks {
    fn new(in_force: String) -> Self {
        Self { tried: Some(Ok(in_force.clone())), last: Ok(in_force) }
    }

    /// Whether this is new and to be tried now. Not at its first sight: half of a catalog may be
    /// one without mistakes.
    fn settled(&mut self, found: &Found) -> bool {
        let again = self.last == *found;
        let new = self.tried.as_ref() != Some(found);
        self.last.clone_from(found);
        if again && new {
            self.tried = Some(found.clone());
        }
        again && new
    }
}

/// Takes what is in the file now, or says why not, once.
pub(super) async fn follow(host: &Host, path: &Path, found: Found) -> Result<(), Problem> {
    let error = match found {
        Err(unreadable) => Some(unreadable),
        Ok(text) => take(host, path, text).await?,
    };
    if let Some(error) = &error {
        tracing::error!(
            "the catalog {} is not taken, the last good one stays in force:\n{}",
            path.display(),
            error
        );
    }
    let before = std::mem::replace(&mut host.seen().catalog_error, error.clone());
    if before.is_some() && error.is_none() {
        tracing::info!("the catalog {} is good again", path.display());
    }
    Ok(())
}

/// Puts a text in force; what is wrong with it if that cannot be.
async fn take(host: &Host, path: &Path, text: String) -> Result<Option<String>, Problem> {
    if let Err(mistakes) = Catalog::parse(&text) {
        let lines = catalog_file::lines(path, &mistakes);
        return Ok(Some(lines.trim_end().to_owned()));
    }
    match host.writer.ask(LoadCatalog { text }).await {
        Ok(CatalogLoaded { revision, changed }) => {
            if changed {
                let path = path.display();
                tracing::info!(revision, "the catalog {path} changed and is in force");
            }
            Ok(None)
        }
        Err(problem) if problem.is_hosts_fault() => Err(problem),
        Err(problem) => Ok(Some(problem.detail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_twice_is_tried_once() {
        let mut looks = Looks::new("whole".to_owned());
        for (found, tried) in [
            (Ok("whole"), false),
            (Ok("half"), false),
            (Ok("half and half"), false),
            (Ok("half and half"), true),
            (Ok("half and half"), false),
            (Err("gone"), false),
            (Ok("half and half"), false),
            (Err("gone"), false),
            (Err("gone"), true),
            (Err("gone"), false),
            (Ok("whole"), false),
            (Ok("whole"), true),
        ] {
            let text = found.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(looks.settled(&text), tried, "{found:?}");
        }
        looks.tried = None;
        assert!(looks.settled(&Ok("whole".to_owned())), "as it could not be tried");
    }
}
