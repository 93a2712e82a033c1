use super::*;
use crate::core::gateways::AddGateway;
use crate::core::health::ReadHealth;
use crate::core::testing::{BIRTH, World};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// A directory with a ledger of one gateway, and a copy of it beside it.
fn with_copy() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut world = World::with(Store::open(&data, BIRTH).unwrap());
    world.gateway("edge");
    world.store.backup(&directory.path().join("copy.db")).unwrap();
    (directory, data)
}

fn restore(directory: &Path, aside: Option<&str>) -> String {
    let aside = aside.map(|name| directory.join("data").join(name));
    let copy = directory.join("copy.db");
    match Store::restore(&copy, &directory.join("data"), aside.as_deref(), BIRTH, now()) {
        Ok(restored) => format!("epoch {}", restored.epoch),
        Err(error) => error.to_string().replace(&directory.display().to_string(), "DIR"),
    }
}

fn files(data: &Path) -> Vec<String> {
    let names = fs::read_dir(data).unwrap().map(|file| file.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_copy_is_whole_and_its_owners_and_overwrites_nothing() {
    let (directory, data) = with_copy();
    let copy = directory.path().join("copy.db");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let bytes = fs::read(&copy).unwrap();
    assert!(!bytes.windows(32).any(|window| window == BIRTH.secret));
    let store = Store::open(&data, BIRTH).unwrap();
    let again = store.backup(&copy).unwrap_err().to_string();
    assert!(again.ends_with("copy.db is there: nothing is overwritten, choose another name"));
    assert_eq!(fs::read(&copy).unwrap(), bytes);
    let nowhere = directory.path().join("none").join("copy.db");
    assert!(matches!(store.backup(&nowhere), Err(OpenError::File { .. })));
}

#[test]
fn a_copy_is_put_back_where_nothing_is_or_what_is_there_goes_aside() {
    let (directory, data) = with_copy();
    let path = directory.path();
    let there = "DIR/data has a ledger: name an empty place with its `secret` in it, or move this \
                 one aside with --force";
    assert_eq!(restore(path, None), there);
    let held = Store::open(&data, BIRTH).unwrap();
    let locked = "another process uses DIR/data/ledger.db: stop it, or choose another directory";
    assert_eq!(restore(path, Some("aside")), locked);
    drop(held);
    let mut world = World::with(Store::open(&data, BIRTH).unwrap());
    world.ask(AddGateway { name: "later".to_owned(), random: [9; 16] }).unwrap();
    drop(world);
    assert_eq!(restore(path, Some("aside")), "epoch 1800000000");
    assert_eq!(files(&data), ["aside", "ledger.db", "operator.token", "secret"]);
    let mut world = World::with(Store::open(&data, BIRTH).unwrap());
    let health = world.ask(ReadHealth).unwrap();
    assert_eq!((health.epoch, health.gateways), (1_800_000_000, 1));
    drop(world);
    // What went aside is not overwritten, and what is there stays.
    assert_eq!(
        restore(path, Some("aside")),
        "DIR/data/aside is there: nothing is overwritten, choose another name"
    );
    assert_eq!(files(&data), ["aside", "ledger.db", "operator.token", "secret"]);
    fs::remove_file(data.join("ledger.db")).unwrap();
    assert_eq!(restore(path, None), "epoch 1800000000");
}

#[test]
fn what_is_no_copy_of_this_ledger_is_refused_and_changes_nothing() {
    let check = |damage: &dyn Fn(&Path), expected: &str| {
        let (directory, data) = with_copy();
        let path = directory.path();
        damage(path);
        let before = files(&data);
        let said = restore(path, Some("aside"));
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(files(&data), before);
        let mut world = World::with(Store::open(&data, BIRTH).unwrap());
        assert_eq!(world.ask(ReadHealth).unwrap().epoch, 1);
        let again = world.refused(AddGateway { name: "edge".to_owned(), random: [0; 16] });
        assert!(again.starts_with("gateway_exists"), "{again}");
    };
    let write =
        |text: &'static [u8]| move |path: &Path| fs::write(path.join("copy.db"), text).unwrap();
    check(&write(b""), "DIR/copy.db is not a whole copy of a ledger: it is empty");
    check(
        &write(b"not a database, but long enough"),
        "DIR/copy.db is not a whole copy of a ledger: cannot use",
    );
    check(
        &|path| fs::remove_file(path.join("copy.db")).unwrap(),
        "cannot use DIR/copy.db: No such",
    );
    check(
        &|path| {
            let connection = Connection::open(path.join("copy.db")).unwrap();
            connection.execute("UPDATE ledger SET secret_check = zeroblob(32)", []).unwrap();
        },
        "DIR/data/secret is not the secret of the ledger beside it",
    );
    check(
        &|path| {
            let connection = Connection::open(path.join("copy.db")).unwrap();
            connection.pragma_update(None, "user_version", 1).unwrap();
        },
        "the ledger in DIR/copy.db has schema 1, this program knows 3",
    );
    check(
        &|path| {
            let copy = path.join("copy.db");
            let bytes = fs::read(&copy).unwrap();
            fs::write(&copy, &bytes[..bytes.len() / 2]).unwrap();
        },
        "DIR/copy.db is not a whole copy of a ledger",
    );
}

#[test]
fn a_copy_without_the_secret_is_no_ledger() {
    let (directory, data) = with_copy();
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir(&data).unwrap();
    let said = restore(directory.path(), None);
    assert!(said.starts_with("DIR/data has a ledger but no file `secret`"), "{said}");
}

/// A ledger's log that outlived it would be written into the one that is put back.
#[test]
fn what_is_left_of_a_broken_ledger_goes_aside_and_into_no_other() {
    let check = |damage: &dyn Fn(&Path), left: &[&str]| {
        let (directory, data) = with_copy();
        let path = directory.path();
        let mut world = World::with(Store::open(&data, BIRTH).unwrap());
        world.ask(AddGateway { name: "later".to_owned(), random: [9; 16] }).unwrap();
        // As after a crash: the log is not written into its database.
        let log = fs::read(data.join("ledger.db-wal")).unwrap();
        drop(world);
        fs::write(data.join("ledger.db-wal"), log).unwrap();
        damage(&data);
        assert!(restore(path, None).starts_with("DIR/data has a ledger"));
        assert_eq!(restore(path, Some("aside")), "epoch 1800000000");
        let mut expected = vec!["ledger.db", "operator.token", "secret"];
        expected.extend(left);
        expected.sort_unstable();
        assert_eq!(files(&data), expected);
        let mut world = World::with(Store::open(&data, BIRTH).unwrap());
        let health = world.ask(ReadHealth).unwrap();
        assert_eq!((health.epoch, health.gateways), (1_800_000_000, 1));
    };
    check(&|data| fs::remove_file(data.join("ledger.db")).unwrap(), &["aside-wal"]);
    check(
        &|data| fs::write(data.join("ledger.db"), "not a database, but long enough").unwrap(),
        &["aside", "aside-wal"],
    );
}

#[test]
fn a_database_without_its_log_is_no_copy() {
    let (directory, data) = with_copy();
    let path = directory.path();
    fs::write(path.join("copy.db-wal"), "a log").unwrap();
    assert_eq!(
        restore(path, Some("aside")),
        "DIR/copy.db is not a whole copy of a ledger: a part of it is in DIR/copy.db-wal; copy it \
         with `tollgate backup`"
    );
    assert_eq!(files(&data), ["ledger.db", "operator.token", "secret"]);
}
