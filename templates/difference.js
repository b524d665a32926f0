/* Two networks beside each other: what belongs together and what differs, in both pictures and in one table. */

const STATES = {
  s: {look: "same", says: "the same", sign: ""},
  c: {look: "changed", says: "changed", sign: "~"},
  f: {look: "follows", says: "follows from a change before it", sign: "\u2193"},
  r: {look: "removed", says: "only before", sign: "\u2212"},
  a: {look: "added", says: "only after", sign: "+"},
  m: {look: "changed", says: "changed inside", sign: "~"},
};
const FOLDED = 4;  // from how many rows on that differ in the same way they are one, which opens

const SIDES = ["before", "after"];

let second = null, changeAt = -1;

const sidesOf = () => [[picture, DATA.views[0]], [second, DATA.views[1]]];
const difference = () => DATA.difference;
const partner = (side, index) => side ? difference().back[index] : difference().pairs[index];

/* What becomes of a box: the state of all its layers if they have one; those of all repeats, of one that repeats. */
function marked(side, view) {
  const states = difference().states[side];
  const visit = (box, starts) => {
    const found = new Set();
    for (const start of starts) {
      for (let i = 0; i < box.count; i++) found.add(states[start + i]);
    }
    if (!box.count) found.add("s");
    box.state = found.size === 1 ? [...found][0] : "m";
    const size = box.count / box.repeats;
    for (const item of box.items ?? []) {
      const within = [];
      for (const start of starts) {
        for (let n = 0; n < box.repeats; n++) within.push(start + n * size + item.first - box.first);
      }
      visit(item, within);
    }
  };
  visit(view.whole, [view.whole.first]);
  return box => STATES[box.state];
}

function compare() {
  document.body.classList.add("comparing");
  changeAt = -1;
  $("details").replaceChildren();
  $("notes").replaceChildren();
  document.title = $("title").textContent = difference().title;
  totals();
  changes();
  const hasPictures = difference().states.length > 0;
  document.body.classList.toggle("unpictured", !hasPictures);
  if (!hasPictures) return;
  second ??= new Picture($("other_picture"), $("other_pane"), {
    chosen: (box, row) => chooseBoth(1, box, row),
    turned: box => turnBoth(1, box),
    hinted: hint,
  });
  comparing = false;
  view = DATA.views[0];
  for (const [side, [one, of]] of sidesOf().entries()) {
    prepare(of);
    one.marks = marked(side, of);
    one.show(of);
  }
  document.querySelectorAll(".side").forEach((at, side) => { at.textContent = `${SIDES[side]}: ${difference().titles[side]}`; });
  comparing = true;
  bars(DATA.views.slice(0, 2));
  aligned();
  search();
  differs();
}

function totals() {
  const at = $("facts");
  at.replaceChildren();
  const table = html("table", undefined, at, "totals");
  html("caption", "the totals", table);
  const head = html("tr", undefined, html("thead", undefined, table));
  for (const name of ["", ...difference().titles, "change"]) html("th", name, head).scope = "col";
  const body = html("tbody", undefined, table);
  for (const [unit, ...figures] of difference().totals) {
    const tr = html("tr", undefined, body);
    html("th", unit, tr).scope = "row";
    figures.forEach(figure => html("td", figure, tr, "number"));
  }
}

function changes() {
  const at = $("changes");
  at.replaceChildren();
  if (!difference().lines.length) html("li", "Nothing differs.", at);
  difference().lines.forEach(([mark, words, ...rows], i) => {
    const item = html("li", undefined, at, {"+": "added", "-": "removed"}[mark] ?? "changed");
    const leads = rows.some(side => side.length);
    const said = html(leads ? "button" : "span", `${mark} ${words}`, item);
    if (!leads) return;
    said.type = "button";
    said.onclick = () => toChange(i - changeAt);
  });
}

