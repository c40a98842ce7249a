// Keeps the page of a bulk act up to date until it is over. Without it the page has a link to do so.
"use strict";

(() => {
  const EVERY = 1500;
  const AFTER_AN_ERROR = 5000;
  const part = document.getElementById("saga-bulk-progress");
  const said = document.getElementById("saga-bulk-message");
  const address = part.dataset.url + window.location.search;
  let etag = "";

  const show = (html) => {
    const focused = document.activeElement && part.contains(document.activeElement) ? document.activeElement.id : "";
    const rows = document.getElementById("saga-rows");
    const scrolled = rows ? rows.scrollLeft : 0;
    part.innerHTML = html;
    if (said.textContent !== part.firstElementChild.dataset.message) {
      said.textContent = part.firstElementChild.dataset.message;
    }
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    if (scrolled && document.getElementById("saga-rows")) document.getElementById("saga-rows").scrollLeft = scrolled;
  };

  const look = async () => {
    const response = await fetch(address, { headers: etag ? { "If-None-Match": etag } : {} });
    if (response.redirected) {
      window.location.reload(); // it leads to the login
    } else if (response.status === 200) {
      etag = response.headers.get("ETag");
      show(await response.text());
    }
    return response.ok || response.status === 304;
  };

  const goOn = async () => {
    if (part.firstElementChild.dataset.over === "yes") return;
    let pause = EVERY;
    if (!document.hidden) pause = (await look().catch(() => false)) ? EVERY : AFTER_AN_ERROR;
    window.setTimeout(goOn, pause);
  };

  window.setTimeout(goOn, EVERY);
})();
