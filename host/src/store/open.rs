//! Opening a ledger: its directory, its database, its secret, the operator's token.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};
use tollgate_pricing::id::Hex128;
use tollgate_pricing::key::KeySecrets;

use super::ledger::{Catalogs, Identity};
use super::schema::{self, LedgerRow};
use super::{Store, StoreError};
use crate::core::secret::{operator_token, token_hash, token_secret};

/// The database in a ledger's directory.
pub const DATABASE_FILE: &str = "ledger.db";
/// The ledger's secret: 64 hex digits. Without it no key and no token is recognised.
pub const SECRET_FILE: &str = "secret";
/// The operator's token in clear, for the command line on the same machine.
pub const OPERATOR_TOKEN_FILE: &str = "operator.token";

/// Statements kept prepared; more than there are.
pub(super) const STATEMENT_CACHE: usize = 256;

/// Chance for what does not exist yet; unused when everything does.
#[derive(Clone, Copy)]
pub struct Birth {
    /// The ledger's id.
    pub ledger: [u8; 16],
    /// The ledger's secret.
    pub secret: [u8; 32],
    /// What the operator's token is made of.
    pub operator: [u8; 16],
}

impl std::fmt::Debug for Birth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Birth(..)")
    }
}

/// Why a ledger cannot be opened, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or directory cannot be read or written.
    #[error("cannot use {}: {error}{}", path.display(), advice(error.kind()))]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The place of the data is a file, or in one.
    #[error("{} is not a directory: choose another with --data", .0.display())]
    NotDirectory(PathBuf),
    /// Another process has the database open.
    #[error("another process uses {}: stop it, or choose another directory", .0.display())]
    Locked(PathBuf),
    /// Secrets whose database is gone.
    #[error(
        "{} has secrets but no file `ledger.db`: put the ledger back; a new one begins in an empty \
         directory",
        .0.display()
    )]
    LedgerMissing(PathBuf),
    /// A database whose secret is gone.
    #[error(
        "{} has a ledger but no file `secret`: put the ledger's own secret back, \
         without it no key and no token is recognised",
        .0.display()
    )]
    SecretMissing(PathBuf),
    /// A secret of another ledger, or none at all.
    #[error("{} is not the secret of the ledger beside it: put the right one back", .0.display())]
    SecretWrong(PathBuf),
    /// A file that does not hold what it is for.
    #[error("{} does not hold {expected}: put the right one back, or remove it", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What was expected in it.
        expected: &'static str,
    },
    /// A database of a newer program.
    #[error("the ledger in {} has schema {found}, this program knows {known}: use a newer one", path.display())]
    Newer {
        /// Where.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A database of a program before the first release.
    #[error(
        "the ledger in {} has schema {found}, this program knows {known} and cannot bring it up to \
         date: use the program that made it, or begin a new ledger in an empty directory",
        path.display()
    )]
    Older {
        /// Where.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A ledger where another one is to be put.
    #[error(
        "{} has a ledger: name an empty place with its `secret` in it, or move this one aside with \
         --force",
        .0.display()
    )]
    LedgerThere(PathBuf),
    /// A file to be written that is there.
    #[error("{} is there: nothing is overwritten, choose another name", .0.display())]
    Exists(PathBuf),
    /// A file that is no backup.
    #[error("{} is not a whole copy of a ledger: {why}", path.display())]
    NotBackup {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What was put back could not be made ready.
    #[error("the copy of {} could not be made ready, and nothing was changed: {why}", path.display())]
    NotRestored {
        /// The backup.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The database does not work.
    #[error("cannot use {}: {error}", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        error: StoreError,
    },
}

