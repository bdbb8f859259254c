//! Opening of the file; foreign or damaged files are not modified.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, AtFlags, CWD, StatxAttributes, StatxFlags, accessat, makedev, statx};
use rustix::io::Errno;

use crate::error::SqliteError;
use crate::log::Log;
use crate::schema::{self, Found};

/// Busy time-out for transactions of programs that do not take turns.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Magic bytes of an SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Length of its smallest page. SQLite would take a shorter file for an empty one.
const PAGE: u64 = 512;
const NO_DATABASE: &str = "not an SQLite file";

/// The type of a file system that other machines may use, too, as `statfs` names it, and what it is on.
///
/// The machine may be the host of this one (virtiofs, 9P, vboxsf, vmhgfs). FUSE does not say what is
/// behind it: sshfs and virtiofs are networks, bindfs is not.
const NETWORKS: [(u64, &str); 15] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x6573_5546, "FUSE, which may be a network"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x786f_4256, "a shared folder of VirtualBox"),
    (0xbacb_acbc, "a shared folder of VMware"),
];

/// By which a file is known whatever becomes of its name.
type Identity = (u64, u64);

/// The file and its log, as they were when they were opened.
#[derive(Debug)]
pub(crate) struct Opened {
    path: PathBuf,
    /// The file and the log, where what was written last is.
    both: [(PathBuf, Identity); 2],
}

impl Opened {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails when the file or its log is another by now: then others who open it do not see what is
    /// written here.
    pub(crate) fn check(&self) -> Result<(), SqliteError> {
        let is_same =
            |(path, was): &(PathBuf, Identity)| identity_at(path).is_ok_and(|found| found == *was);
        match self.both.iter().all(is_same) {
            true => Ok(()),
            false => Err(SqliteError::Replaced { path: self.path.clone() }),
        }
    }

    /// Warnings for the operator.
    pub(crate) fn warnings(&self) -> io::Result<Vec<String>> {
        let path = self.path.display();
        let rights = fs::metadata(&self.path)?.permissions().mode() & 0o077;
        let open = format!("{path} can be read by others: `chmod 600 {path}`");
        Ok(network_warning(&self.path).into_iter().chain((rights != 0).then_some(open)).collect())
    }
}

fn identity(found: &fs::Metadata) -> Identity {
    (found.dev(), found.ino())
}

/// The identity of the file at this path.
///
/// Asks for the inode alone. A file system that keeps fine timestamps only for those who read them
/// would give the log a new one with every write after a read of its times, and every sync would write
/// that, too: a third of the time of a commit on ext4.
fn identity_at(path: &Path) -> io::Result<Identity> {
    match statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
        Ok(found) => Ok((makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino)),
        // The system may not have this call.
        Err(_) => fs::metadata(path).map(|found| identity(&found)),
    }
}

/// Says that the file is on a network, where one machine does not see whose turn it is on another.
pub(crate) fn network_warning(path: &Path) -> Option<String> {
    let kind = rustix::fs::statfs(path).ok()?.f_type;
    // On some systems the type has a sign.
    network_name(kind as u64 & 0xffff_ffff).map(|network| {
        let path = path.display();
        format!("{path} is on {network}: use it from one machine alone, or move it to a local disk")
    })
}

fn network_name(kind: u64) -> Option<&'static str> {
    NETWORKS.iter().find(|(network, _)| *network == kind).map(|(_, name)| *name)
}

/// The one path by which all know the file, whatever links lead to it and whatever the folder of the
/// process is later.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let path = std::path::absolute(path)?;
            match (path.parent(), path.file_name(), fs::read_link(&path)) {
                // A link to where nothing is yet.
                (Some(folder), _, Ok(to)) => resolve(&folder.join(to)),
                (Some(folder), Some(name), _) => Ok(fs::canonicalize(folder)?.join(name)),
                _ => Ok(path),
            }
        }
        found => found,
    }
}

/// Looks at what is there, and changes nothing. Returns `false` for a file that is whole only together
/// with its log or journal, if at all.
///
/// Only SQLite opens a file of locks. Whoever closes a file ends all locks that its process has on it
/// (POSIX says so), and SQLite puts that off while it needs them: another process that does not see
/// them would remove the log at its end.
pub(crate) fn look(path: &Path) -> Result<bool, SqliteError> {
    let foreign = |what| Err(SqliteError::Foreign { path: path.to_owned(), what });
    // Opening a pipe waits for somebody at its other end, and opening a device may do anything.
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return foreign("no ordinary file"),
        Ok(found) if (1..PAGE).contains(&found.len()) => return foreign(NO_DATABASE),
        Ok(found) => has_one_name(path, &found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(SqliteError::io(path, &error)),
    }
    let of_all = Access::READ_OK | Access::WRITE_OK;
    // Where the system does not answer that, SQLite finds out.
    if let Err(error @ (Errno::ACCESS | Errno::ROFS)) =
        accessat(CWD, path, of_all, AtFlags::EACCESS)
    {
        return Err(SqliteError::io(path, &error.into()));
    }
    let sqlite = |error| SqliteError::sqlite(path, &error);
    // An immutable connection creates no files beside the database.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(immutable(path), flags).map_err(sqlite)?;
    schema::look(&connection).map_or_else(
        |error| match error.sqlite_error_code() {
            // Whoever made it was cut off, which SQLite undoes.
            Some(ErrorCode::NotADatabase) if begins_with(path, &[0; 16]) && has_log(path) => {
                Ok(false)
            }
            Some(ErrorCode::NotADatabase) if !begins_with(path, MAGIC) => foreign(NO_DATABASE),
            // Its last user was killed, or one writes just now. SQLite itself reads both.
            Some(ErrorCode::DatabaseCorrupt) if has_log(path) => Ok(false),
            _ => Err(sqlite(error)),
        },
        |found| judge(path, &found).map(|()| true),
    )
}

