"use strict";
/* The page of networks: places boxes as archforge/export/layout/placing.py does, draws them, and answers. */

const DATA = JSON.parse(document.getElementById("data").textContent);
const S = DATA.sizes;
const INPUT = -1, OUTPUT = -2;
const SVG = "http://www.w3.org/2000/svg";
const $ = id => document.getElementById(id);

// Layout

function measured(box, isOpen) {
  if (!box.items || !isOpen(box)) {
    return {box, left: box.width / 2, right: box.width / 2, height: box.height};
  }
  const items = box.items.map(item => measured(item, isOpen));
  const lefts = new Map([[0, S.edge]]), rights = new Map([[0, S.edge]]);
  const widen = (map, lane, size) => map.set(lane, Math.max(map.get(lane) ?? 0, size));
  for (const edge of box.edges) {
    for (const [, , lane, off] of edge.turns) {
      widen(lefts, lane, Math.max(S.edge, S.edge - off));
      widen(rights, lane, Math.max(S.edge, S.edge + off));
    }
    if (edge.line) widen(rights, box.places[edge.start][1], edge.off + S.edge + edge.width);
  }
  const rows = box.tracks.length - 1, heights = Array(rows).fill(0);
  items.forEach((item, i) => {
    const [row, lane, span] = box.places[i];
    widen(lefts, lane, item.left);
    widen(rights, lane, item.right);
    if (span === 1) heights[row] = Math.max(heights[row], item.height);
  });
  const gapHeights = box.tracks.map((tracks, gap) => S.label * box.labels[gap] + S.track * tracks + S.gap);
  const sum = numbers => numbers.reduce((a, b) => a + b, 0);
  items.forEach((item, i) => {
    const [row, , span] = box.places[i], last = row + span - 1;
    const room = sum(heights.slice(row, last + 1)) + sum(gapHeights.slice(row + 1, last + 1));
    heights[last] += Math.max(item.height - room, 0);
  });
  const lanes = new Map([[0, 0]]);
  const inOrder = [...lefts.keys()].sort((a, b) => a - b);
  let before = 0;
  for (const lane of inOrder.filter(lane => lane > 0)) {
    lanes.set(lane, lanes.get(before) + rights.get(before) + S.laneGap + lefts.get(lane));
    before = lane;
  }
  before = 0;
  for (const lane of inOrder.filter(lane => lane < 0).reverse()) {
    lanes.set(lane, lanes.get(before) - lefts.get(before) - S.laneGap - rights.get(lane));
    before = lane;
  }
  let y = box.title ? S.header : 0;
  const tops = [], gaps = [];
  gapHeights.forEach((height, gap) => {
    gaps.push(y);
    y += box.title || (gap !== 0 && gap !== rows) ? height : 0;
    if (gap < rows) {
      tops.push(y);
      y += heights[gap];
    }
  });
  let left = S.frame + Math.max(...[...lanes].map(([lane, x]) => lefts.get(lane) - x));
  let right = S.frame + Math.max(...[...lanes].map(([lane, x]) => rights.get(lane) + x));
  let titleAt = 0;
  if (box.title) {
    const ports = box.edges.filter(edge => edge.start === INPUT).map(edge => Math.abs(edge.off));
    const needed = box.titleWidth + S.frame + S.edge + Math.max(0, ...ports);
    if (right > left) {
      right = Math.max(right, needed);
      titleAt = right - S.frame - box.titleWidth;
    } else {
      left = Math.max(left, needed);
      titleAt = S.frame - left;
    }
  }
  return {box, left, right, height: y, items, lanes, tops, gaps, titleAt};
}

