//! The frame around every page.

use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// A page.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) title: String,
    /// The address of hints that the content is out of date, where it can be.
    pub(super) changes: Option<String>,
    /// What stays as it is, above the content.
    pub(super) head: Markup,
    /// What is replaced when it is out of date.
    pub(super) content: Markup,
    /// The content in a few words, which are read aloud when they change.
    pub(super) summary: String,
}

impl Document {
    /// A page that does not change.
    pub(super) fn fixed(title: impl Into<String>, content: Markup) -> Self {
        let (head, summary) = (html! {}, String::new());
        Self { title: title.into(), changes: None, head, content, summary }
    }

    pub(super) fn markup(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    link rel="icon" href="/page/icon.svg";
                    link rel="stylesheet" href="/page/style.css";
                    @if self.changes.is_some() { script src="/page/script.js" defer {} }
                }
                body data-changes=[self.changes.as_deref()] {
                    a.skip href="#main" { "Skip to the content" }
                    header {
                        nav aria-label="Pages" {
                            a.brand href="/" { "Locks" }
                            " "
                            a href="/queues" { "Queues" }
                            " "
                            a href="/health" { "Health" }
                        }
                        @if self.changes.is_some() {
                            p #live role="status" {
                                noscript { "Not live: " a href="" { "reload" } }
                            }
                        }
                    }
                    main #main tabindex="-1" {
                        (self.head)
                        div #content data-summary=(self.summary) { (self.content) }
                        p #news .unseen role="status" {}
                    }
                }
            }
        }
    }
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        Html(self.markup().into_string()).into_response()
    }
}