/// Fails where the log would not be beside the file for others who use it.
fn has_one_name(path: &Path, found: &fs::Metadata) -> Result<(), SqliteError> {
    let named_twice = |remedy| Err(SqliteError::NamedTwice { path: path.to_owned(), remedy });
    if found.nlink() > 1 {
        return named_twice("a hard link: remove the other name");
    }
    match statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
        Ok(found) if found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) => {
            named_twice("a mount of the file alone: mount its folder")
        }
        _ => Ok(()),
    }
}

/// Returns `true` if the file, which is no database, so that there are no locks to lose, begins so.
fn begins_with(path: &Path, start: &[u8; MAGIC.len()]) -> bool {
    let mut found = [0; MAGIC.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut found)).is_ok() && found == *start
}

/// Returns `true` if there are writes that are not in the file, or not wholly.
fn has_log(path: &Path) -> bool {
    let has = |suffix| fs::metadata(beside(path, suffix)).is_ok_and(|found| found.len() > 0);
    has("-wal") || has("-journal")
}

/// The file that SQLite keeps beside this one.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The address of a file that is only read.
fn immutable(path: &Path) -> String {
    let mut address = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => address.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => address.push(char::from(*byte)),
            byte => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address + "?immutable=1"
}

/// Checks that a file and its log have every page between them.
fn check(path: &Path, connection: &Connection) -> Result<(), SqliteError> {
    let found = connection.pragma_query_value(None, "quick_check", |row| row.get(0));
    match found.map_err(|error| SqliteError::sqlite(path, &error))? {
        found if found == "ok" => Ok(()),
        cause => Err(SqliteError::Damaged { path: path.to_owned(), cause }),
    }
}

/// Checks whether a file with this header is usable.
fn judge(path: &Path, found: &Found) -> Result<(), SqliteError> {
    let path = path.to_owned();
    match *found {
        Found::Foreign => {
            Err(SqliteError::Foreign { path, what: "an SQLite file of another program" })
        }
        Found::Ours(found) if found > schema::VERSION => {
            Err(SqliteError::Newer { path, found, known: schema::VERSION })
        }
        Found::Empty | Found::Ours(_) => Ok(()),
    }
}

/// Opens the file, after a [look](look) at it, and makes it what it must be.
pub(crate) fn open(path: &Path) -> Result<(Connection, Opened, Log), SqliteError> {
    let is_whole = look(path)?;
    let io = |error| SqliteError::io(path, &error);
    // Made here, so that its rights are narrow from the start; the log gets the same. A file that is
    // there is not opened.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
        _ => {}
    }
    let was = identity_at(path).map_err(io)?;
    let sqlite = |error| SqliteError::sqlite(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(PATIENCE).map_err(sqlite)?;
    // What is refused below is left as it is: its log stays beside it.
    let keeps_log = |connection: &Connection, keeps| {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keeps).map_err(sqlite)
    };
    keeps_log(&connection, true)?;
    // The last writes may be in the log alone.
    judge(path, &schema::look(&connection).map_err(sqlite)?)?;
    if !is_whole {
        check(path, &connection)?;
    }
    keeps_log(&connection, false)?;
    schema::migrate(&mut connection).map_err(sqlite)?;
    let log = "PRAGMA journal_mode = WAL";
    let mode: String = connection.query_row(log, [], |row| row.get(0)).map_err(sqlite)?;
    if mode != "wal" {
        let cause = format!("its file system does not support a WAL (journal mode {mode})");
        return Err(SqliteError::Unusable { path: path.to_owned(), cause });
    }
    // The store itself syncs the log, after the next process has its turn.
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(sqlite)?;
    // The first transaction makes the log.
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT").map_err(sqlite)?;
    let log = beside(path, "-wal");
    let log_file = File::open(&log).map_err(io)?;
    let log_was = identity(&log_file.metadata().map_err(io)?);
    let both = [(path.to_owned(), was), (log, log_was)];
    let opened = Opened { path: path.to_owned(), both };
    opened.check()?;
    let log = Log::new(log_file, &mut connection).map_err(sqlite)?;
    Ok((connection, opened, log))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_recognised() {
        let (ext4, tmpfs) = (0xef53, 0x0102_1994);
        assert_eq!((network_name(ext4), network_name(tmpfs)), (None, None));
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0xff53_4d42), Some("CIFS"));
        assert_eq!(network_name(0x7461_636f), Some("OCFS2"));
        let local = tempfile::tempdir().unwrap();
        assert_eq!(network_warning(local.path()), None);
    }
}