function placed(m, x, y) {
  const out = {box: m.box, x: x - m.left, y, width: m.left + m.right, height: m.height};
  if (!m.items) return out;
  out.isOpen = true;
  out.titleX = x + m.titleAt;
  out.items = m.items.map((item, i) => {
    const [row, lane, span] = m.box.places[i];
    const room = m.gaps[row + span] - m.tops[row];
    return placed(item, x + m.lanes.get(lane), y + m.tops[row] + (room - item.height) / 2);
  });
  out.lines = m.box.edges.map(edge => {
    const start = edge.start === INPUT ? null : out.items[edge.start];
    let at = (start ? x + m.lanes.get(m.box.places[edge.start][1]) : x) + edge.off;
    const points = [[at, start ? start.y + start.height : y]];
    let label = null;
    if (edge.line) {
      const [row, , span] = m.box.places[edge.start];
      label = [at + S.edge - 1, y + m.gaps[row + span] + S.label * edge.line];
    }
    for (const [gap, track, lane, off] of edge.turns) {
      const height = y + m.gaps[gap] + S.label * m.box.labels[gap] + S.track * (track + 1);
      points.push([at, height]);
      at = x + m.lanes.get(lane) + off;
      points.push([at, height]);
    }
    if (edge.end === OUTPUT) {
      points.push([at, y + m.height]);
    } else {
      const end = out.items[edge.end], radius = end.width / 2;
      const below = end.box.round ? radius - Math.sqrt(Math.max(radius ** 2 - (at - end.x - radius) ** 2, 0)) : 0;
      points.push([at, end.y + below]);
    }
    return {edge, points, label, head: edge.end !== OUTPUT && !out.items[edge.end].isOpen};
  });
  return out;
}

function layout(view, isOpen) {
  const m = measured(view.whole, isOpen);
  return placed(m, m.left, 0);
}

function pathText(points) {
  const distance = (a, b) => Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]);
  const towards = (a, b, d) => [0, 1].map(i => a[i] + (b[i] - a[i]) * d / (distance(a, b) || 1));
  const text = ([x, y]) => `${x.toFixed(2)} ${y.toFixed(2)}`.replaceAll(".00", "");
  let out = `M${text(points[0])}`;
  for (let i = 1; i + 1 < points.length; i++) {
    const [before, corner, after] = points.slice(i - 1, i + 2);
    const radius = Math.min(S.corner, distance(before, corner) / 2, distance(corner, after) / 2);
    out += `L${text(towards(corner, before, radius))}Q${text(corner)} ${text(towards(corner, after, radius))}`;
  }
  return `${out}L${text(points[points.length - 1])}`;
}

// State

let view, opened, picture, selected = null, matches = [], atMatch = -1, zoom = 1;
const isOpen = box => opened.has(box.id);

function prepare(one) {
  if (one.boxes) return;
  const {texts} = one;
  one.rows.forEach((packed, i) => {
    const [name, op, attributes, inputs, output, weights, biases, buffers, macs, bytes, alive, field, stride, blocks, line] = packed;
    const all = one.attributes[attributes];
    const says = all.filter(([, , isGiven]) => isGiven).map(([key, value]) => `${key}=${value}`).join(" ");
    const row = {
      index: i, name, op: texts[op], attributes: all, says, inputs: inputs.map(from => typeof from === "number" ? one.rows[from].name : from),
      output: texts[output], weights, biases, buffers, macs, bytes, alive, params: weights + biases,
      field: texts[field], stride: texts[stride], blocks: texts[blocks], line: texts[line],
    };
    row.reads = row.inputs.length === 1 && inputs[0] === i - 1 ? "" : row.inputs.join(", ");
    row.text = [name, row.op, says, row.output, row.blocks].join(" ").toLowerCase();
    one.rows[i] = row;
  });
  one.boxes = [];
  const visit = (box, parent, level) => {
    Object.assign(box, {parent, level, id: one.boxes.length});
    one.boxes.push(box);
    box.rows = box.count ? one.rows.slice(box.first, box.first + box.count) : [];
    box.output ??= box.rows.at(-1)?.output;
    box.params = total(box.rows, "params");
    (box.items ?? []).forEach(item => visit(item, box, level + 1));
  };
  visit(one.whole, null, 0);
}

function show(index) {
  view = DATA.views[index];
  prepare(view);
  selected = null;
  byDefault();
  facts();
  bars();
  cells();
  table();
  search();
  details();
}

function openOnly(wanted) {
  if (!view) return;  // a spec that was never right
  opened = new Set(view.boxes.filter(wanted).map(box => box.id));
  opened.add(0);
  if (selected && !visible(selected)) selected = visibleAround(selected);
  draw();
  const first = shown(selected ?? view.whole.items[0]);
  if (first) center(first.querySelector("rect"));
}

const byDefault = () => openOnly(box => box.items && box.open);

// The picture

function element(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}

function html(name, text, parent, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  parent?.append(made);
  return made;
}

