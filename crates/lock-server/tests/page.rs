//! The web page over HTTP, as a browser without scripts sees it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod common;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use common::Server;
use lock_core::{Operation, RequestId};
use lock_memory::MemoryBackend;
use lock_server::ServiceConfig;
use lock_testkit::{Fault, Faulty};
use reqwest::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use visitor::{Visitor, plain};

/// Texts that are something else in HTML.
const HOSTILE: [&str; 3] =
    ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'&lt;b&gt;"];

async fn holds(server: &Server, key: &str, owner: &str) -> Value {
    let body = json!({ "key": key, "owner": owner, "ttl": { "for": 60_000 } });
    let (status, answer) = server.post("/v1/acquire", &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["lease"].clone()
}

/// Leaves a request in the queue.
async fn waits(server: &Server, key: &str, owner: &str, more: Value) -> RequestId {
    let request = RequestId::random();
    let mut body = json!({ "key": key, "owner": owner, "wait_ms": 1, "request": request });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, answer) = server.post("/v1/acquire", &body).await;
    assert_eq!((status, &answer["kind"]), (StatusCode::CONFLICT, &json!("wait_over")));
    request
}

async fn seen(server: &Server, key: &str) -> Value {
    server.get(&format!("/v1/locks/{key}")).await.1["value"].clone()
}

#[tokio::test]
async fn health_page_tells_whether_the_store_grants_locks() {
    let store = Faulty::new(MemoryBackend::new());
    let server = Server::on(Arc::new(store.clone()), ServiceConfig::new()).await;
    let page = Visitor::new(&server).get("/health").await;
    assert_eq!(page.status, StatusCode::OK);
    for shown in ["memory", "<dd>yes</dd>", "µs", "No warnings."] {
        assert!(page.text.contains(shown), "{shown} in {}", page.text);
    }
    store.stand_by();
    assert!(Visitor::new(&server).get("/health").await.text.contains("<strong>no</strong>"));
    store.inject(Operation::Health, Fault::Refused);
    let page = Visitor::new(&server).get("/health").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn locks_are_listed_with_holder_time_left_and_queue() {
    let server = Server::start().await;
    holds(&server, "deploy", "alice").await;
    waits(&server, "deploy", "bob", json!({})).await;
    let forever = json!({ "key": "legacy", "owner": "carol", "ttl": "never" });
    server.post("/v1/acquire", &forever).await;
    let page = Visitor::new(&server).get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    for shown in ["2 locks, 1 waiting", "alice", "carol", "exclusive", "never ends", "59 s<"] {
        assert!(page.text.contains(shown), "{shown} in {}", page.text);
    }
    assert!(!page.text.contains("bob"));
}

#[tokio::test]
async fn shared_lock_is_one_entry_with_its_holders() {
    let server = Server::start().await;
    for owner in ["a1", "a2", "a3", "a4", "a5"] {
        let mode = json!({ "shared": { "limit": 5 } });
        let body = json!({ "key": "pool", "owner": owner, "mode": mode });
        assert_eq!(server.post("/v1/acquire", &body).await.0, StatusCode::OK);
    }
    let page = Visitor::new(&server).get("/").await.text;
    assert_eq!(page.matches("href=\"/locks/pool\"").count(), 1);
    assert!(page.contains("rowspan=\"4\"") && page.contains("and 2 more"), "{page}");
    assert!(page.contains("shared, at most 5"));
}

#[tokio::test]
async fn search_takes_a_part_a_pattern_or_an_owner() {
    let server = Server::start().await;
    for (key, owner) in [("acme/infra/prod", "alice"), ("acme/shop/prod", "bob"), ("x", "bob")] {
        holds(&server, key, owner).await;
    }
    let mut visitor = Visitor::new(&server);
    for (query, count) in [
        ("/?q=prod", 2),
        ("/?q=acme%2F*%2Fprod", 2),
        ("/?q=acme%2Fi*", 1),
        ("/?q=%3F", 1),
        ("/?q=acme&owner=bob", 1),
        ("/?owner=bob", 2),
        ("/?q=PROD", 0),
        ("/?q=*prod&owner=ali", 0),
    ] {
        let page = visitor.get(query).await;
        assert_eq!(page.text.matches("href=\"/locks/").count(), count, "{query}: {}", page.text);
    }
    assert!(visitor.get("/?q=nobody").await.text.contains("Nothing held matches"));
    let refused = visitor.get("/?after=nonsense").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("<h1>Not available"), "{}", refused.text);
}