impl Store {
    /// Opens the ledger in this directory, or makes one with what `birth` gives.
    pub fn open(directory: &Path, birth: Birth) -> Result<Self, OpenError> {
        make_directory(directory)?;
        let path = directory.join(DATABASE_FILE);
        // Secrets before the database, which is made first by a program that starts just now.
        let secrets = [SECRET_FILE, OPERATOR_TOKEN_FILE].map(|file| directory.join(file).exists());
        if secrets.contains(&true) && !path.exists() {
            return Err(OpenError::LedgerMissing(directory.to_owned()));
        }
        // The lock first: two programs that start at once must not make two secrets.
        let mut connection = connect(&path)?;
        let database = |error| OpenError::Database { path: path.clone(), error };
        let version = schema::version(&connection).map_err(database)?;
        check_version(&path, version)?;
        let secret_file = directory.join(SECRET_FILE);
        let secret = match read_secret(&secret_file)? {
            Some(secret) => secret,
            None if version > 0 => return Err(OpenError::SecretMissing(directory.to_owned())),
            None => {
                let line = format!("{}\n", blake3::Hash::from_bytes(birth.secret).to_hex());
                write_private(&secret_file, &line)?;
                birth.secret
            }
        };
        if version == 0 {
            schema::create(&mut connection, &new_row(birth, &secret)).map_err(database)?;
        }
        let row = schema::read(&connection).map_err(database)?;
        if row.secret_check != secret_check(&secret) {
            return Err(OpenError::SecretWrong(secret_file));
        }
        let token = read_operator_token(&directory.join(OPERATOR_TOKEN_FILE), birth)?;
        Ok(Self::with(connection, &row, &secret, &token))
    }

    /// A ledger in memory, for simulations and tests.
    pub fn in_memory(birth: Birth) -> Result<Self, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        configure(&connection)?;
        let row = new_row(birth, &birth.secret);
        schema::create(&mut connection, &row)?;
        let token = operator_token(birth.operator);
        Ok(Self::with(connection, &row, &birth.secret, token.reveal()))
    }

    pub(super) fn with(
        connection: Connection,
        row: &LedgerRow,
        secret: &[u8; 32],
        operator: &str,
    ) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        let tokens = token_secret(secret);
        let identity = Identity {
            ledger: row.id,
            epoch: row.epoch,
            keys: KeySecrets::derive(secret),
            operator: token_hash(&tokens, operator),
            tokens,
        };
        Self { connection, identity, catalogs: Catalogs::default() }
    }
}

/// Refuses what another program wrote. 0 is a new database.
pub(super) fn check_version(path: &Path, found: i64) -> Result<(), OpenError> {
    let (path, known) = (path.to_owned(), schema::VERSION);
    match found {
        0 => Ok(()),
        found if found > known => Err(OpenError::Newer { path, found, known }),
        found if found < known => Err(OpenError::Older { path, found, known }),
        _ => Ok(()),
    }
}

fn new_row(birth: Birth, secret: &[u8; 32]) -> LedgerRow {
    LedgerRow { id: Hex128(birth.ledger), epoch: 1, secret_check: secret_check(secret) }
}

pub(super) fn secret_check(secret: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("tollgate 2026-11 ledger secret check", secret)
}

/// Opens a database for this process alone; only its owner reads one that is made.
pub(crate) fn connect(path: &Path) -> Result<Connection, OpenError> {
    // Not opened if it is there: closing it again would give up SQLite's lock.
    match private().create_new(true).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(file_error(path, error)),
    }
    let open = || {
        let connection = Connection::open(path)?;
        configure(&connection)?;
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            OpenError::Locked(path.to_owned())
        }
        _ => OpenError::Database { path: path.to_owned(), error: error.into() },
    })
}

/// One process, every commit on the disk before it is answered, references that hold.
pub(super) fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Takes the lock now, not with the first request.
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT")
}

fn make_directory(directory: &Path) -> Result<(), OpenError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            OpenError::NotDirectory(directory.to_owned())
        }
        _ => file_error(directory, error),
    })
}

