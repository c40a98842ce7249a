"use strict";

// Refreshes the page of a case while its execution runs. Without JavaScript, the link "Refresh" does it.
(() => {
  const OFTEN = 2000;
  const SELDOM = 30000;
  const live = document.getElementById("saga-live");
  let tag = live.dataset.tag;
  let pause = OFTEN;

  // Do not replace a part that the reader has unfolded or is typing in.
  const isInUse = () =>
    live.querySelector("details[open]") !== null ||
    (document.activeElement !== null && live.contains(document.activeElement) && document.activeElement.closest("form") !== null) ||
    [...live.querySelectorAll("textarea, input:not([type=hidden])")].some((field) => field.value !== field.defaultValue);

  const goesOn = () => live.querySelector("[data-live]").dataset.live === "yes";

  // The same link, button or fold as before; where it is gone, the part itself, so that no other act gets the focus.
  const giveFocusBack = (part, had) => {
    const alike = [...part.querySelectorAll(had.localName)].find((one) => one.textContent === had.textContent);
    part.tabIndex = -1;
    (alike || part).focus({ preventScroll: true });
  };

  // Replace only the parts that differ, so that a screen reader announces only a new diagnosis.
  const take = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const part of fresh.querySelectorAll("[data-part]")) {
      const old = document.getElementById(part.id);
      const had = old.contains(document.activeElement) ? document.activeElement : null;
      old.className = part.className;
      Object.assign(old.dataset, part.dataset);
      if (old.innerHTML !== part.innerHTML) {
        old.replaceChildren(...part.childNodes);
        if (had) {
          giveFocusBack(old, had);
        }
      }
    }
  };

  const look = async () => {
    const answer = await fetch(live.dataset.url, { headers: { "If-None-Match": tag }, cache: "no-store", redirect: "error" });
    if (answer.status === 304) {
      return;
    }
    if (!answer.ok) {
      throw new Error(`The server answered ${answer.status}.`);
    }
    const text = await answer.text();
    if (!isInUse()) {
      take(text);
      tag = answer.headers.get("ETag");
    }
  };

  // Not more than a part of the time is spent on looking, and less when the server is in trouble.
  const lookAgain = async () => {
    if (!goesOn()) {
      return;
    }
    if (!document.hidden && !isInUse()) {
      const start = performance.now();
      try {
        await look();
        pause = Math.max(OFTEN, 4 * (performance.now() - start));
      } catch {
        pause = Math.min(pause * 2, SELDOM);
      }
    }
    window.setTimeout(lookAgain, pause);
  };

  window.setTimeout(lookAgain, pause);
})();