function draw() {
  const svg = $("picture"), old = document.activeElement;
  const hadFocus = svg.contains(old);
  picture = layout(view, isOpen);
  svg.replaceChildren($("defs").content.querySelector("defs").cloneNode(true));
  const width = picture.width + 24, height = picture.height + 24;
  svg.setAttribute("viewBox", `-12 -12 ${width} ${height}`);
  svg.dataset.width = width;
  svg.dataset.height = height;
  sized();
  drawBox(picture, svg);
  mark();
  if (hadFocus) (shown(selected) ?? svg.querySelector("[tabindex='0']"))?.focus({preventScroll: true});
}

function sized() {
  const svg = $("picture");
  svg.setAttribute("width", svg.dataset.width * zoom);
  svg.setAttribute("height", svg.dataset.height * zoom);
}

function drawBox(p, parent) {
  const {box} = p;
  const group = element("g", {class: "node", "data-id": box.id}, parent);
  if (box.parent) {
    const states = {role: "treeitem", tabindex: "-1", "aria-level": box.level, "aria-label": spoken(box)};
    if (box.items) states["aria-expanded"] = String(!!p.isOpen);
    for (const key in states) group.setAttribute(key, states[key]);
  }
  const place = {x: p.x, y: p.y, width: p.width, height: p.height};
  if (!p.isOpen) {
    const stack = box.repeats > 1 ? S.stack : 0;
    const outline = {...place, height: p.height - stack, rx: box.round ? p.height : 4, class: `box ${box.look}`};
    if (stack) element("rect", {...outline, transform: `translate(${stack} ${stack})`}, group);
    element("rect", outline, group);
    const top = p.y + (p.height - stack - S.line * box.lines.length) / 2;
    box.lines.forEach((line, n) => element("text", {
      x: p.x + p.width / 2, y: top + S.line * (n + 0.77), class: n ? "" : "first",
    }, group, line));
    if (box.items) toggle(group, box, p.x + p.width - 1, p.y + 1, "+");
    return;
  }
  if (box.title) {
    element("rect", {...place, rx: 6, class: `frame ${box.look}`}, group);
    element("text", {x: p.titleX, y: p.y + S.line + 2, class: "title"}, group, box.title);
  }
  for (const line of p.lines) {
    const path = element("path", {
      class: `edge ${line.edge.kind}`, d: pathText(line.points), "data-start": line.edge.start,
      "data-end": line.edge.end, ...(line.head ? {"marker-end": "url(#head)"} : {}),
    }, group);
    element("title", {}, path, `${line.edge.value}: ${line.edge.shape}`);
  }
  const inside = box.parent ? element("g", {role: "group"}, group) : group;
  p.items.forEach(item => drawBox(item, inside));
  for (const line of p.lines) {
    if (line.label) element("text", {class: "shape", x: line.label[0], y: line.label[1]}, group, line.edge.text);
  }
  if (box.title) toggle(group, box, p.x + p.width - 1, p.y + 1, "\u2212");
}

function toggle(group, box, x, y, sign) {
  const made = element("g", {class: "toggle", "data-toggle": box.id, "aria-hidden": "true"}, group);
  element("circle", {cx: x, cy: y, r: 12, class: "touch"}, made);
  element("circle", {cx: x, cy: y, r: 7}, made);
  element("text", {x, y: y + 4}, made, sign);
}

function spoken(box) {
  const parts = [box.repeats > 1 ? `${box.repeats} times ${box.says || box.label}` : box.says || box.label];
  if (box.label && box.label !== box.says) parts.push(box.label);
  if (box.output) parts.push(`output ${box.output}`);
  if (box.params) parts.push(`${number(box.params)} parameters`);
  return parts.join(", ");
}

const shown = box => box ? $("picture").querySelector(`[data-id="${box.id}"]`) : null;
const visible = box => box.parent === null || (isOpen(box.parent) && visible(box.parent));

function mark() {
  const svg = $("picture");
  svg.querySelectorAll(".selected, .match, .lit").forEach(e => e.classList.remove("selected", "match", "lit"));
  for (const box of new Set(matches.map(match => visibleAround(match.box)))) shown(box)?.classList.add("match");
  svg.querySelectorAll("[tabindex='0']").forEach(e => e.setAttribute("tabindex", "-1"));
  const at = selected && shown(selected);
  (at ?? svg.querySelector("[role=treeitem]"))?.setAttribute("tabindex", "0");
  svg.querySelectorAll("[aria-selected]").forEach(e => e.removeAttribute("aria-selected"));
  if (at) {
    at.classList.add("selected");
    at.setAttribute("aria-selected", "true");
    light(selected);
  }
}