pub(super) fn read_secret(path: &Path) -> Result<Option<[u8; 32]>, OpenError> {
    let Some(text) = read(path)? else {
        return Ok(None);
    };
    match blake3::Hash::from_hex(text.trim()) {
        Ok(secret) => Ok(Some(*secret.as_bytes())),
        Err(_) => Err(OpenError::SecretWrong(path.to_owned())),
    }
}

pub(super) fn read_operator_token(path: &Path, birth: Birth) -> Result<String, OpenError> {
    match read(path)? {
        Some(text) if text.trim().len() >= MIN_TOKEN_BYTES => Ok(text.trim().to_owned()),
        Some(_) => {
            Err(OpenError::Unreadable { path: path.to_owned(), expected: "an operator's token" })
        }
        None => {
            let token = operator_token(birth.operator);
            write_private(path, &format!("{}\n", token.reveal()))?;
            Ok(token.reveal().to_owned())
        }
    }
}

/// An emptied or cut file must not become a token that can be guessed.
const MIN_TOKEN_BYTES: usize = 32;

fn read(path: &Path) -> Result<Option<String>, OpenError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path, error)),
    }
}

/// Writes a file that only its owner reads: whole and on the disk, or not at all.
fn write_private(path: &Path, text: &str) -> Result<(), OpenError> {
    let write = || {
        let draft = path.with_extension("new");
        let mut file = private().create(true).truncate(true).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        match path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|error| file_error(path, error))
}

/// How a file is made that only its owner reads.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// What to do about a file's error, to put behind it.
fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => {
            "; give this user the right to read and write it, or choose another directory with \
             --data"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; make it writable, or choose another directory with --data"
        }
        io::ErrorKind::StorageFull => "; make room on the disk",
        _ => "",
    }
}

