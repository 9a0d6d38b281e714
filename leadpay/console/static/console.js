// Live pages: when the server says that something has changed, fetch this page again and put in what differs.
"use strict";
(() => {
  const body = document.body;
  const live = document.getElementById("live");
  const PAUSE = 1500; // milliseconds between two refreshes, however much happens
  let version = body.dataset.version;
  let wanted = version;
  let running = false;

  // Make an element equal to a fresh one, and keep every node that is equal already: focus, selection and open
  // details stay. Children with an id are matched by it, others by their place.
  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== 1 || old.nodeName !== fresh.nodeName || !fresh.firstElementChild) {
      old.replaceWith(fresh);
      return;
    }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    for (const { name, value } of [...fresh.attributes]) old.setAttribute(name, value);
    const known = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
    const wantedIds = new Set([...fresh.children].map((one) => one.id).filter(Boolean));
    let place = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      while (place && place.nodeType === 1 && place.id && place.id !== child.id && !wantedIds.has(place.id)) {
        const gone = place;
        place = place.nextSibling;
        gone.remove();
      }
      const same = child.nodeType === 1 && child.id ? known.get(child.id) : null;
      if (same) {
        if (same === place) place = place.nextSibling;
        else old.insertBefore(same, place);
        unmark(same);
        if (!same.isEqualNode(child)) {
          morph(same, child);
          mark(same);
        }
      } else if (child.nodeType === 1 && child.id) {
        old.insertBefore(child, place);
        mark(child);
      } else if (place && !(place.nodeType === 1 && place.id)) {
        const next = place.nextSibling;
        morph(place, child);
        place = next;
      } else {
        old.insertBefore(child, place);
      }
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  function mark(element) {
    element.classList.add("changed");
    element.addEventListener("animationend", () => unmark(element), { once: true });
  }

  function unmark(element) {
    element.classList.remove("changed");
    if (!element.className) element.removeAttribute("class");
  }

  async function refresh() {
    if (running) return;
    running = true;
    try {
      while (wanted !== version && !document.hidden) {
        const target = wanted;
        const response = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
        if (!response.ok) throw new Error(String(response.status));
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        for (const part of document.querySelectorAll("[data-live]")) {
          const fresh = page.getElementById(part.id);
          if (fresh) morph(part, document.importNode(fresh, true));
        }
        version = target;
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      }
    } catch {
      show(false);
    } finally {
      running = false;
    }
  }

  function show(on) {
    live.classList.toggle("on", on);
    live.textContent = on ? "Live" : "Not connected";
  }

  // A page that came from a form is not fetched again: its URL is the form's.
  if (document.querySelector("[data-live]") && !("static" in body.dataset)) {
    const source = new EventSource(body.dataset.changes);
    source.onopen = () => show(true);
    source.onerror = () => show(false);
    source.onmessage = (message) => {
      wanted = message.data;
      refresh();
    };
    document.addEventListener("visibilitychange", refresh);
    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", (event) => event.persisted && location.reload());
  }

  document.addEventListener("keydown", (event) => {
    const search = document.getElementById("search");
    if (event.key === "/" && search && !/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.nodeName)) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });
})();
