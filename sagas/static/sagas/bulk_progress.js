// Updates the progress of a bulk operation until it is finished. Without JavaScript the page has a link.
"use strict";

(() => {
  const INTERVAL = 1500;
  const INTERVAL_AFTER_ERROR = 5000;
  const part = document.getElementById("saga-bulk-progress");
  const message = document.getElementById("saga-bulk-message");
  const url = part.dataset.url + window.location.search;
  let etag = "";

  const show = (html) => {
    const focused = document.activeElement && part.contains(document.activeElement) ? document.activeElement.id : "";
    const rows = document.getElementById("saga-rows");
    const scrolled = rows ? rows.scrollLeft : 0;
    part.innerHTML = html;
    if (message.textContent !== part.firstElementChild.dataset.message) {
      message.textContent = part.firstElementChild.dataset.message;
    }
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    if (scrolled && document.getElementById("saga-rows")) document.getElementById("saga-rows").scrollLeft = scrolled;
  };

  const update = async () => {
    const response = await fetch(url, { headers: etag ? { "If-None-Match": etag } : {} });
    if (response.redirected) {
      window.location.reload(); // the session has expired
    } else if (response.status === 200) {
      etag = response.headers.get("ETag");
      show(await response.text());
    }
    return response.ok || response.status === 304;
  };

  const poll = async () => {
    if (part.firstElementChild.dataset.finished === "yes") return;
    let pause = INTERVAL;
    if (!document.hidden) pause = (await update().catch(() => false)) ? INTERVAL : INTERVAL_AFTER_ERROR;
    window.setTimeout(poll, pause);
  };

  window.setTimeout(poll, INTERVAL);
})();
