"use strict";

// Replaces the content by a fresh one when the service says that it changed, and now and then, as
// leases are renewed without a word. Says so when it cannot.
(() => {
  const live = document.getElementById("live");
  const news = document.getElementById("news");
  const address = document.body.dataset.changes;
  const PERIOD = 5000;
  const PATIENCE = 10000;
  let source = null;
  let timer = 0;
  let fetching = false;
  let again = false;
  let isConnected = false;
  let isFresh = false;
  let cause = "";

  function say() {
    const isLive = isConnected && isFresh;
    const text = isLive ? "Live" : "Not live" + (cause ? ": " + cause : "");
    if (live.textContent !== text) live.textContent = text;
    live.className = isLive ? "on" : "off";
  }

  function replace(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.getElementById("content");
    const old = document.getElementById("content");
    if (!fresh || !old) throw new Error("the service answered with another page");
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const scrolled = [...old.querySelectorAll(".scroll")].map((it) => it.scrollLeft);
    old.replaceWith(document.adoptNode(fresh));
    fresh.querySelectorAll(".scroll").forEach((it, index) => {
      it.scrollLeft = scrolled[index] || 0;
    });
    if (focused) {
      const same = [...fresh.querySelectorAll("a, [tabindex]")].find((it) =>
        it.tagName === focused.tagName &&
        it.getAttribute("href") === focused.getAttribute("href") &&
        it.getAttribute("aria-labelledby") === focused.getAttribute("aria-labelledby"));
      if (same) same.focus({ preventScroll: true });
    }
    if (fresh.dataset.summary !== old.dataset.summary) news.textContent = fresh.dataset.summary;
  }

  async function refresh() {
    if (fetching) {
      again = true;
      return;
    }
    fetching = true;
    clearTimeout(timer);
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(PATIENCE) });
      if (!answer.ok) throw new Error("the service answered " + answer.status);
      replace(await answer.text());
      isFresh = true;
      cause = isConnected ? "" : cause;
    } catch (error) {
      isFresh = false;
      cause = error instanceof TypeError ? "the connection is lost" : error.message;
    }
    fetching = false;
    say();
    clearTimeout(timer);
    if (source) timer = setTimeout(refresh, again ? 0 : PERIOD);
    again = false;
  }

  function open() {
    if (source) return;
    source = new EventSource(address);
    source.addEventListener("changed", () => {
      isConnected = true;
      refresh();
    });
    source.addEventListener("error", () => {
      isConnected = false;
      cause = "the connection is lost";
      say();
      // After an answer that is no stream, a browser does not try again.
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        setTimeout(look, PERIOD);
      }
    });
    timer = setTimeout(refresh, PERIOD);
  }

  function close() {
    if (source) source.close();
    source = null;
    isConnected = false;
    clearTimeout(timer);
  }

  // A browser has few connections for one service, so a page that nobody sees gives its own back.
  function look() {
    if (document.hidden) {
      close();
    } else {
      open();
    }
  }

  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", look);
  say();
  look();
})();