/* Goes to the change so many behind the last one, and lights what it is about in both pictures. */
function toChange(step) {
  const leading = difference().lines.map((line, i) => i).filter(i => difference().lines[i].slice(2).some(rows => rows.length));
  if (!leading.length) return;
  const wanted = changeAt + step;
  changeAt = leading.find(i => i >= wanted) ?? leading[0];
  if (step < 0) changeAt = leading.findLast(i => i <= wanted) ?? leading.at(-1);
  [...$("changes").children].forEach((item, i) => item.classList.toggle("chosen", i === changeAt));
  sidesOf().forEach(([one, of], side) => {
    const rows = difference().lines[changeAt][2 + side];
    one.matches = rows.map(i => boxOf(of, of.rows[i]));
    one.mark();
  });
  const [, , here, there] = difference().lines[changeAt];
  if (here.length) revealIn(0, DATA.views[0].rows[here[0]]);
  else revealIn(1, DATA.views[1].rows[there[0]]);
}

function revealIn(side, row) {
  const [one, of] = sidesOf()[side];
  one.select(boxOf(of, row), row, {scroll: true});
}

// Boxes that belong together

/* The box on the other side that shares the most layers with this one; none for one that is only here. */
function counterpart(side, box) {
  const views = DATA.views.slice(0, 2), [, there] = side ? [...views].reverse() : views;
  if (!box.count) return there.boxes.find(each => each.parent === there.whole && !each.count && each.label === box.label) ?? null;
  const twins = new Set();
  for (const {index} of box.rows) {
    if (partner(side, index) >= 0) twins.add(partner(side, index));
  }
  if (!twins.size) return null;
  if (!box.items) return boxOf(there, there.rows[[...twins][0]]);
  let best = null, most = 0;
  for (let at = boxOf(there, there.rows[[...twins][0]]); at?.parent; at = at.parent) {
    const shared = at.rows.filter(row => twins.has(row.index)).length;
    const alike = shared / (twins.size + at.count - shared);
    if (at.items && alike > most) [best, most] = [at, alike];
  }
  return best;
}

let isAnswering = false;  // what one picture does to the other does nothing to it in turn

function answered(act) {
  if (isAnswering) return;
  isAnswering = true;
  try { act(); } finally { isAnswering = false; }
}

function chooseBoth(side, box, row) {
  answered(() => {
    const [other, there] = sidesOf()[1 - side];
    const at = row ? partner(side, row.index) : -1;
    const twin = !box ? null : row ? (at >= 0 ? boxOf(there, there.rows[at]) : null) : counterpart(side, box);
    other.select(twin, undefined, {scroll: true});
    differs(side, box, row, twin, at >= 0 ? there.rows[at] : undefined);
  });
}

function turnBoth(side, box) {
  answered(() => {
    const [[one], [other]] = side ? sidesOf().reverse() : sidesOf();
    const twin = counterpart(side, box);
    if (twin?.items && one.isOpen(box) !== other.isOpen(twin)) other.turn(twin);
  });
}

// What is written beside them

/* A box or layer of one side beside its counterpart, fact by fact. */
function differs(side = 0, box = null, row, twin = null, twinRow) {
  const panel = $("details");
  panel.replaceChildren();
  panel.classList.toggle("empty", !box);
  if (!box) {
    html("p", "Choose a box: what it has before and after stands here.", panel, "quiet");
    return;
  }
  const both = [factsOf(box, row), factsOf(twin, twinRow)];
  const [before, after] = side ? both.reverse() : both;
  html("h3", box.name || box.label, panel);
  html("p", STATES[row ? difference().states[side][row.index] : box.state].says, panel, "quiet");
  const table = html("table", undefined, panel);
  const head = html("tr", undefined, html("thead", undefined, table));
  for (const name of ["", ...SIDES]) html("th", name, head).scope = "col";
  const body = html("tbody", undefined, table);
  for (const key of new Set([...before.keys(), ...after.keys()])) {
    const values = [before.get(key) ?? "", after.get(key) ?? ""];
    const tr = html("tr", undefined, body, values[0] !== values[1] && key !== "written at" ? "changed" : "");
    html("th", key, tr).scope = "row";
    values.forEach(value => html("td", value, tr, "words"));
  }
}

