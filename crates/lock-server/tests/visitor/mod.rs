//! A person at the page, with a browser that runs no scripts.

use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, StatusCode, redirect};

use crate::common::Server;

/// An answer of the page.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Where the answer leads.
    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        self.headers[LOCATION].to_str().unwrap()
    }

    /// The address of the first link whose address begins like this.
    pub(crate) fn link(&self, start: &str) -> String {
        let start = format!("href=\"{start}");
        let at = self.text.find(&start).unwrap_or_else(|| panic!("no {start} in {}", self.text));
        let rest = &self.text[at + "href=\"".len()..];
        rest.split('"').next().unwrap().replace("&amp;", "&")
    }

    /// The hidden fields of the first form.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let form = self.text.split("<form class=\"act\"").nth(1).expect("a form");
        let form = form.split("</form>").next().unwrap();
        let inputs = form.split("<input type=\"hidden\" name=\"").skip(1);
        let field = |input: &str| {
            let (name, rest) = input.split_once("\" value=\"").unwrap();
            (name.to_owned(), plain(rest.split('"').next().unwrap()))
        };
        inputs.map(field).collect()
    }
}

/// The text that this HTML shows.
pub(crate) fn plain(html: &str) -> String {
    let text = html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&amp;", "&")
}

/// A person at the page.
pub(crate) struct Visitor<'a> {
    server: &'a Server,
    client: Client,
    pub(crate) cookie: Option<String>,
}

impl<'a> Visitor<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Self { server, client, cookie: None }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = self.client.get(self.server.url(path));
        self.send(request).await
    }

    /// Sends a form as a browser does.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(String, String)]) -> Answer {
        let origin = format!("http://{}", self.server.address);
        self.post_from(path, fields, &origin).await
    }

    pub(crate) async fn post_from(
        &mut self,
        path: &str,
        fields: &[(String, String)],
        origin: &str,
    ) -> Answer {
        let request = self.client.post(self.server.url(path)).header("origin", origin);
        self.send(request.form(fields)).await
    }

    /// Opens the form behind the first such link on the page of the key, and sends it with these
    /// fields besides the hidden ones.
    pub(crate) async fn act(&mut self, act: &str, page: &str, fields: &[(&str, &str)]) -> Answer {
        let filled = self.filled(act, page, fields).await;
        self.post(&format!("/page/{act}"), &filled).await
    }

    /// The fields of that form.
    pub(crate) async fn filled(
        &mut self,
        act: &str,
        page: &str,
        fields: &[(&str, &str)],
    ) -> Vec<(String, String)> {
        let form = self.get(page).await.link(&format!("/page/{act}?"));
        let mut filled = self.get(&form).await.fields();
        let own = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        filled.extend(own);
        filled
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Answer {
        let request = match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(cookie) = headers.get(SET_COOKIE) {
            self.cookie = Some(cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
        }
        Answer { status, headers, text: response.text().await.unwrap() }
    }
}
