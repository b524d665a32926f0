/* The page around the picture: what is written beside it, search, choices, keys. */

let view, comparing = false, matches = [], atMatch = -1;
const picture = new Picture($("picture"), $("pane"), {
  chosen: (box, row) => comparing ? chooseBoth(0, box, row) : details(row),
  turned: box => comparing && turnBoth(0, box),
  hinted: hint,
});

function show(index) {
  comparing = false;
  document.body.classList.remove("comparing");
  view = DATA.views[index];
  picture.marks = () => null;
  picture.show(view);
  facts();
  bars([view]);
  cells();
  table();
  search();
  details();
}

// What is written beside it

function big(n) {
  for (const [unit, size] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (n >= size) return `${(n / size).toFixed(n / size < 10 ? 2 : n / size < 100 ? 1 : 0)} ${unit}`;
  }
  return String(n);
}

function list(parent, entries) {
  const dl = html("dl", undefined, parent);
  for (const [name, value] of entries) {
    if (!value) continue;
    html("dt", name, dl);
    html("dd", value, dl);
  }
}

function share(n, whole) {
  if (!n || !whole) return "";
  const percent = 100 * n / whole;
  return percent < 0.05 ? " (< 0.1 %)" : ` (${percent.toFixed(1)} %)`;
}

function details(row) {
  const panel = $("details"), {selected} = picture;
  panel.replaceChildren();
  panel.classList.toggle("empty", !selected);
  if (!selected || (!selected.count && !row)) {
    html("p", selected ? `${selected.says} ${selected.label}: ${selected.output}` : "Choose a box: its attributes, parameters and costs stand here.", panel, "quiet");
    return;
  }
  const {rows} = selected, c = view.counts;
  if (row || rows.length === 1) {
    const one = row ?? rows[0];
    html("h3", one.name, panel);
    if (row && row !== rows[0]) html("p", `drawn as ${selected.name}`, panel, "quiet");
    list(panel, [
      ["op", one.op],
      ...one.attributes,
      ["reads", one.inputs.join(", ")],
      ["output", one.output],
      ["weights", one.weights && number(one.weights) + share(one.weights, c.params)],
      ["biases", one.biases && number(one.biases)],
      ["buffers", one.buffers && number(one.buffers)],
      ["MACs", one.macs && number(one.macs) + share(one.macs, c.macs)],
      ["output in bytes", number(one.bytes)],
      ["alive then, in bytes", number(one.alive)],
      ["receptive field", one.field],
      ["stride", one.stride],
      ["in", one.blocks],
      ["written at", one.line],
    ]);
    return;
  }
  const n = selected.repeats, each = rows.slice(0, rows.length / n);
  html("h3", `${n > 1 ? `${n} \u00d7 ` : ""}${selected.says || selected.label}`, panel);
  const per = (key) => {
    const all = total(rows, key);
    return all ? number(all) + share(all, c[key]) + (n > 1 ? `, the first ${number(total(each, key))}` : "") : "";
  };
  list(panel, [
    ["name", selected.names],
    ["layers", number(rows.length) + (n > 1 ? `, ${number(each.length)} in each` : "")],
    ["output", selected.output],
    ["params", per("params")],
    ["MACs", per("macs")],
    ["receptive field", rows.at(-1).field],
    ["written at", selected.where],
  ]);
  const button = html("button", picture.isOpen(selected) ? "close" : "open", panel);
  button.type = "button";
  button.onclick = () => picture.turn(selected);
}

function facts() {
  const at = $("facts");
  document.title = view.title;
  $("title").textContent = view.title;
  at.replaceChildren();
  const c = view.counts;
  for (const [name, value, exact] of [
    ["params", big(c.params), c.params], ["MACs", big(c.macs), c.macs], ["layers", number(c.layers), c.layers],
    ["peak memory", `${big(view.peak)}B`, view.peak], ["input", view.input, ""], ["output", view.output, ""],
  ]) {
    const fact = html("div", undefined, at, "fact");
    html("b", value, fact);
    html("span", name, fact);
    if (exact) fact.title = `${number(exact)}${name === "peak memory" ? " bytes of float32 for one image" : ""}`;
  }
  $("notes").replaceChildren();
  view.notes.forEach(note => html("p", note, $("notes")));
}

const STRIPS = [
  ["params", "params", "weights and biases of each layer"],
  ["macs", "MACs", "multiply-accumulates of each layer, for one image"],
  ["alive", "memory", "bytes of all values alive at each layer: float32, one image"],
];
const MOST_BARS = 240;

