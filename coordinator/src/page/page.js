// Shows what the coordinator sends. Text is only ever set as text, so a name cannot become markup.
"use strict";

const STALE_AFTER_MS = 3000;
const DECISIONS_MAX = 100;

const byId = (id) => document.getElementById(id);
const shownRows = new Map();
const openedAt = Date.now();
let heardAt = 0;
let isStale = false;
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
  byId("headline").className = now.failing_over ? "bad" : "";
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

function showConditions(now) {
  const list = byId("conditions");
  const serves = now.primary !== null && !now.failing_over && now.in_sync >= now.min_in_sync;
  list.className = serves ? "busy" : "bad";
  const conditions = now.conditions;
  if (JSON.stringify(conditions) === list.dataset.shown) return;
  list.dataset.shown = JSON.stringify(conditions);
  list.replaceChildren();
  for (const condition of conditions) child(list, "li").textContent = condition;
}

// Each cell of a node: what it is called above the column, or within the card that a phone shows.
const CELLS = {
  role: "Role", sync: "In sync", state: "State", lag: "Entries behind", committed: "Committed", keys: "Keys",
  address: "Address",
};
const NUMBERS = ["lag", "committed", "keys"];
const WIDE = ["state", "address"];

function rowOf(node) {
  let row = shownRows.get(node.id);
  if (!row) {
    // The roles are said because a phone's layout takes them away.
    const element = child(byId("nodes"), "tr");
    element.setAttribute("role", "row");
    const name = child(element, "th");
    name.scope = "row";
    name.setAttribute("role", "rowheader");
    row = { element, name };
    for (const [part, label] of Object.entries(CELLS)) {
      const cell = child(element, "td");
      cell.setAttribute("role", "cell");
      cell.dataset.label = label;
      cell.classList.toggle("number", NUMBERS.includes(part));
      cell.classList.toggle("wide", WIDE.includes(part));
      row[part] = cell;
    }
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
    cell.className = "wide busy";
    return;
  }
  setText(cell, node.state);
  // A drained node may well be away: somebody wanted it so.
  cell.className = `wide ${node.state === "up" ? "good" : node.role === "drained" ? "idle" : "bad"}`;
}

// Who is not in sync is on the way, is not wanted, or is missing.
const NOT_IN_SYNC = { joiner: "busy", spare: "idle", drained: "idle", away: "bad" };

function showNodes(nodes) {
  const present = new Set(nodes.map((node) => node.id));
  for (const [id, row] of shownRows) {
    if (!present.has(id)) {
      row.element.remove();
      shownRows.delete(id);
    }
  }
  const table = byId("nodes");
  nodes.forEach((node, place) => {
    const row = rowOf(node);
    if (table.children[place] !== row.element) table.insertBefore(row.element, table.children[place] ?? null);
    row.element.className = node.role;
    setText(row.name, node.name);
    setText(row.role, node.drained && node.in_sync ? `${node.role}, to leave` : node.role);
    setText(row.sync, node.in_sync ? "yes" : "no");
    row.sync.className = node.in_sync ? "good" : NOT_IN_SYNC[node.role] ?? "bad";
    showState(row.state, node);
    setText(row.lag, node.lag === null ? "–" : node.lag.toLocaleString("en"));
    setText(row.committed, node.committed.toLocaleString("en"));
    setText(row.keys, node.keys.toLocaleString("en"));
    setText(row.address, node.address);
  });
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

// What is shown is the past from now on, or the present again. Said once: a text that changed each second would be
// read out each second.
function setStale(stale) {
  if (stale === isStale) return;
  isStale = stale;
  document.body.classList.toggle("stale", stale);
  byId("stale").hidden = !stale;
  if (!stale) return;
  const since = new Date(heardAt).toLocaleTimeString("en-GB");
  const shown = heardAt === 0 ? "there is nothing to show" : `what stands here is how it was at ${since}`;
  setText(byId("stale"), `The coordinator does not answer; ${shown}. Reads and writes may well go on.`);
  setText(byId("headline"), "Not live: the coordinator does not answer");
  document.title = "Not live";
}

function listen() {
  const source = new EventSource("live");
  source.addEventListener("open", () => byId("decisions").replaceChildren());
  source.addEventListener("message", (message) => {
    const now = JSON.parse(message.data);
    heardAt = Date.now();
    setStale(false);
    showHeadline(now);
    showFigures(now);
    showConditions(now);
    showNodes(now.nodes);
    showDecisions(now.decisions);
  });
  // A browser goes on trying by itself, unless somebody in between answered with an error.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 1000);
  });
}

setInterval(() => {
  const since = heardAt === 0 ? openedAt : heardAt;
  if (Date.now() - since > STALE_AFTER_MS) setStale(true);
}, 500);
listen();
