//! States in files: checked, and kept in versions.

use std::fs;
use std::path::PathBuf;

use lock_core::FencingToken;
use lock_server::{FileStates, StateName, StateStore};
use tempfile::TempDir;

fn store() -> (FileStates, StateName, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let name = StateName::parse("prod").expect("a name");
    (FileStates::new(folder.path()), name, folder)
}

fn token(number: u64) -> FencingToken {
    FencingToken::new(number).expect("not zero")
}

fn of(folder: &TempDir, file: &str) -> PathBuf {
    folder.path().join("prod.state~").join(file)
}

#[tokio::test]
async fn damaged_state_is_reported_with_its_file() {
    let (states, name, folder) = store();
    let _ = states.replace(&name, token(5), Some("state".into())).await.unwrap();
    let current = of(&folder, "current");
    let mut bytes = fs::read(&current).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&current, bytes).unwrap();
    let error = states.load(&name).await.unwrap_err().to_string();
    assert!(error.contains("current is damaged"), "{error}");
    fs::write(&current, "").unwrap();
    states.load(&name).await.unwrap_err();
    fs::write(of(&folder, "token"), "x").unwrap();
    states.fence(&name, token(9)).await.unwrap_err();
}

#[tokio::test]
async fn last_versions_are_kept() {
    let (states, name, folder) = store();
    for number in 1..=30 {
        let body = number.to_string();
        let _ = states.replace(&name, token(5), Some(body.into())).await.unwrap();
    }
    let mut versions: Vec<u64> = fs::read_dir(of(&folder, "versions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (10..30).collect::<Vec<_>>());
    let oldest = fs::read_to_string(of(&folder, "versions/10")).unwrap();
    assert!(oldest.ends_with("\n10"), "{oldest}");
}
