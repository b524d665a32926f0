"use strict";
/* The picture of a network: places boxes as archforge/export/layout/placing.py does, draws them, and answers. */

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

// Elements

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

const number = n => n.toLocaleString("en-US");
const total = (rows, key) => rows.reduce((sum, row) => sum + row[key], 0);

// Networks

/* Gives rows their names, and boxes their number, level and parent, once. */
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

/* The innermost box of a layer; of one in a later repeat, that of the same layer in the first, which is drawn. */
function boxOf(view, row) {
  let at = row.index, box = view.whole;
  for (;;) {
    const inside = (box.items ?? []).find(item => item.count && item.first <= at && at < item.first + item.count);
    if (!inside) return box;
    box = inside;
    at = box.first + (at - box.first) % (box.count / box.repeats);
  }
}

function spoken(box) {
  const parts = [box.repeats > 1 ? `${box.repeats} times ${box.says || box.label}` : box.says || box.label];
  if (box.label && box.label !== box.says) parts.push(box.label);
  if (box.output) parts.push(`output ${box.output}`);
  if (box.params) parts.push(`${number(box.params)} parameters`);
  return parts.join(", ");
}

/* One network in an SVG within a pane that scrolls. `hears` has what follows: `chosen` a box, perhaps with a
   row, `hinted` a box under the pointer, `turned` a box that was opened or closed. `marks` tells of a box how it
   differs, if it is beside another network. */
class Picture {
  constructor(svg, pane, hears) {
    Object.assign(this, {svg, pane, hears, view: null, opened: new Set(), selected: null, matches: [], zoom: 1, marks: () => null});
    this.listen();
  }

  isOpen = box => this.opened.has(box.id);

  show(view) {
    prepare(view);
    Object.assign(this, {view, selected: null, matches: []});
    this.byDefault();
  }

  openOnly(wanted) {
    if (!this.view) return;  // a spec that was never right
    this.opened = new Set(this.view.boxes.filter(wanted).map(box => box.id));
    this.opened.add(0);
    if (this.selected && !this.visible(this.selected)) this.selected = this.visibleAround(this.selected);
    this.draw();
    const first = this.shown(this.selected ?? this.view.whole.items[0]);
    if (first) this.center(first.querySelector("rect"), false);
  }

  byDefault() {
    this.openOnly(box => box.items && box.open);
  }

  // Drawing

  draw() {
    const {svg} = this, hadFocus = svg.contains(document.activeElement);
    const picture = layout(this.view, this.isOpen);
    svg.replaceChildren($("defs").content.querySelector("defs").cloneNode(true));
    const width = picture.width + 24, height = picture.height + 24;
    svg.setAttribute("viewBox", `-12 -12 ${width} ${height}`);
    svg.dataset.width = width;
    svg.dataset.height = height;
    this.sized();
    this.drawBox(picture, svg);
    this.mark();
    if (hadFocus) (this.shown(this.selected) ?? svg.querySelector("[tabindex='0']"))?.focus({preventScroll: true});
  }

  sized() {
    this.svg.setAttribute("width", this.svg.dataset.width * this.zoom);
    this.svg.setAttribute("height", this.svg.dataset.height * this.zoom);
  }

  scale(factor) {
    if (!this.view) return;
    this.zoom = Math.min(4, Math.max(0.05, factor));
    this.sized();
  }

  fit() {
    const {pane, svg} = this;
    this.scale(Math.min((pane.clientWidth - 8) / svg.dataset.width, (pane.clientHeight - 8) / svg.dataset.height));
  }