/* Bars of each figure, of two networks one above the other and by one measure. */
function bars(views) {
  const at = $("bars"), width = 600, height = 56;
  at.replaceChildren();
  for (const [key, name, says] of STRIPS) {
    const most = Math.max(1, ...views.flatMap(one => one.rows.map(row => row[key])));
    const figure = html("figure", undefined, at);
    const caption = html("figcaption", undefined, figure);
    html("b", name, caption);
    const told = html("span", ` ${says}, at most ${number(most)}`, caption);
    for (const [side, {rows, title}] of views.entries()) {
      const count = Math.min(rows.length, MOST_BARS), of = views.length > 1 ? ` of ${title}` : "";
      const svg = element("svg", {
        viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: `strip ${key}`, role: "img",
        "aria-label": `${name}${of} over depth: ${says}; the table below has every figure`,
      }, figure);
      for (let i = 0; i < count; i++) {
        const part = rows.slice(Math.floor(i * rows.length / count), Math.floor((i + 1) * rows.length / count));
        const highest = part.reduce((a, b) => b[key] > a[key] ? b : a);
        const size = height * highest[key] / most;
        const bar = element("g", {}, svg);
        element("rect", {x: width * i / count, y: 0, width: width / count, height, class: "touch"}, bar);
        element("rect", {
          x: width * (i + 0.08) / count, y: height - size, width: width * 0.84 / count, height: size, class: "bar",
        }, bar);
        bar.onmouseenter = () => { told.textContent = ` ${highest.name}: ${number(highest[key])}`; };
        bar.onmouseleave = () => { told.textContent = ` ${says}, at most ${number(most)}`; };
        bar.onclick = () => comparing ? revealIn(side, highest) : reveal(highest);
      }
    }
  }
}

function reveal(row, options = {}) {
  picture.select(boxOf(view, row), row, {scroll: true, ...options});
}

function cells() {
  const at = $("cells");
  at.replaceChildren();
  if (!view.cells.length) {
    html("p", "This profile has no documented figures.", at, "quiet");
    return;
  }
  const table = html("table", undefined, at);
  const head = html("tr", undefined, html("thead", undefined, table));
  for (const name of ["", "cell", "documented", "computed", "why", "source"]) html("th", name, head).scope = "col";
  const body = html("tbody", undefined, table);
  for (const cell of view.cells) {
    const tr = html("tr", undefined, body, cell.status);
    html("td", cell.mark, tr).title = cell.status;
    const name = html("th", cell.cell, tr);
    name.scope = "row";
    html("td", cell.documented, tr, "number");
    html("td", cell.computed, tr, "number");
    html("td", cell.why, tr, "words");
    html("td", cell.source, tr, "words");
  }
}

const COLUMNS = [
  ["name", "name"], ["op", "op"], ["attributes", "says"], ["reads", "reads"], ["output", "output"],
  ["params", "params"], ["MACs", "macs"], ["receptive field", "field"], ["written at", "line"],
];

function table() {
  const at = $("table");
  at.replaceChildren();
  const made = html("table", undefined, at);
  html("caption", `Every layer of ${view.title}, in the order of execution`, made);
  const head = html("tr", undefined, html("thead", undefined, made));
  for (const [name] of COLUMNS) html("th", name, head).scope = "col";
  const body = html("tbody", undefined, made);
  view.rows.forEach((row, i) => {
    const tr = html("tr", undefined, body);
    tr.dataset.row = i;
    for (const [name, key] of COLUMNS) {
      const value = row[key], isNumber = typeof value === "number";
      const cell = html(name === "name" ? "th" : "td", isNumber ? (value ? number(value) : "") : value, tr);
      if (name === "name") cell.scope = "row";
      if (isNumber) cell.className = "number";
    }
  });
}

// Search

function search() {
  if (!view) return;
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const sides = comparing ? sidesOf() : [[picture, view]];
  const found = row => words.length > 0 && words.every(word => row.text.includes(word));
  matches = sides.flatMap(([one, of], side) => of.rows.filter(found).map(row => ({side, one, row, box: boxOf(of, row)})));
  atMatch = -1;
  const rows = sides.reduce((sum, [, of]) => sum + of.rows.length, 0);
  $("found").textContent = words.length ? `${number(matches.length)} of ${number(rows)}` : "";
  for (const [one] of sides) {
    one.matches = matches.filter(match => match.one === one).map(match => match.box);
    one.mark();
  }
}

function next(step) {
  if (!matches.length) return;
  atMatch = (atMatch + step + matches.length) % matches.length;
  $("found").textContent = `${number(atMatch + 1)} of ${number(matches.length)}`;
  const {side, row} = matches[atMatch];
  if (comparing) revealIn(side, row); else reveal(row);
}

// Answers