function factsOf(box, row) {
  if (!box) return new Map();
  const {rows} = box, one = row ?? (rows.length === 1 ? rows[0] : null);
  const all = one ? [one] : rows;
  const facts = one
    ? [["name", one.name], ["op", one.op], ...one.attributes, ["reads", one.inputs.join(", ")], ["written at", one.line]]
    : [["name", box.names ?? box.name], ["is", box.says || box.label], ["times", box.repeats > 1 ? box.repeats : ""], ["layers", rows.length || ""], ["written at", box.where]];
  facts.splice(-1, 0, ["output", all.at(-1)?.output ?? box.output]);
  for (const [name, key] of [["params", "params"], ["MACs", "macs"]]) {
    if (total(all, key)) facts.splice(-1, 0, [name, number(total(all, key))]);
  }
  if (all.length) facts.splice(-1, 0, ["alive at most, in bytes", number(Math.max(...all.map(each => each.alive)))]);
  return new Map(facts.filter(([, value]) => value !== "" && value !== undefined).map(([key, value]) => [key, String(value)]));
}

function aligned() {
  const at = $("table");
  at.replaceChildren();
  const table = html("table", undefined, at);
  html("caption", `Layers of ${difference().titles[0]} beside those of ${difference().titles[1]}`, table);
  const head = html("tr", undefined, html("thead", undefined, table));
  for (const name of ["", ...SIDES, "what changed", "output", "params", "MACs", "memory"]) html("th", name, head).scope = "col";
  const body = html("tbody", undefined, table);
  const state = ([a, b]) => a < 0 ? "a" : b < 0 ? "r" : difference().states[0][a];
  for (let i = 0; i < difference().rows.length;) {
    let end = i + 1;
    const is = state(difference().rows[i]), folds = "sra".includes(is);
    while (folds && end < difference().rows.length && state(difference().rows[end]) === is) end++;
    const run = difference().rows.slice(i, end);
    if (run.length >= FOLDED) foldedRows(body, is, run);
    else run.forEach(pair => body.append(alignedRow(is, pair)));
    i = end;
  }
}

const layersOf = ([a, b]) => [a < 0 ? null : DATA.views[0].rows[a], b < 0 ? null : DATA.views[1].rows[b]];
const signed = n => n ? `${n > 0 ? "+" : "\u2212"}${number(Math.abs(n))}` : "";

function foldedRows(body, state, run) {
  const {look, says, sign} = STATES[state], pairs = run.map(layersOf);
  const tr = html("tr", undefined, body, look);
  html("td", sign, tr).title = says;
  const cell = html("th", undefined, tr);
  cell.colSpan = 4;
  cell.scope = "row";
  const names = pairs.map(([here, there]) => (here ?? there).name);
  const button = html("button", `${number(run.length)} layers, ${names[0]} \u2026 ${names.at(-1)}: ${says}`, cell);
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  const change = key => pairs.reduce((sum, [here, there]) => sum + (there?.[key] ?? 0) - (here?.[key] ?? 0), 0);
  for (const key of ["params", "macs"]) html("td", signed(change(key)), tr, "number");
  html("td", "", tr);
  let rows = null;
  button.onclick = () => {
    if (rows) rows.forEach(each => each.remove());
    else tr.after(...(rows = run.map(pair => alignedRow(state, pair))));
    if (!rows[0].isConnected) rows = null;
    button.setAttribute("aria-expanded", String(rows !== null));
  };
}

function alignedRow(state, pair) {
  const {look, says, sign} = STATES[state], layers = layersOf(pair), [here, there] = layers;
  const tr = html("tr", undefined, undefined, look);
  html("td", sign, tr).title = says;
  for (const [side, row] of layers.entries()) {
    const cell = html("td", undefined, tr, "words");
    if (!row) continue;
    const button = html("button", row.name, cell);
    button.type = "button";
    button.title = `show it in the picture of what was ${SIDES[side]}`;
    button.onclick = () => revealIn(side, row);
    html("span", ` ${row.op} ${row.says}`, cell, "quiet");
  }
  const note = here && there ? difference().notes[pair[0]] ?? "" : says;
  html("td", note, tr, "words");
  const both = key => {
    const [a, b] = layers.map(row => row && (typeof row[key] === "number" ? number(row[key]) : row[key]));
    return a === b ? (a === "0" ? "" : a) : `${a ?? "none"} \u2192 ${b ?? "none"}`;
  };
  for (const key of ["output", "params", "macs", "alive"]) html("td", both(key), tr, key === "output" ? "" : "number");
  return tr;
}
