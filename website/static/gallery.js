"use strict";
// The filters of the gallery. What is chosen stands behind the # of the address, so that a link keeps it.

const UNITS = { "": 1, k: 1e3, m: 1e6, g: 1e9, b: 1e9, t: 1e12 };
const form = document.getElementById("filters");
const list = document.getElementById("gallery");
const items = [...list.children].map(element => ({
  ...element.dataset,
  element,
  text: `${element.dataset.name} ${element.querySelector("h2").textContent}`.toLowerCase(),
  ops: new Set(element.dataset.ops.split(" ")),
}));
const fields = [...form.elements].filter(field => field.name);

/** The number that a text says: `4.1G`, `25M`, `25,557,032`. NaN for a text that says none. */
function numberOf(text) {
  const match = /^([\d.,_ ]*\d[.]?)\s*([kmgbt]?)$/i.exec(text.trim());
  return match ? Number(match[1].replace(/[,_ ]/g, "")) * UNITS[match[2].toLowerCase()] : NaN;
}

/** The ends of a range, those that are left open or say no number infinite. */
function rangeOf(name) {
  return [["from", -Infinity], ["to", Infinity]].map(([end, open]) => {
    const field = form.elements[`${name}_${end}`];
    const number = numberOf(field.value);
    const isWrong = field.value.trim() !== "" && Number.isNaN(number);
    field.setAttribute("aria-invalid", String(isWrong));
    return field.value.trim() === "" || isWrong ? open : number;
  });
}

function update() {
  const words = form.elements.text.value.toLowerCase().split(/\s+/);
  const family = form.elements.family.value;
  const ops = fields.filter(field => field.name === "op" && field.checked).map(field => field.value);
  const ranges = ["params", "macs", "year"].map(name => [name, rangeOf(name)]);
  let count = 0;
  for (const item of items) {
    const isIn = ([name, [from, to]]) =>
      (from === -Infinity && to === Infinity) || (item[name] !== "" && from <= +item[name] && +item[name] <= to);
    const isShown = words.every(word => item.text.includes(word)) && (!family || item.family === family) &&
      ops.every(op => item.ops.has(op)) && ranges.every(isIn);
    item.element.hidden = !isShown;
    count += isShown;
  }
  const wrong = fields.filter(field => field.getAttribute("aria-invalid") === "true").map(field => `\u201c${field.value}\u201d`);
  const help = wrong.length ? ` ${wrong.join(" and ")} says no number: 4.1G, 25M and 25,557,032 do.` : "";
  document.getElementById("shown").textContent = `${count} of ${items.length} networks.${help}`;
  document.getElementById("ops").textContent = ops.length ? ops.join(", ") : "any";
}

function order() {
  const [, sign, name] = /^(-?)(.*)$/.exec(form.elements.order.value);
  const key = item => name === "name" ? 0 : item[name] === "" ? Infinity : (sign ? -1 : 1) * item[name];
  items.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a.name < b.name ? -1 : 1));
  list.append(...items.map(item => item.element));
}

/** What is chosen, into the address. */
function keep() {
  const chosen = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value.trim() && !(name === "order" && value === "name")) chosen.append(name, value.trim());
  }
  history.replaceState(null, "", `#${chosen}`);
}

/** What the address says, into the fields. */
function restore() {
  const chosen = new URLSearchParams(location.hash.slice(1));
  form.reset();
  for (const field of fields) {
    const values = chosen.getAll(field.name);
    if (field.type === "checkbox") field.checked = values.includes(field.value);
    else if (values.length) field.value = values[0];
    if (field.tagName === "SELECT" && field.selectedIndex < 0) field.selectedIndex = 0;
  }
  if (fields.some(field => field.checked)) form.querySelector("details").open = true;
  order();
  update();
}

form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("input", event => {
  if (event.target.name === "order") order();
  update();
  keep();
});
form.addEventListener("reset", () => setTimeout(() => { order(); update(); keep(); }));
window.addEventListener("hashchange", restore);
form.hidden = false;
restore();
