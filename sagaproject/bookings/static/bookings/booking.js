// Keeps the page of a booking up to date, and prevents sending a form twice. Without this script, visitors reload.

const SHORTEST = 1000;
const LONGEST = 10000;
const LONGEST_OFFLINE = 30000;

const news = document.getElementById("news");
const offline = document.getElementById("offline");
let pause = SHORTEST;
let timer;

const shown = () => document.getElementById("progress");
const running = () => shown()?.hasAttribute("data-running");

async function look() {
  const { url, etag } = shown().dataset;
  try {
    const answer = await fetch(url, { headers: { "If-None-Match": etag }, cache: "no-store" });
    if (answer.status !== 304 && !answer.ok) throw new Error(answer.statusText);
    pause = answer.status === 304 ? Math.min(pause * 1.3, LONGEST) : SHORTEST;
    if (answer.status !== 304) show(await answer.text());
    offline.hidden = true;
  } catch {
    pause = Math.min(pause * 2, LONGEST_OFFLINE);
    offline.hidden = false;
  }
  lookAgain();
}

function lookAgain() {
  clearTimeout(timer);
  if (running() && !document.hidden) timer = setTimeout(look, pause);
}

function lookNow() {
  pause = SHORTEST;
  clearTimeout(timer);
  if (running() && !document.hidden) look();
}

// Replaces the progress. Keeps the focus on the same control; if the control is gone, focuses the headline.
function show(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("progress");
  const old = shown();
  const focused = old.contains(document.activeElement) ? document.activeElement.id : null;
  const told = old.dataset.news;
  old.replaceWith(fresh);
  if (focused !== null) (document.getElementById(focused) ?? document.getElementById("booking-title")).focus();
  if (fresh.dataset.news !== told) news.textContent = fresh.dataset.news;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.hasAttribute("data-once")) return;
  if (form.hasAttribute("data-sent")) event.preventDefault();
  form.setAttribute("data-sent", "");
});

// When the browser restores the page from its cache, the content is old and its forms are marked as sent.
addEventListener("pageshow", () => {
  document.querySelectorAll("[data-sent]").forEach((form) => form.removeAttribute("data-sent"));
  if (shown()) lookNow();
});
document.addEventListener("visibilitychange", lookNow);
addEventListener("online", lookNow);
