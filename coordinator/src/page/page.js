// Shows what the coordinator sends. Text is only ever set as text, so a name cannot become markup.
"use strict";

const STALE_AFTER_MS = 3000;
const DECISIONS_MAX = 100;

const byId = (id) => document.getElementById(id);
const shownRows = new Map();
let heardAt = 0;
let before = null;

function setText(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

function child(parent, name, className) {
  const element = parent.appendChild(document.createElement(name));
  if (className) element.className = className;
  return element;
}

function showHeadline(now) {
  let headline = "There is no view yet";
  if (now.primary) {
    headline = `${now.primary} is primary, ${now.in_sync} of ${now.copies} copies in sync`;
    if (now.failing_over) headline = "A failover is under way";
  }
  setText(byId("headline"), headline);
  document.title = headline;
}

function showFigures(now) {
  setText(byId("epoch"), now.epoch);
  setText(byId("primary"), now.primary ?? "none");
  setText(byId("in-sync"), `${now.in_sync} of ${now.copies}`);
  byId("in-sync").className = now.in_sync >= now.copies ? "good" : now.in_sync >= now.min_in_sync ? "busy" : "bad";
  setText(byId("keys"), now.keys.toLocaleString("en"));
  if (before === null || now.at_ms - before.at_ms >= 1000) {
    if (before !== null) {
      const perSecond = (now.committed - before.committed) * 1000 / (now.at_ms - before.at_ms);
      setText(byId("throughput"), Math.max(0, Math.round(perSecond)).toLocaleString("en"));
    }
    before = { at_ms: now.at_ms, committed: now.committed };
  }
}

function showConditions(conditions) {
  const list = byId("conditions");
  if (JSON.stringify(conditions) === list.dataset.shown) return;
  list.dataset.shown = JSON.stringify(conditions);
  list.replaceChildren();
  for (const condition of conditions) child(list, "li").textContent = condition;
}

function rowOf(node) {
  let row = shownRows.get(node.id);
  if (!row) {
    const element = child(byId("nodes"), "tr");
    const name = child(element, "th");
    name.scope = "row";
    const cells = ["role", "sync", "state", "lag", "committed", "keys", "address"].map((part) =>
      [part, child(element, "td", ["lag", "committed", "keys"].includes(part) ? "number" : "")]);
    row = { element, name, ...Object.fromEntries(cells) };
    shownRows.set(node.id, row);
  }
  return row;
}

function showState(cell, node) {
  if (node.copy) {
    let bar = cell.querySelector("progress");
    if (!bar) {
      cell.replaceChildren();
      bar = child(cell, "progress");
      bar.max = 100;
      child(cell, "span");
    }
    bar.value = node.copy.percent;
    bar.setAttribute("aria-label", `${node.name} fetches a copy`);
    const left = node.copy.left_s === null ? "" : `, ${node.copy.left_s} s left`;
    setText(cell.querySelector("span"), ` copying, ${node.copy.percent} %${left}`);
    cell.className = "busy";
    return;
  }
  setText(cell, node.state);
  cell.className = node.state === "up" ? "good" : "bad";
}

function showNodes(nodes) {
  const present = new Set(nodes.map((node) => node.id));
  for (const [id, row] of shownRows) {
    if (!present.has(id)) {
      row.element.remove();
      shownRows.delete(id);
    }
  }
  for (const node of nodes) {
    const row = rowOf(node);
    row.element.className = node.role;
    setText(row.name, node.name);
    setText(row.role, node.role);
    setText(row.sync, node.in_sync ? "yes" : "no");
    row.sync.className = node.in_sync ? "good" : "bad";
    showState(row.state, node);
    setText(row.lag, node.lag === null ? "–" : node.lag.toLocaleString("en"));
    setText(row.committed, node.committed.toLocaleString("en"));
    setText(row.keys, node.keys.toLocaleString("en"));
    setText(row.address, node.address);
  }
}

function showDecisions(decisions) {
  const list = byId("decisions");
  for (const decision of decisions) {
    const item = document.createElement("li");
    item.className = decision.rule;
    const time = child(item, "time");
    const at = new Date(decision.at_ms);
    time.dateTime = at.toISOString();
    time.textContent = at.toLocaleString("en-GB");
    child(item, "span", "epoch").textContent = `epoch ${decision.epoch}`;
    child(item, "span", "rule").textContent = decision.rule;
    child(item, "span", "what").textContent = decision.what;
    list.prepend(item);
  }
  while (list.children.length > DECISIONS_MAX) list.lastElementChild.remove();
}

function listen() {
  const source = new EventSource("live");
  source.addEventListener("open", () => byId("decisions").replaceChildren());
  source.addEventListener("message", (message) => {
    const now = JSON.parse(message.data);
    heardAt = Date.now();
    byId("stale").hidden = true;
    showHeadline(now);
    showFigures(now);
    showConditions(now.conditions);
    showNodes(now.nodes);
    showDecisions(now.decisions);
  });
}

setInterval(() => {
  const age = Date.now() - heardAt;
  if (heardAt !== 0 && age > STALE_AFTER_MS) {
    byId("stale").hidden = false;
    setText(byId("stale"), `The coordinator does not answer; what stands here is ${Math.round(age / 1000)} s old.`);
  }
}, 1000);
listen();