function visibleAround(box) {
  while (!visible(box)) box = box.parent;
  return box;
}

function light(box) {
  if (!box.parent) return;
  const index = box.parent.items.indexOf(box);
  const around = shown(box.parent);
  around?.querySelectorAll(":scope > .edge").forEach(edge => {
    edge.classList.toggle("lit", edge.dataset.start == index || edge.dataset.end == index);
  });
}

function select(box, row, {scroll = false, focus = false} = {}) {
  selected = box;
  const before = opened.size;
  for (let at = box.parent; at; at = at.parent) opened.add(at.id);
  if (opened.size > before) draw(); else mark();
  scroll ||= opened.size > before;
  details(row);
  const at = shown(box);
  if (at && scroll) center(at.querySelector("rect"));
  if (at && focus) at.focus({preventScroll: !scroll});
}

function center(rect) {
  const pane = $("pane"), inside = rect.getBoundingClientRect(), around = pane.getBoundingClientRect();
  pane.scrollLeft += inside.left + inside.width / 2 - around.left - around.width / 2;
  const over = Math.min(inside.height / 2, around.height / 2 - 30);  // of what is higher than the pane, the top
  pane.scrollTop += inside.top + over - around.top - around.height / 2;
  if (around.bottom < 60 || around.top > innerHeight) pane.scrollIntoView({block: "nearest"});
}

function turn(box) {
  if (!box.items || !box.parent) return;
  const pane = $("pane"), before = shown(box)?.getBoundingClientRect();
  if (opened.has(box.id)) opened.delete(box.id); else opened.add(box.id);
  selected = box;
  draw();
  details();
  const after = shown(box)?.getBoundingClientRect();
  if (before && after) {
    pane.scrollLeft += after.left + after.width / 2 - before.left - before.width / 2;
    pane.scrollTop += after.top - before.top;
  }
}

// What is written beside it

const number = n => n.toLocaleString("en-US");
const total = (rows, key) => rows.reduce((sum, row) => sum + row[key], 0);

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
  const panel = $("details");
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
  const button = html("button", isOpen(selected) ? "close" : "open", panel);
  button.type = "button";
  button.onclick = () => turn(selected);
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