#[tokio::test]
async fn list_is_paged_and_every_lock_is_on_a_page() {
    let server = Server::start().await;
    for number in 0..250 {
        holds(&server, &format!("key/{number:03}"), "alice").await;
    }
    for (query, least) in [("/", 3), ("/?q=key", 1)] {
        let (mut visitor, mut keys, mut pages) = (Visitor::new(&server), Vec::new(), 0);
        let mut path = query.to_owned();
        loop {
            let page = visitor.get(&path).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.text);
            let links = page.text.split("href=\"/locks/").skip(1);
            keys.extend(links.map(|link| link.split('"').next().unwrap().to_owned()));
            pages += 1;
            let Some(next) = page.text.split("id=\"next\" rel=\"next\" href=\"").nth(1) else {
                break;
            };
            path = plain(next.split('"').next().unwrap());
        }
        keys.sort();
        assert_eq!(keys.len(), 250);
        keys.dedup();
        assert_eq!(keys.len(), 250);
        assert!(pages >= least, "{pages}");
    }
}

#[tokio::test]
async fn key_shows_holder_queue_and_ranks() {
    let server = Server::start().await;
    let lease = holds(&server, "deploy", "alice").await;
    waits(&server, "deploy", "bob", json!({})).await;
    waits(&server, "deploy", "carol", json!({ "priority": "critical" })).await;
    let page = Visitor::new(&server).get("/locks/deploy").await.text;
    let shown =
        ["1 holder, 2 waiting", "6 min (critical)", "2 min (normal)", "<time datetime=\"20"];
    for shown in shown.into_iter().chain([lease["request"].as_str().unwrap()]) {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    assert!(page.contains(&format!("token {}", lease["token"])));
    // The one that passed stands first, and the page says why.
    let queue = page.split("id=\"queue\"").nth(1).unwrap();
    assert!(queue.find("carol") < queue.find("bob"));
    assert!(queue.contains("<bdi>carol</bdi>, came 0 s later, head start 6 min"), "{queue}");
}

#[tokio::test]
async fn metadata_is_not_shown() {
    let server = Server::start().await;
    let mut visitor = Visitor::new(&server);
    visitor.get("/locks/deploy").await;
    let metadata = json!({ "password": "hunter2" });
    let body = json!({ "key": "deploy", "owner": "alice", "metadata": metadata });
    assert_eq!(server.post("/v1/acquire", &body).await.0, StatusCode::OK);
    let page = visitor.get("/locks/deploy").await;
    let form = page.link("/page/transfer?");
    for text in [&page.text, &visitor.get("/").await.text, &visitor.get(&form).await.text] {
        assert!(text.contains("alice") && !text.contains("hunter2") && !text.contains("password"));
    }
}

#[tokio::test]
async fn long_queue_is_paged() {
    let server = Server::start().await;
    holds(&server, "deploy", "alice").await;
    for number in 0..120 {
        waits(&server, "deploy", &format!("w{number:03}"), json!({})).await;
    }
    let mut visitor = Visitor::new(&server);
    let first = visitor.get("/locks/deploy").await;
    assert!(first.text.contains("w099") && !first.text.contains("w100"));
    let second = visitor.get(&first.link("/locks/deploy?after=")).await.text;
    assert!(second.contains("w100") && second.contains("w119") && !second.contains("w099"));
    assert!(second.contains("<td class=\"number\">120</td>"), "{second}");
}

#[tokio::test]
async fn waits_of_a_holder_are_followed_to_a_deadlock() {
    let server = Server::start().await;
    let session = |lease: &Value| json!({ "session": lease["session"] });
    let (one, two) = (holds(&server, "one", "alice").await, holds(&server, "two", "bob").await);
    holds(&server, "three", "carol").await;
    waits(&server, "three", "bob", json!({})).await;
    let mut visitor = Visitor::new(&server);
    let page = visitor.get("/locks/two").await.text;
    assert!(page.contains("in another session") && !page.contains("deadlock"), "{page}");
    waits(&server, "two", "alice", session(&one)).await;
    waits(&server, "one", "bob", session(&two)).await;
    let page = visitor.get("/locks/one").await.text;
    let waits = page.split("Waits of the holders").nth(1).unwrap();
    assert!(waits.contains("href=\"/locks/two\"") && waits.contains("<bdi>bob</bdi>"), "{waits}");
    assert!(waits.contains("a deadlock"), "{waits}");
}

#[tokio::test]
async fn history_is_kept_from_the_first_use_of_the_page() {
    let server = Server::start().await;
    let mut visitor = Visitor::new(&server);
    assert!(visitor.get("/locks/deploy").await.text.contains("None yet"));
    while !visitor.get("/locks/deploy").await.text.contains("Events since") {}
    let lease = holds(&server, "deploy", "alice").await;
    server.post("/v1/release", &lease).await;
    holds(&server, "other", "bob").await;
    let page = loop {
        let page = visitor.get("/locks/deploy").await.text;
        if page.contains("released") {
            break page;
        }
    };
    assert!(page.contains("granted") && !page.contains("bob"), "{page}");
}

#[tokio::test]
async fn hostile_texts_are_shown_as_texts() {
    let server = Server::start().await;
    let mut visitor = Visitor::new(&server);
    for hostile in HOSTILE {
        visitor.get(&format!("/?q={hostile}")).await;
        holds(&server, hostile, hostile).await;
        waits(&server, hostile, hostile, json!({})).await;
    }
    let list = visitor.get("/").await;
    let mut pages = vec![list.text.clone()];
    for part in list.text.split("href=\"/locks/").skip(1) {
        let path = format!("/locks/{}", part.split('"').next().unwrap());
        let page = visitor.get(&path).await;
        for act in ["evict", "cancel", "transfer"] {
            pages.push(visitor.get(&page.link(&format!("/page/{act}?"))).await.text);
        }
        let fields = [("by", HOSTILE[0]), ("reason", HOSTILE[1])];
        let done = visitor.act("evict", &path, &fields).await;
        pages.push(page.text);
        // The reason is in the history as soon as the event is read.
        let evicted = loop {
            let page = visitor.get(done.location()).await.text;
            if page.contains("<td>evicted</td>") {
                break page;
            }
        };
        assert!(plain(&evicted).contains(HOSTILE[1]));
        pages.push(evicted);
        pages.push(visitor.get(&format!("/?q={}", part.split('"').next().unwrap())).await.text);
        pages.push(visitor.get(&format!("/?after={}", part.split('"').next().unwrap())).await.text);
        pages.push(visitor.get(&format!("{path}?notice=%3Cscript%3E")).await.text);
    }
    assert_eq!(pages.len(), 1 + 3 * 8);
    for page in pages {
        assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
        assert!(!page.contains("<b>") && !page.contains("onerror=alert(1)>\""), "{page}");
    }
}

#[tokio::test]
async fn keys_with_any_characters_have_their_pages() {
    let server = Server::start().await;
    let mut visitor = Visitor::new(&server);
    for key in [
        "acme/infra/prod",
        "a//b",
        "/a/",
        "a/../b",
        "..",
        ".",
        "100% ?#&=+;",
        "%2F",
        "ключ/鍵/🔒",
        "page/style.css",
        "a b",
    ] {
        holds(&server, key, "alice").await;
        let list = visitor.get("/").await;
        let page = visitor.get(&list.link("/locks")).await;
        let title = plain(page.text.split("<h1><bdi>").nth(1).unwrap().split('<').next().unwrap());
        assert_eq!((title.as_str(), page.status), (key, StatusCode::OK));
        let path = list.link("/locks");
        let done = visitor.act("evict", &path, &[("by", "ops"), ("reason", "test")]).await;
        let after = visitor.get(done.location()).await.text;
        assert!(after.contains("was evicted") && after.contains("Nobody holds"), "{after}");
        assert!(plain(&after).contains(&format!("<h1><bdi>{key}</bdi>")), "{after}");
    }
    assert_eq!(visitor.get("/locks/a%00b").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(visitor.get("/locks/%FF").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(visitor.get("/locks").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn holder_is_evicted_by_the_form_with_a_reason() {
    let server = Server::start().await;
    let lease = holds(&server, "deploy", "alice").await;
    let mut visitor = Visitor::new(&server);
    let fields = [("by", "ops"), ("reason", "the runner is gone")];
    let done = visitor.act("evict", "/locks/deploy", &fields).await;
    assert_eq!(done.location(), "/locks/deploy?notice=evicted");
    assert!(visitor.get(done.location()).await.text.contains("The holder was evicted"));
    let (status, problem) = server.post("/v1/renew", &lease).await;
    assert_eq!(status, StatusCode::GONE);
    let end = json!({ "by": "ops", "reason": "the runner is gone" });
    assert_eq!(problem["end"]["evicted"], end);
}

#[tokio::test]
async fn eviction_without_a_reason_or_a_name_is_refused() {
    let server = Server::start().await;
    holds(&server, "deploy", "alice").await;
    let mut visitor = Visitor::new(&server);
    for fields in [[("by", "ops"), ("reason", " ")], [("by", ""), ("reason", "gone")]] {
        let refused = visitor.act("evict", "/locks/deploy", &fields).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.text.contains("Nothing was changed"), "{}", refused.text);
    }
    assert_eq!(seen(&server, "deploy").await["holders"], 1);
}

#[tokio::test]
async fn waiting_request_is_cancelled_by_the_form_and_told_why() {
    let server = Server::start().await;
    holds(&server, "deploy", "alice").await;
    let request = waits(&server, "deploy", "bob", json!({})).await;
    let mut visitor = Visitor::new(&server);
    let fields = [("by", "ops"), ("reason", "not today")];
    let done = visitor.act("cancel", "/locks/deploy", &fields).await;
    assert_eq!(done.location(), "/locks/deploy?notice=cancelled");
    assert_eq!(seen(&server, "deploy").await["waiting"], 0);
    let again = json!({ "key": "deploy", "owner": "bob", "wait_ms": 1, "request": request });
    let (status, problem) = server.post("/v1/acquire", &again).await;
    assert_eq!(status, StatusCode::GONE);
    assert_eq!(problem["end"]["evicted"], json!({ "by": "ops", "reason": "not today" }));
}

/// A form that is sent late ends nothing else.
#[tokio::test]
async fn cancelled_request_that_was_granted_keeps_its_lease() {
    let server = Server::start().await;
    let lease = holds(&server, "deploy", "alice").await;
    waits(&server, "deploy", "bob", json!({})).await;
    let mut visitor = Visitor::new(&server);
    let fields = [("by", "ops"), ("reason", "not today")];
    let filled = visitor.filled("cancel", "/locks/deploy", &fields).await;
    server.post("/v1/release", &lease).await;
    let late = visitor.post("/page/cancel", &filled).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert!(late.text.contains("Nothing was changed"), "{}", late.text);
    assert_eq!(seen(&server, "deploy").await["leases"][0]["owner"], "bob");
}

#[tokio::test]
async fn late_eviction_ends_no_later_lease() {
    let server = Server::start().await;
    let lease = holds(&server, "deploy", "alice").await;
    let mut visitor = Visitor::new(&server);
    let fields = [("by", "ops"), ("reason", "stuck")];
    let filled = visitor.filled("evict", "/locks/deploy", &fields).await;
    server.post("/v1/release", &lease).await;
    holds(&server, "deploy", "bob").await;
    let late = visitor.post("/page/evict", &filled).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert_eq!(seen(&server, "deploy").await["leases"][0]["owner"], "bob");
}

#[tokio::test]
async fn lease_is_transferred_by_the_form() {
    let server = Server::start().await;
    holds(&server, "deploy", "alice").await;
    let bob = waits(&server, "deploy", "bob", json!({})).await.to_string();
    let mut visitor = Visitor::new(&server);
    let fields = [("by", "ops"), ("waiter", &bob)];
    let done = visitor.act("transfer", "/locks/deploy", &fields).await;
    assert_eq!(done.location(), "/locks/deploy?notice=transferred");
    assert_eq!(seen(&server, "deploy").await["leases"][0]["owner"], "bob");
    let receiver = RequestId::random().to_string();
    let fields = [("by", "ops"), ("owner", "eve"), ("receiver", &receiver)];
    visitor.act("transfer", "/locks/deploy", &fields).await.location();
    let lease = seen(&server, "deploy").await["leases"][0].clone();
    assert_eq!((&lease["owner"], &lease["request"]), (&json!("eve"), &json!(receiver)));
    let fields = [("by", "ops"), ("waiter", &bob)];
    let refused = visitor.act("transfer", "/locks/deploy", &fields).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("does not wait"), "{}", refused.text);
}

#[tokio::test]
async fn form_without_its_token_or_cookie_is_refused() {
    let server = Server::start().await;
    holds(&server, "deploy", "alice").await;
    let mut visitor = Visitor::new(&server);
    let fields = [("by", "ops"), ("reason", "stuck")];
    let filled = visitor.filled("evict", "/locks/deploy", &fields).await;
    let cookie = visitor.cookie.clone();
    let mut stranger = Visitor::new(&server);
    stranger.get(&visitor.get("/locks/deploy").await.link("/page/evict?")).await;
    let without: Vec<_> = filled.iter().filter(|(name, _)| name != "csrf").cloned().collect();
    let mut wrong = without.clone();
    wrong.push(("csrf".to_owned(), "00".repeat(32)));
    for (fields, cookie) in [
        (&without, &cookie),
        (&wrong, &cookie),
        (&filled, &None),
        (&filled, &stranger.cookie),
        (&filled, &Some("lock-page=".to_owned())),
    ] {
        visitor.cookie.clone_from(cookie);
        for act in ["evict", "cancel", "transfer"] {
            let refused = visitor.post(&format!("/page/{act}"), fields).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN);
            assert!(refused.text.contains("The form is out of date"), "{}", refused.text);
            assert!(refused.text.contains("Nothing was changed"));
            assert_eq!(refused.link("/locks"), "/locks/deploy");
        }
    }
    assert_eq!(seen(&server, "deploy").await["holders"], 1);
    visitor.cookie = cookie;
    visitor.post("/page/evict", &filled).await.location();
}

/// The secret is that of one process.
#[tokio::test]
async fn form_of_a_former_process_is_refused() {
    let (former, server) = (Server::start().await, Server::start().await);
    holds(&former, "deploy", "alice").await;
    holds(&server, "deploy", "alice").await;
    let fields = [("by", "ops"), ("reason", "stuck")];
    let mut visitor = Visitor::new(&former);
    let filled = visitor.filled("evict", "/locks/deploy", &fields).await;
    let mut after = Visitor::new(&server);
    after.cookie.clone_from(&visitor.cookie);
    assert_eq!(after.post("/page/evict", &filled).await.status, StatusCode::FORBIDDEN);
    assert_eq!(seen(&server, "deploy").await["holders"], 1);
}

#[tokio::test]
async fn form_of_a_foreign_page_is_refused() {
    let server = Server::start().await;
    holds(&server, "deploy", "alice").await;
    let mut visitor = Visitor::new(&server);
    let fields = [("by", "ops"), ("reason", "stuck")];
    let filled = visitor.filled("evict", "/locks/deploy", &fields).await;
    for origin in ["http://evil.example", "null", &format!("https://{}", server.address.ip())] {
        let refused = visitor.post_from("/page/evict", &filled, origin).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{origin}");
    }
    assert_eq!(seen(&server, "deploy").await["holders"], 1);
}

#[tokio::test]
async fn cookie_is_strict_and_hidden_from_scripts() {
    let server = Server::start().await;
    holds(&server, "deploy", "alice").await;
    let mut visitor = Visitor::new(&server);
    let link = visitor.get("/locks/deploy").await.link("/page/evict?");
    let form = visitor.get(&link).await;
    let cookie = form.headers[SET_COOKIE].to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    // One that is there is kept, so that forms in other windows go on.
    assert_eq!(visitor.get(&link).await.headers.get(SET_COOKIE), None);
}

#[tokio::test]
async fn every_answer_has_its_headers_and_nothing_inline() {
    let server = Server::start().await;
    holds(&server, "deploy", "alice").await;
    let mut visitor = Visitor::new(&server);
    let form = visitor.get("/locks/deploy").await.link("/page/evict?");
    for (path, referrer) in [
        ("/", "no-referrer"),
        ("/locks/deploy", "no-referrer"),
        ("/locks", "no-referrer"),
        ("/queues", "no-referrer"),
        (form.as_str(), "same-origin"),
        ("/page/style.css", "no-referrer"),
        ("/page/script.js", "no-referrer"),
        ("/page/icon.svg", "no-referrer"),
        ("/page/none", "no-referrer"),
    ] {
        let page = visitor.get(path).await;
        let policy = page.headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"));
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(page.headers[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(page.headers[REFERRER_POLICY], referrer, "{path}");
        let is_file = path.contains("page/") && path.contains('.');
        assert_eq!(page.headers[CACHE_CONTROL], if is_file { "no-cache" } else { "no-store" });
        if !is_file {
            for inline in ["<style", " style=", " onclick=", "javascript:"] {
                assert!(!page.text.contains(inline), "{inline} in {path}");
            }
            assert!(page.text.matches("<script").count() <= 1);
        }
    }
}

#[tokio::test]
async fn page_has_landmarks_and_scoped_headers_and_works_without_scripts() {
    let server = Server::start().await;
    holds(&server, "deploy", "alice").await;
    waits(&server, "deploy", "bob", json!({})).await;
    let mut visitor = Visitor::new(&server);
    for path in ["/", "/locks/deploy", "/queues"] {
        let page = visitor.get(path).await.text;
        for part in [
            "<html lang=\"en\">",
            "<a class=\"skip\" href=\"#main\">",
            "<nav aria-label=\"Pages\">",
            "<main id=\"main\" tabindex=\"-1\">",
            "role=\"status\"",
            "<noscript>Not live: <a href=\"\">reload</a></noscript>",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        let headers = page.matches("<th").count() - page.matches("<thead").count();
        assert_eq!(headers, page.matches("<th scope=").count() + page.matches("\" scope=").count());
    }
    let form = visitor.get("/locks/deploy").await.link("/page/evict?");
    let form = visitor.get(&form).await.text;
    let shown = form.matches("<input").count() - form.matches("type=\"hidden\"").count();
    assert_eq!(shown, form.matches("<label>").count());
}

#[tokio::test]
async fn wrong_method_and_unknown_page_are_pages() {
    let server = Server::start().await;
    let mut visitor = Visitor::new(&server);
    for (method, path) in [
        (Method::POST, "/"),
        (Method::POST, "/locks/deploy"),
        (Method::DELETE, "/locks/deploy"),
        (Method::POST, "/queues"),
        (Method::PUT, "/page/evict"),
        (Method::POST, "/page/changes"),
    ] {
        let answer = server.request(method, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(answer.headers().contains_key(CONTENT_SECURITY_POLICY));
        assert!(answer.text().await.unwrap().contains("<h1>Not done"), "{path}");
    }
    assert_eq!(visitor.get("/page/none").await.status, StatusCode::NOT_FOUND);
    // The API's own answers stay as they are.
    assert_eq!(server.get("/v1/none").await.1["kind"], "not_found");
}

#[tokio::test]
async fn form_that_is_no_form_or_too_long_is_a_page() {
    let server = Server::start().await;
    let mut visitor = Visitor::new(&server);
    let fields = [("key".to_owned(), "deploy".to_owned())];
    let refused = visitor.post("/page/evict", &fields).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("missing field"), "{}", refused.text);
    let fields = [("key".to_owned(), "a".repeat(100_000))];
    let refused = visitor.post("/page/evict", &fields).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(refused.text.contains("Nothing was changed"), "{}", refused.text);
    let path = format!("/page/evict?key=deploy&request={}", RequestId::random());
    let gone = visitor.get(&path).await;
    assert_eq!(gone.status, StatusCode::GONE);
    assert!(gone.text.contains("not held any more"), "{}", gone.text);
}

#[tokio::test]
async fn failed_act_says_whether_it_is_unknown() {
    let store = Arc::new(Faulty::new(MemoryBackend::new()));
    let config = ServiceConfig::new().with_operation_timeout(Duration::from_millis(50));
    let server = Server::on(store.clone(), config).await;
    holds(&server, "deploy", "alice").await;
    let mut visitor = Visitor::new(&server);
    let fields = [("by", "ops"), ("reason", "stuck")];
    let filled = visitor.filled("evict", "/locks/deploy", &fields).await;
    store.inject(Operation::Evict, Fault::Refused);
    let refused = visitor.post("/page/evict", &filled).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.text.contains("Nothing was changed"), "{}", refused.text);
    store.inject(Operation::Evict, Fault::AnswerLost);
    let unknown = visitor.post("/page/evict", &filled).await;
    assert!(unknown.status.is_server_error(), "{}", unknown.status);
    assert!(unknown.text.contains("It is unknown whether this happened"), "{}", unknown.text);
    store.inject(Operation::Inspect, Fault::Refused);
    let page = visitor.get("/locks/deploy").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text.contains("<h1>Not available"), "{}", page.text);
}

/// The first hint comes at once, and those of a burst come together, a second later.
#[tokio::test]
async fn changes_are_hinted_at_most_once_a_second() {
    let server = Server::start().await;
    let mut hints = server.request(Method::GET, "/page/changes?key=deploy").send().await.unwrap();
    assert_eq!(hints.headers()["content-type"], "text/event-stream");
    let hint = "event: changed\ndata: 1\n\n";
    assert_eq!(hints.chunk().await.unwrap().unwrap(), hint);
    let start = tokio::time::Instant::now();
    for _ in 0..20 {
        let lease = holds(&server, "deploy", "alice").await;
        server.post("/v1/release", &lease).await;
    }
    assert_eq!(hints.chunk().await.unwrap().unwrap(), hint);
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
    // Those of other keys are not hinted at; the next hint is that of the end of the wait.
    let start = tokio::time::Instant::now();
    holds(&server, "other", "bob").await;
    let other = tokio::time::timeout(Duration::from_millis(1200), hints.chunk());
    assert!(other.await.is_err(), "{:?}", start.elapsed());
    server.service.shutdown().await;
    assert_eq!(hints.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn queues_of_pull_requests_are_listed_by_the_names_of_atlantis() {
    let server = Server::start().await;
    let mut visitor = Visitor::new(&server);
    let empty = visitor.get("/queues").await;
    assert_eq!(empty.status, StatusCode::OK);
    assert!(empty.text.contains("No pull request waits for a project."), "{}", empty.text);
    let key = |path: &str| format!("project:acme/infra:{path}:default::github.com");
    let pull = |num: u64| format!("pull:github.com:acme/infra:{num}");
    for path in ["vpc", "dns", "idle"] {
        holds(&server, &key(path), &pull(7)).await;
    }
    for num in 8..13 {
        waits(&server, &key("vpc"), &pull(num), json!({})).await;
    }
    waits(&server, &key("dns"), "ops", json!({})).await;
    // These are no projects.
    for other in ["deploy", "project:odd"] {
        holds(&server, other, "alice").await;
        waits(&server, other, "bob", json!({})).await;
    }
    let page = visitor.get("/queues").await.text;
    for shown in [
        "2 queues, 6 waiting",
        "acme/infra/vpc/default/",
        "acme/infra/dns/default/",
        "github.com",
        "#7",
        "<div><bdi>ops</bdi>, ",
        "<div>and 2 more</div>",
        "<a href=\"/queues\">Queues</a>",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    let next = page.split("<div>#").skip(1).map(|rest| rest.split(',').next().unwrap());
    assert_eq!(next.collect::<Vec<_>>(), ["8", "9", "10"], "{page}");
    for hidden in ["idle", "alice", "bob", "odd", "#11"] {
        assert!(!page.contains(hidden), "{hidden} in {page}");
    }
    let link = visitor.get("/queues").await.link("/locks/project:acme/infra:vpc");
    assert_eq!(visitor.get(&link).await.status, StatusCode::OK);
}

#[tokio::test]
async fn names_in_queues_are_escaped_and_queues_are_paged() {
    let server = Server::start().await;
    let key = |path: &str| format!("project:acme/infra:{path}:default::github.com");
    for number in 0..130 {
        let path = if number == 0 { HOSTILE[0].to_owned() } else { format!("p-{number:03}") };
        holds(&server, &key(&path), "pull:github.com:acme/infra:1").await;
        waits(&server, &key(&path), HOSTILE[1], json!({})).await;
    }
    let (mut visitor, mut paths, mut pages) = (Visitor::new(&server), Vec::new(), 0);
    let mut address = "/queues".to_owned();
    loop {
        let page = visitor.get(&address).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        assert!(!page.text.contains("<script>alert") && !page.text.contains("<img"));
        let links = page.text.split("href=\"/locks/").skip(1);
        paths.extend(links.map(|link| link.split('"').next().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page.text.split("id=\"next\" rel=\"next\" href=\"").nth(1) else {
            break;
        };
        address = plain(next.split('"').next().unwrap());
    }
    paths.sort();
    paths.dedup();
    assert_eq!((paths.len(), pages), (130, 2));
    let refused = visitor.get("/queues?after=nonsense").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}