pub(super) fn file_error(path: &Path, error: io::Error) -> OpenError {
    OpenError::File { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::gateways::AddGateway;
    use crate::core::health::ReadHealth;
    use crate::core::testing::{BIRTH, World};
    use crate::provider::Sandbox;

    /// Opens a ledger and says which, or why not, without the directory's name.
    fn open(directory: &Path, birth: Birth) -> String {
        match Store::open(directory, birth) {
            Ok(store) => format!("{:?}", store.identity.ledger),
            Err(error) => error.to_string().replace(&directory.display().to_string(), "DIR"),
        }
    }

    const LEDGER: &str = "01010101010101010101010101010101";

    #[test]
    fn a_ledger_stays_itself() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        assert_eq!(open(&path, BIRTH), LEDGER);
        let later = Birth { ledger: [8; 16], secret: [8; 32], operator: [8; 16] };
        assert_eq!(open(&path, later), LEDGER);
        let mut world = World::with(Store::open(&path, later).unwrap());
        world.gateway("edge");
        drop(world);
        let mut world = World::with(Store::open(&path, later).unwrap());
        assert_eq!(world.ask(ReadHealth).unwrap().gateways, 1);
        let again = world.refused(AddGateway { name: "edge".to_owned(), random: [0; 16] });
        assert_eq!(again, "gateway_exists: a gateway named \"edge\" exists");
    }

    #[test]
    fn what_cannot_be_opened_says_what_to_do() {
        let check = |damage: &dyn Fn(&Path), expected: &str| {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path();
            assert_eq!(open(path, BIRTH), LEDGER);
            damage(path);
            let found = open(path, BIRTH);
            assert_eq!(found, expected);
        };
        let secret = |text: &'static str| {
            move |path: &Path| fs::write(path.join(SECRET_FILE), text).unwrap()
        };
        check(
            &|path| fs::remove_file(path.join(SECRET_FILE)).unwrap(),
            "DIR has a ledger but no file `secret`: put the ledger's own secret back, without it \
             no key and no token is recognised",
        );
        let wrong = "DIR/secret is not the secret of the ledger beside it: put the right one back";
        check(&secret("nonsense"), wrong);
        let other = "0000000000000000000000000000000000000000000000000000000000000000\n";
        check(&secret(other), wrong);
        check(
            &|path| fs::write(path.join(OPERATOR_TOKEN_FILE), "\n").unwrap(),
            "DIR/operator.token does not hold an operator's token: put the right one back, or \
             remove it",
        );
        check(&|path| fs::remove_file(path.join(OPERATOR_TOKEN_FILE)).unwrap(), LEDGER);
        check(
            &|path| {
                let connection = Connection::open(path.join(DATABASE_FILE)).unwrap();
                connection.pragma_update(None, "user_version", 99).unwrap();
            },
            "the ledger in DIR/ledger.db has schema 99, this program knows 3: use a newer one",
        );
        check(
            &|path| fs::write(path.join(DATABASE_FILE), "not a database, but long enough").unwrap(),
            "cannot use DIR/ledger.db: file is not a database; put a backup of it back",
        );
        let lost = "DIR has secrets but no file `ledger.db`: put the ledger back; a new one begins \
                    in an empty directory";
        check(&|path| fs::remove_file(path.join(DATABASE_FILE)).unwrap(), lost);
        check(
            &|path| {
                fs::remove_file(path.join(DATABASE_FILE)).unwrap();
                fs::remove_file(path.join(SECRET_FILE)).unwrap();
            },
            lost,
        );
    }

    #[test]
    fn a_place_that_is_no_directory_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            assert_eq!(open(&path, BIRTH), "DIR is not a directory: choose another with --data");
        }
        assert_eq!(fs::read(&file).unwrap(), b"");
    }

    #[test]
    fn what_the_system_forbids_says_what_to_do() {
        // By the system's numbers: whoever runs tests as root is forbidden nothing.
        for (number, expected) in [
            (
                13,
                "cannot use DIR: Permission denied (os error 13); give this user the right to read \
                 and write it, or choose another directory with --data",
            ),
            (
                30,
                "cannot use DIR: Read-only file system (os error 30); make it writable, or choose \
                 another directory with --data",
            ),
            (28, "cannot use DIR: No space left on device (os error 28); make room on the disk"),
            (5, "cannot use DIR: Input/output error (os error 5)"),
        ] {
            let error = file_error(Path::new("DIR"), io::Error::from_raw_os_error(number));
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn one_process_holds_a_ledger() {
        let directory = tempfile::tempdir().unwrap();
        let held = Store::open(directory.path(), BIRTH).unwrap();
        assert_eq!(
            open(directory.path(), BIRTH),
            "another process uses DIR/ledger.db: stop it, or choose another directory"
        );
        drop(held);
        let held = Sandbox::open(directory.path()).unwrap();
        let refused = Sandbox::open(directory.path()).unwrap_err().to_string();
        assert!(refused.contains("sandbox.db: stop it"), "{refused}");
        drop(held);
        assert_eq!(open(directory.path(), BIRTH), LEDGER);
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_their_owners() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        open(&path, BIRTH);
        assert_eq!(mode(&path), 0o700);
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let held = (Store::open(&path, BIRTH).unwrap(), Sandbox::open(&path).unwrap());
        let files = fs::read_dir(&path).unwrap().map(|file| file.unwrap().path());
        let (mut count, mut readable) = (0, Vec::new());
        for file in files {
            count += 1;
            readable.extend((mode(&file) != 0o600).then_some(file));
        }
        assert!(readable.is_empty(), "{readable:?}");
        // Two databases with their logs, and two secrets.
        assert!(count >= 6, "{count}");
        drop(held);
        // A database says nothing of the secret or of the token.
        let mut bytes = fs::read(path.join(DATABASE_FILE)).unwrap();
        bytes.extend(fs::read(path.join("ledger.db-wal")).unwrap_or_default());
        for secret in [&BIRTH.secret[..], operator_token(BIRTH.operator).reveal().as_bytes()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}
