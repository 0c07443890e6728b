const rows = element.querySelector(".rows");
let version = -1, touched = false, range = [-1, 1], shown = [0];

const make = (tag, attributes, ...children) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
};
const each = (selector, read) => [...rows.querySelectorAll(selector)].map(read);
const tell = (kind, detail) => document.dispatchEvent(new CustomEvent(kind, { detail }));
const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value);

function collect() {
  const strengths = each("[type=range]", (slider) => Number(slider.value));
  (window.resefa ??= {}).directions = {
    version,
    strengths,
    names: each("[type=text]", (field) => field.value),
    kept: each("[type=checkbox]", (field) => field.checked),
    touched,
  };
  tell("resefa-edited", strengths.some((strength) => strength !== 0));
}

function touch() {
  const first = !touched;
  touched = true;
  collect();
  if (first) trigger("input");
}

function moved() {
  touched = true;
  collect();
  tell("resefa-moved");
  trigger("input");
}

function showValue(slider) {
  const value = Number(slider.value), row = slider.closest(".row");
  row.querySelector("output").textContent = (value > 0 ? "+" : "") + value.toFixed(1);
  row.classList.toggle("changed", value !== 0);
  const along = [0, value].map((strength) => (strength - range[0]) / (range[1] - range[0])).sort((a, b) => a - b);
  slider.style.setProperty("--from", along[0]);
  slider.style.setProperty("--to", along[1]);
  const far = (strength) => Math.abs(strength - value);
  const nearest = shown.reduce((a, b) => (far(b) < far(a) ? b : a));
  for (const cell of row.querySelectorAll(".cell")) {
    cell.classList.toggle("near", Number(cell.dataset.strength) === nearest);
  }
}

function set(slider, value) {
  slider.value = value;
  showValue(slider);
  moved();
  trigger("release");
}

function row(item, index) {
  const slider = make("input", { type: "range", min: range[0], max: range[1], step: 0.1, value: item.strength });
  slider.setAttribute("aria-label", "Strength of direction " + index + ", " + item.words);
  const zero = make("button", { type: "button", className: "zero", textContent: "↺", title: "Back to 0" });
  zero.setAttribute("aria-label", "Direction " + index + " back to 0");
  const name = make("input", { type: "text", value: item.name, maxLength: 80 });
  name.setAttribute("aria-label", "Name of direction " + index);
  const kept = make("input", { type: "checkbox", checked: true });
  kept.setAttribute("aria-label", "Keep direction " + index + " in the file");
  const keep = make("label", { title: "Keep it in the file that “Save” makes, under this name" }, kept, "Keep as");
  const strip = make("img", { className: "strip", src: item.strip, alt: "Direction " + index + ": " + item.words });
  const cells = shown.map((strength) => {
    const cell = make("span", { className: "cell", textContent: signed(strength) });
    cell.dataset.strength = strength;
    cell.setAttribute("aria-hidden", "true");
    return cell;
  });
  const words = make("p", { className: "words", textContent: item.words, title: item.detail });

  let start = slider.value;
  slider.addEventListener("pointerdown", () => { start = slider.value; });
  slider.addEventListener("pointercancel", () => { // it was a swipe that scrolls
    if (slider.value !== start) set(slider, start);
  });
  slider.addEventListener("input", () => { showValue(slider); moved(); });
  slider.addEventListener("change", () => { collect(); trigger("release"); });
  zero.addEventListener("click", () => set(slider, 0));
  slider.addEventListener("dblclick", () => set(slider, 0));
  for (const cell of cells) {
    cell.addEventListener("click", () => {
      set(slider, cell.dataset.strength);
      slider.focus({ preventScroll: true });
    });
  }
  name.addEventListener("input", touch);
  kept.addEventListener("change", touch);

  const made = make("li", { className: item.words.startsWith("little") ? "row weak" : "row" },
    make("div", { className: "shown" }, strip, ...cells),
    make("div", { className: "side" }, words,
      make("div", { className: "slider" }, slider, make("output", {}), zero),
      make("div", { className: "keep" }, keep, name)));
  showValue(slider);
  return made;
}

rows.addEventListener("focusin", (event) => {
  if (event.target.matches(":focus-visible")) touch();
});

element.querySelector(".reset").addEventListener("click", () => {
  for (const slider of rows.querySelectorAll("[type=range]")) {
    slider.value = 0;
    showValue(slider);
  }
  moved();
  trigger("release");
});

const now = element.querySelector(".now");
const drawn = document.querySelector("#picker .after");
if (drawn && drawn.src) now.src = drawn.src;
document.addEventListener("resefa-picture", (event) => { now.src = event.detail; });

const wait = (waiting) => rows.setAttribute("aria-busy", String(waiting));
document.addEventListener("resefa-waiting", () => wait(true));
document.addEventListener("resefa-answered", () => wait(false));

function update() {
  const value = props.value;
  if (!value) return;
  if ("stale" in value) {
    rows.inert = value.stale;
    rows.classList.toggle("stale", value.stale);
  }
  if (!value.items) return;
  [range, shown] = [value.range, value.strengths];
  if (value.version === version) {
    rows.append(...value.items.slice(rows.children.length).map((item, index) => row(item, index + rows.children.length)));
  } else {
    version = value.version;
    touched = false;
    rows.replaceChildren(...value.items.map(row));
  }
  wait(false);
  rows.dataset.version = String(version);
  rows.dataset.more = String(Boolean(value.more));
  collect();
}
watch("value", update);
update();
