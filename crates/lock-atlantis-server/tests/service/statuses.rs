//! The statuses of pull requests, as old and new versions of Atlantis write them.

use lock_compat::LegacyBackend as _;
use lock_compat::conformance::pull;

use crate::common::{SWAP, Server, ask};

const KEY: &str = "github.com::acme/infra::7";
const GONE: Option<String> = None;

/// A status with this many projects.
fn status(projects: usize) -> String {
    let project = |number| {
        format!(
            r#"{{"Workspace":"default","RepoRelDir":"{number}","ProjectName":"","PolicyStatus":null,"PlanGeneration":"x","Status":1}}"#
        )
    };
    let projects: Vec<_> = (0..projects).map(project).collect();
    format!(r#"{{"Projects":[{}],"Pull":{{"Num":7}}}}"#, projects.join(","))
}

#[tokio::test]
async fn status_is_kept_to_the_byte_and_read_by_the_adapter() {
    let server = Server::start().await;
    let mut client = server.client(None).await;
    assert_eq!(ask(&mut client, &["GET", KEY]).await, Ok(GONE));
    assert_eq!(ask(&mut client, &["SET", KEY, &status(2)]).await, Ok("OK".to_owned()));
    assert_eq!(ask(&mut client, &["GET", KEY]).await, Ok(status(2)));
    let read = server.adapter.get_pull_status(&pull("acme/infra", 7)).await.unwrap().unwrap();
    assert_eq!(read.projects.unwrap().len(), 2);
    // Atlantis forgets a status without reading it.
    assert_eq!(ask(&mut client, &["DEL", KEY]).await, Ok(1));
    assert_eq!(ask(&mut client, &["DEL", KEY]).await, Ok(0));
    let refused = ask::<String>(&mut client, &["SET", KEY, "hunter2"]).await.unwrap_err();
    assert!(refused.contains("cannot be read") && !refused.contains("hunter2"), "{refused}");
}

#[tokio::test]
async fn status_that_changed_since_it_was_read_is_not_overwritten() {
    let server = Server::start().await;
    let (mut client, mut other) = (server.client(None).await, server.client(None).await);
    assert_eq!(ask(&mut client, &["SET", KEY, &status(1)]).await, Ok("OK".to_owned()));
    // Both read it, and both write what they made of it.
    assert_eq!(ask(&mut client, &["GET", KEY]).await, Ok(status(1)));
    assert_eq!(ask(&mut other, &["GET", KEY]).await, Ok(status(1)));
    assert_eq!(ask(&mut client, &["SET", KEY, &status(2)]).await, Ok("OK".to_owned()));
    let refused = ask::<String>(&mut other, &["SET", KEY, &status(3)]).await.unwrap_err();
    assert!(refused.contains("changed since it was read"), "{refused}");
    assert_eq!(ask(&mut client, &["GET", KEY]).await, Ok(status(2)));
    assert_eq!(ask(&mut other, &["SET", KEY, &status(3)]).await, Ok("OK".to_owned()));
    // The same once more is a repetition.
    assert_eq!(ask(&mut other, &["SET", KEY, &status(3)]).await, Ok("OK".to_owned()));
    ask::<String>(&mut other, &["SET", KEY, &status(4)]).await.unwrap_err();
}

#[tokio::test]
async fn script_swaps_the_very_bytes_that_were_read() {
    let server = Server::start().await;
    let mut client = server.client(None).await;
    let swap = async |client: &mut _, is_there: &str, old: &str, new: &str| {
        ask::<i64>(client, &["EVAL", &SWAP, "1", KEY, is_there, old, new]).await
    };
    assert_eq!(swap(&mut client, "1", &status(1), &status(2)).await, Ok(0));
    assert_eq!(swap(&mut client, "0", "", &status(1)).await, Ok(1));
    assert_eq!(swap(&mut client, "0", "", &status(2)).await, Ok(0));
    assert_eq!(swap(&mut client, "1", &status(2), &status(3)).await, Ok(0));
    assert_eq!(swap(&mut client, "1", &status(1), &status(2)).await, Ok(1));
    assert_eq!(ask(&mut client, &["GET", KEY]).await, Ok(status(2)));
    swap(&mut client, "1", &status(2), "hunter2").await.unwrap_err();
    // A script is for its kind of record.
    let refused =
        ask::<i64>(&mut client, &["EVAL", &SWAP, "1", "pr/a/b/./d/", "0", "", "{}"]).await;
    assert!(refused.unwrap_err().contains("another key"));
}
