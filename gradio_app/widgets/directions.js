const rows = element.querySelector(".rows"), rest = element.querySelector(".rest");
const FRAME_MS = 220;
let version = -1, touched = false, range = [-1, 1], shown = [0], keeping = { names: [], kept: [] };

const each = (selector, read) => [...rows.querySelectorAll(selector)].map(read);
const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(Math.round(value * 10) / 10);

function collect() {
  const strengths = each("[type=range]", (slider) => Number(slider.value));
  (window.resefa ??= {}).directions = { version, strengths, ...keeping, touched };
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

/** A strip's pictures, shown in their place on the picture. */
const film = make("div", { className: "resefa-film", ariaHidden: "true" });
film.hidden = true;
let playing = 0;
function show(item, index) {
  const stage = document.querySelector("#picker .stage");
  if (!stage || !item.frame) return;
  if (film.parentNode !== stage) stage.append(film);
  const [x, y, width, height] = item.frame.map((part) => part * 100 + "%");
  const at = (index / Math.max(1, shown.length - 1)) * 100 + "%";
  Object.assign(film.style, { left: x, top: y, width, height, backgroundImage: "url(" + item.strip + ")", backgroundSize: shown.length * 100 + "% 100%", backgroundPosition: at + " 0" });
  film.hidden = false;
}
function hide() {
  clearInterval(playing);
  playing = 0;
  film.hidden = true;
  each(".play", (button) => button.setAttribute("aria-pressed", "false"));
}
function play(item, button) {
  const again = button.getAttribute("aria-pressed") === "true";
  hide();
  if (again) return;
  button.setAttribute("aria-pressed", "true");
  const middle = shown.indexOf(0) < 0 ? Math.floor(shown.length / 2) : shown.indexOf(0), last = shown.length - 1;
  const way = [];
  for (let at = middle; at > 0; at--) way.push(at);
  for (let at = 0; at < last; at++) way.push(at);
  for (let at = last; at > middle; at--) way.push(at);
  let step = 0;
  const next = () => {
    if (!button.isConnected) return hide();
    show(item, way[step++ % way.length]);
  };
  next();
  playing = setInterval(next, FRAME_MS);
}

/** What a direction does at the left and the right end of its strip, where its name says both. */
function effectsAtEnds(name) {
  const both = name.split(" / ");
  return both.length === 2 ? both.reverse().map((words) => translate(words.replace(/^.*: /, ""))) : null;
}

function row(item, index) {
  const title = translate(item.name.replace(/^direction (\d+)$/, (_, number) => "change " + (Number(number) + 1)));
  const effect = translate(item.words);
  const slider = make("input", { type: "range", min: range[0], max: range[1], step: 0.1, value: item.strength });
  slider.setAttribute("aria-label", translate("Strength of {title}, {effect}", { title, effect }));
  const zero = make("button", { type: "button", className: "zero", textContent: "↺", title: translate("Back to 0") });
  zero.setAttribute("aria-label", translate("{title} back to 0", { title }));
  const start = make("button", { type: "button", className: "play", textContent: "▶", title: translate("Play it on the picture") });
  start.setAttribute("aria-label", translate("Play {title} on the picture", { title }));
  start.setAttribute("aria-pressed", "false");
  const star = make("button", { type: "button", className: "star", textContent: "☆", title: translate("Keep it for one click on any picture") });
  star.setAttribute("aria-label", translate("Keep {title} for one click on any picture", { title }));
  star.addEventListener("click", () => tell("resefa-keep", { version, index, strength: Number(slider.value) }));
  const alt = translate("{title}, from {low} to {high}: {effect}", { title, low: signed(shown[0]), high: signed(shown[shown.length - 1]), effect });
  const strip = make("img", { className: "strip", src: item.strip, alt });
  const ends = effectsAtEnds(item.name);
  const does = (strength) => (strength === Math.min(0, ...shown) ? ends[0] : strength === Math.max(0, ...shown) ? ends[1] : "");
  const cells = shown.map((strength) => {
    const cell = make("span", { className: "cell", textContent: signed(strength) });
    cell.dataset.strength = strength;
    if (ends && strength && does(strength)) cell.dataset.does = does(strength);
    cell.setAttribute("aria-hidden", "true");
    return cell;
  });
  const name = make("h3", { className: "title", textContent: title });
  const words = make("p", { className: "words", textContent: effect, title: translate(item.detail) });

  let before = slider.value;
  slider.addEventListener("pointerdown", () => { before = slider.value; });
  slider.addEventListener("pointercancel", () => { // it was a swipe that scrolls
    if (slider.value !== before) set(slider, before);
  });
  slider.addEventListener("input", () => { hide(); showValue(slider); moved(); });
  slider.addEventListener("change", () => { collect(); trigger("release"); });
  zero.addEventListener("click", () => set(slider, 0));
  slider.addEventListener("dblclick", () => set(slider, 0));
  start.addEventListener("click", () => play(item, start));
  cells.forEach((cell, at) => {
    cell.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse" && !playing) show(item, at);
    });
    cell.addEventListener("pointerleave", () => { if (!playing) hide(); });
    cell.addEventListener("click", () => {
      hide();
      set(slider, cell.dataset.strength);
      slider.focus({ preventScroll: true });
    });
  });

  const made = make("li", { className: item.words.startsWith("little") ? "row weak" : "row" },
    make("div", { className: "side" },
      make("div", { className: "said" }, make("div", {}, name, words), star),
      make("div", { className: "slider" }, slider, make("output", {}), zero, start)),
    make("div", { className: "shown" }, strip, ...cells));
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
rest.addEventListener("click", () => {
  rest.hidden = true;
  tell("resefa-waiting");
  trigger("select");
});

const now = element.querySelector(".now");
const drawn = document.querySelector("#picker .after");
if (drawn && drawn.src) now.src = drawn.src;
const stage = document.querySelector("#picker .stage"), head = element.querySelector(".head");
if (stage) { // on a small screen, the picture goes along once it is out of sight
  new IntersectionObserver(([entry]) => head.classList.toggle("away", !entry.isIntersecting && entry.boundingClientRect.top < 0)).observe(stage);
}
document.addEventListener("resefa-picture", (event) => { now.src = event.detail; hide(); });
document.addEventListener("resefa-kept", ({ detail }) => {
  keeping = detail;
  touch();
});

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
  if (value.set && value.version === version) {
    const slider = rows.querySelectorAll("[type=range]")[value.set[0]];
    if (slider) set(slider, value.set[1]);
  }
  if (!value.items) return;
  [range, shown] = [value.range, value.strengths];
  if (value.version === version) {
    rows.append(...value.items.slice(rows.children.length).map((item, index) => row(item, index + rows.children.length)));
  } else {
    hide();
    version = value.version;
    touched = false;
    rows.replaceChildren(...value.items.map(row));
  }
  if (!touched) keeping = { names: value.items.map((item) => item.name), kept: value.items.map(() => true) };
  const named = { version, names: value.items.map((item) => item.name) };
  (window.resefa ??= {}).named = named;
  tell("resefa-named", named);
  element.querySelector(".heading").textContent = translate(value.heading || "");
  rest.hidden = !value.rest || Boolean(value.more);
  wait(false);
  rows.dataset.version = String(version);
  rows.dataset.more = String(Boolean(value.more));
  collect();
}
watch("value", update);
update();