function bars() {
  const at = $("bars"), rows = view.rows;
  at.replaceChildren();
  const count = Math.min(rows.length, MOST_BARS), width = 600, height = 56;
  for (const [key, name, says] of STRIPS) {
    const most = Math.max(1, ...rows.map(row => row[key]));
    const figure = html("figure", undefined, at);
    const caption = html("figcaption", undefined, figure);
    html("b", name, caption);
    const told = html("span", ` ${says}, at most ${number(most)}`, caption);
    const svg = element("svg", {
      viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: `strip ${key}`, role: "img",
      "aria-label": `${name} over depth: ${says}; the table below has every figure`,
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
      bar.onclick = () => reveal(highest);
    }
  }
}

// The innermost box of a layer; of one in a later repeat, that of the same layer in the first, which is drawn.
function boxOf(row) {
  let at = row.index, box = view.whole;
  for (;;) {
    const inside = (box.items ?? []).find(item => item.count && item.first <= at && at < item.first + item.count);
    if (!inside) return box;
    box = inside;
    at = box.first + (at - box.first) % (box.count / box.repeats);
  }
}

function reveal(row, options = {}) {
  select(boxOf(row), row, {scroll: true, ...options});
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
  matches = [];
  atMatch = -1;
  if (words.length) {
    for (const row of view.rows) {
      if (words.every(word => row.text.includes(word))) matches.push({row, box: boxOf(row)});
    }
  }
  $("found").textContent = words.length ? `${number(matches.length)} of ${number(view.rows.length)}` : "";
  mark();
}

function next(step) {
  if (!matches.length) return;
  atMatch = (atMatch + step + matches.length) % matches.length;
  $("found").textContent = `${number(atMatch + 1)} of ${number(matches.length)}`;
  reveal(matches[atMatch].row);
}

// Answers

function boxAt(target) {
  const node = target.closest?.("[data-id]");
  return node ? view.boxes[node.dataset.id] : null;
}

function keys(event) {
  const box = boxAt(event.target);
  if (!box || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = view.boxes.filter(each => each.parent && visible(each));
  const at = all.indexOf(box);
  let to = null;
  if (event.key === "ArrowDown") to = all[at + 1];
  else if (event.key === "ArrowUp") to = all[at - 1];
  else if (event.key === "Home") to = all[0];
  else if (event.key === "End") to = all[all.length - 1];
  else if (event.key === "ArrowRight") {
    if (box.items && !isOpen(box)) turn(box); else to = box.items?.[0];
  } else if (event.key === "ArrowLeft") {
    if (box.items && isOpen(box)) turn(box); else to = box.parent?.parent ? box.parent : null;
  } else if (event.key === "Enter" || event.key === " ") {
    if (box.items) turn(box); else select(box, undefined, {focus: true});
  } else return;
  event.preventDefault();
  if (to) select(to, undefined, {scroll: true, focus: true});
  else shown(box)?.focus({preventScroll: true});
}

function scale(factor) {
  zoom = Math.min(4, Math.max(0.05, factor));
  sized();
}

function choices() {
  const choice = $("view"), groups = new Map();
  choice.replaceChildren();
  DATA.views.forEach((one, i) => {
    if (!groups.has(one.name)) groups.set(one.name, Object.assign(html("optgroup", undefined, choice), {label: one.name}));
    html("option", one.choice, groups.get(one.name)).value = i;
  });
  $("choice").hidden = DATA.views.length < 2;
}

function start() {
  choices();
  $("view").onchange = () => show(Number($("view").value));
  $("search").oninput = search;
  $("search").onkeydown = event => {
    if (event.key === "Enter") { event.preventDefault(); next(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { $("search").value = ""; search(); }
  };
  const svg = $("picture");
  svg.addEventListener("click", event => {
    const mark = event.target.closest("[data-toggle]");
    const box = boxAt(event.target);
    if (mark) turn(view.boxes[mark.dataset.toggle]);
    else if (box?.parent) select(box, undefined, {focus: true});
    else { selected = null; mark(); details(); }
  });
  svg.addEventListener("dblclick", event => {
    const box = boxAt(event.target);
    if (box && !event.target.closest("[data-toggle]")) turn(box);
  });
  svg.addEventListener("mouseover", event => {
    const box = boxAt(event.target);
    if (box?.parent) { svg.querySelectorAll(".lit").forEach(e => e.classList.remove("lit")); light(box); hint(box, event); }
    else hint(null);
  });
  svg.addEventListener("mouseleave", () => { hint(null); mark(); });
  svg.addEventListener("keydown", keys);
  $("table").addEventListener("click", event => {
    const tr = event.target.closest("tr[data-row]");
    if (tr) reveal(view.rows[tr.dataset.row]);
  });
  $("default").onclick = byDefault;
  $("open").onclick = () => openOnly(box => box.items);
  $("close").onclick = () => openOnly(() => false);
  $("larger").onclick = () => scale(zoom * 1.25);
  $("smaller").onclick = () => scale(zoom / 1.25);
  $("fit").onclick = () => {
    const pane = $("pane");
    scale(Math.min((pane.clientWidth - 8) / svg.dataset.width, (pane.clientHeight - 8) / svg.dataset.height));
  };
  $("theme").onclick = () => {
    const {dataset} = document.documentElement;
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    dataset.theme = (dataset.theme ?? (isDark ? "dark" : "light")) === "dark" ? "light" : "dark";
  };
  document.addEventListener("keydown", event => {
    if (event.target.matches("input, select")) return;
    if (event.key === "/") { event.preventDefault(); $("search").focus(); }
    if (event.key === "+" || event.key === "=") scale(zoom * 1.25);
    if (event.key === "-") scale(zoom / 1.25);
    if (event.key === "0") scale(1);
  });
  if (DATA.views.length) show(0);
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
  const before = view ? new Set([...opened].map(id => view.boxes[id].name)) : null;
  const chosen = selected?.name, {scrollLeft, scrollTop} = $("pane");
  const index = view ? Math.max(0, views.findIndex(one => one.choice === view.choice)) : 0;
  DATA.views = views;
  choices();
  $("view").value = index;
  show(index);
  if (!before) return;
  opened = new Set(view.boxes.filter(box => box.items && (names.has(box.name) ? before.has(box.name) : box.open)).map(box => box.id));
  opened.add(0);
  selected = view.boxes.find(box => box.parent && box.name === chosen && visible(box)) ?? null;
  draw();
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

start();