  drawBox(p, parent) {
    const {box} = p, mark = this.marks(box);
    const group = element("g", {class: mark ? `node ${mark.look}` : "node", "data-id": box.id}, parent);
    if (box.parent) {
      const says = mark ? `${mark.says}: ${spoken(box)}` : spoken(box);
      const states = {role: "treeitem", tabindex: "-1", "aria-level": box.level, "aria-label": says};
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
      if (box.items) this.toggle(group, box, p.x + p.width - 1, p.y + 1, "+");
      if (mark?.sign) this.sign(group, p.x + 1, p.y + 1, mark.sign);
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
    const within = box.parent ? element("g", {role: "group"}, group) : group;
    p.items.forEach(item => this.drawBox(item, within));
    for (const line of p.lines) {
      if (line.label) element("text", {class: "shape", x: line.label[0], y: line.label[1]}, group, line.edge.text);
    }
    if (!box.title) return;
    this.toggle(group, box, p.x + p.width - 1, p.y + 1, "\u2212");
    if (mark?.sign) this.sign(group, p.x + 1, p.y + 1, mark.sign);
  }

  toggle(group, box, x, y, sign) {
    const made = element("g", {class: "toggle", "data-toggle": box.id, "aria-hidden": "true"}, group);
    element("circle", {cx: x, cy: y, r: 12, class: "touch"}, made);
    element("circle", {cx: x, cy: y, r: 7}, made);
    element("text", {x, y: y + 4}, made, sign);
  }

  sign(group, x, y, sign) {
    const made = element("g", {class: "sign", "aria-hidden": "true"}, group);
    element("circle", {cx: x, cy: y, r: 7}, made);
    element("text", {x, y: y + 4}, made, sign);
  }

  // What shows of it

  shown = box => box ? this.svg.querySelector(`[data-id="${box.id}"]`) : null;
  visible = box => box.parent === null || (this.isOpen(box.parent) && this.visible(box.parent));

  visibleAround(box) {
    while (!this.visible(box)) box = box.parent;
    return box;
  }

  mark() {
    const {svg} = this;
    svg.querySelectorAll(".selected, .match, .lit").forEach(e => e.classList.remove("selected", "match", "lit"));
    for (const box of new Set(this.matches.map(match => this.visibleAround(match)))) this.shown(box)?.classList.add("match");
    svg.querySelectorAll("[tabindex='0']").forEach(e => e.setAttribute("tabindex", "-1"));
    const at = this.selected && this.shown(this.selected);
    (at ?? svg.querySelector("[role=treeitem]"))?.setAttribute("tabindex", "0");
    svg.querySelectorAll("[aria-selected]").forEach(e => e.removeAttribute("aria-selected"));
    if (at) {
      at.classList.add("selected");
      at.setAttribute("aria-selected", "true");
      this.light(this.selected);
    }
  }

  light(box) {
    if (!box.parent) return;
    const index = box.parent.items.indexOf(box);
    this.shown(box.parent)?.querySelectorAll(":scope > .edge").forEach(edge => {
      edge.classList.toggle("lit", edge.dataset.start == index || edge.dataset.end == index);
    });
  }

  select(box, row, {scroll = false, focus = false} = {}) {
    this.selected = box;
    const before = this.opened.size;
    for (let at = box?.parent; at; at = at.parent) this.opened.add(at.id);
    if (this.opened.size > before) this.draw(); else this.mark();
    scroll ||= this.opened.size > before;
    this.hears.chosen?.(box, row);
    const at = this.shown(box);
    if (at && scroll) this.center(at.querySelector("rect"));
    if (at && focus) at.focus({preventScroll: !scroll});
  }

  /* Moves the pane so that a box is in the middle of it; the page, too, if the pane is not to be seen. */
  center(rect, movesPage = true) {
    const {pane} = this, within = rect.getBoundingClientRect(), around = pane.getBoundingClientRect();
    pane.scrollLeft += within.left + within.width / 2 - around.left - around.width / 2;
    const over = Math.min(within.height / 2, around.height / 2 - 30);  // of what is higher than the pane, the top
    pane.scrollTop += within.top + over - around.top - around.height / 2;
    if (movesPage && (around.bottom < 60 || around.top > innerHeight)) pane.scrollIntoView({block: "nearest"});
  }

  turn(box) {
    if (!box.items || !box.parent) return;
    const {pane} = this, before = this.shown(box)?.getBoundingClientRect();
    if (this.opened.has(box.id)) this.opened.delete(box.id); else this.opened.add(box.id);
    this.selected = box;
    this.draw();
    this.hears.chosen?.(box);
    this.hears.turned?.(box);
    const after = this.shown(box)?.getBoundingClientRect();
    if (before && after) {
      pane.scrollLeft += after.left + after.width / 2 - before.left - before.width / 2;
      pane.scrollTop += after.top - before.top;
    }
  }

  // Answers

  boxAt(target) {
    const node = target.closest?.("[data-id]");
    return node ? this.view.boxes[node.dataset.id] : null;
  }

  listen() {
    const {svg} = this;
    svg.addEventListener("click", event => {
      const mark = event.target.closest("[data-toggle]");
      const box = this.boxAt(event.target);
      if (mark) this.turn(this.view.boxes[mark.dataset.toggle]);
      else if (box?.parent) this.select(box, undefined, {focus: true});
      else this.select(null);
    });
    svg.addEventListener("dblclick", event => {
      const box = this.boxAt(event.target);
      if (box && !event.target.closest("[data-toggle]")) this.turn(box);
    });
    svg.addEventListener("mouseover", event => {
      const box = this.boxAt(event.target);
      if (box?.parent) { svg.querySelectorAll(".lit").forEach(e => e.classList.remove("lit")); this.light(box); }
      this.hears.hinted?.(box?.parent ? box : null, event);
    });
    svg.addEventListener("mouseleave", () => { this.hears.hinted?.(null); this.mark(); });
    svg.addEventListener("keydown", event => this.keys(event));
  }

  keys(event) {
    const box = this.boxAt(event.target);
    if (!box || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = this.view.boxes.filter(each => each.parent && this.visible(each));
    const at = all.indexOf(box);
    let to = null;
    if (event.key === "ArrowDown") to = all[at + 1];
    else if (event.key === "ArrowUp") to = all[at - 1];
    else if (event.key === "Home") to = all[0];
    else if (event.key === "End") to = all[all.length - 1];
    else if (event.key === "ArrowRight") {
      if (box.items && !this.isOpen(box)) this.turn(box); else to = box.items?.[0];
    } else if (event.key === "ArrowLeft") {
      if (box.items && this.isOpen(box)) this.turn(box); else to = box.parent?.parent ? box.parent : null;
    } else if (event.key === "Enter" || event.key === " ") {
      if (box.items) this.turn(box); else this.select(box, undefined, {focus: true});
    } else return;
    event.preventDefault();
    if (to) this.select(to, undefined, {scroll: true, focus: true});
    else this.shown(box)?.focus({preventScroll: true});
  }
}