const pictures = () => comparing ? sidesOf().map(([one]) => one) : [picture];
const scale = change => pictures().forEach(one => one.scale(change(one.zoom)));

function choices() {
  const choice = $("view"), groups = new Map();
  choice.replaceChildren();
  if (DATA.difference) html("option", "what changed", choice).value = "difference";
  DATA.views.forEach((one, i) => {
    if (!groups.has(one.name)) groups.set(one.name, Object.assign(html("optgroup", undefined, choice), {label: one.name}));
    html("option", one.choice, groups.get(one.name)).value = i;
  });
  $("choice").hidden = choice.options.length < 2;
}

function start() {
  choices();
  $("view").onchange = () => $("view").value === "difference" ? compare() : show(Number($("view").value));
  $("search").oninput = search;
  $("search").onkeydown = event => {
    if (event.key === "Enter") { event.preventDefault(); next(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { $("search").value = ""; search(); }
  };
  $("table").addEventListener("click", event => {
    const tr = event.target.closest("tr[data-row]");
    if (tr && !comparing) reveal(view.rows[tr.dataset.row]);
  });
  $("default").onclick = () => pictures().forEach(one => one.byDefault());
  $("open").onclick = () => pictures().forEach(one => one.openOnly(box => box.items));
  $("close").onclick = () => pictures().forEach(one => one.openOnly(() => false));
  $("larger").onclick = () => scale(zoom => zoom * 1.25);
  $("smaller").onclick = () => scale(zoom => zoom / 1.25);
  $("fit").onclick = () => pictures().forEach(one => one.fit());
  $("theme").onclick = () => {
    const {dataset} = document.documentElement;
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    dataset.theme = (dataset.theme ?? (isDark ? "dark" : "light")) === "dark" ? "light" : "dark";
  };
  document.addEventListener("keydown", event => {
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { event.preventDefault(); $("search").focus(); }
    if (event.key === "+" || event.key === "=") scale(zoom => zoom * 1.25);
    if (event.key === "-") scale(zoom => zoom / 1.25);
    if (event.key === "0") scale(() => 1);
    if (comparing && event.key === "n") toChange(1);
    if (comparing && event.key === "p") toChange(-1);
  });
  if (DATA.difference) compare();
  else if (DATA.views.length) show(0);
  if (DATA.live) follow(DATA.live);
}

// What is edited

function told(state) {
  const at = $("mistakes");
  at.textContent = state.mistakes;
  at.classList.toggle("mistakes", state.mistakes !== "");
}

function replaced(views) {
  const names = view ? new Set(view.boxes.map(box => box.name)) : null;
  const before = view ? new Set([...picture.opened].map(id => view.boxes[id].name)) : null;
  const chosen = picture.selected?.name, {scrollLeft, scrollTop} = $("pane");
  const index = view ? Math.max(0, views.findIndex(one => one.choice === view.choice)) : 0;
  DATA.views = views;
  choices();
  $("view").value = index;
  show(index);
  if (!before) return;
  picture.opened = new Set(view.boxes.filter(box => box.items && (names.has(box.name) ? before.has(box.name) : box.open)).map(box => box.id));
  picture.opened.add(0);
  picture.selected = view.boxes.find(box => box.parent && box.name === chosen && picture.visible(box)) ?? null;
  picture.draw();
  details();
  Object.assign($("pane"), {scrollLeft, scrollTop});
}

async function follow(state) {
  told(state);
  for (;;) {
    await new Promise(done => setTimeout(done, 300));
    try {
      const answer = await fetch(`/changes?have=${state.version}`);
      if (answer.status !== 200) {
        if (state.isLost) told(state);
        state.isLost = false;
        continue;
      }
      const changes = await answer.json();
      if (changes.views.length) replaced(changes.views);
      told(state = changes);
    } catch {
      state.isLost = true;
      told({mistakes: "archforge serve does not answer any more: what stands here is as it was."});
    }
  }
}

function hint(box, event) {
  const at = $("hint");
  at.hidden = !box;
  if (!box) return;
  const parts = [box.repeats > 1 ? `${box.repeats} \u00d7 ${box.says}` : box.says, box.name, box.output];
  const macs = total(box.rows, "macs"), field = box.rows.at(-1)?.field;
  if (box.params) parts.push(`${number(box.params)} params`);
  if (macs) parts.push(`${number(macs)} MACs`);
  if (field) parts.push(`sees ${field}`);
  at.textContent = parts.filter(Boolean).join("\n");
  at.style.left = `${Math.min(event.clientX + 14, innerWidth - at.offsetWidth - 8)}px`;
  at.style.top = `${Math.min(event.clientY + 14, innerHeight - at.offsetHeight - 8)}px`;
}
