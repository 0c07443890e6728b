/** Edits at one click: those that come with the generator for the part that is chosen, and the visitor's own. */
const ways = element.querySelector(".ways"), KEPT = "resefa-one-click", MOST = 12;
let sets = {}, generator = "", part = "";

const isKept = (way) => way && ["label", "data", "generator"].every((key) => typeof way[key] === "string");
let kept = [];
try { kept = [JSON.parse(localStorage.getItem(KEPT))].flat().filter(isKept).slice(0, MOST); } catch { /* none */ }
function store() {
  try { localStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* a browser that keeps nothing, or not so much */ }
  show();
}

function ask(way) {
  (window.resefa ??= {}).one_click = way;
  tell("resefa-waiting");
  trigger("input");
}

function button(words, whole, way) {
  const made = make("button", { type: "button", textContent: words, title: translate("Edit the picture so, at one click") });
  made.setAttribute("aria-label", whole);
  made.addEventListener("click", () => ask(way));
  return made;
}

function own(way) {
  const cross = make("button", { type: "button", textContent: "×", title: translate("Keep it no longer") });
  cross.setAttribute("aria-label", translate("Keep no longer: {title}", { title: translate(way.label) }));
  cross.addEventListener("click", () => {
    kept = kept.filter((each) => each !== way);
    store();
  });
  return make("span", { className: "kept" }, button("★ " + translate(way.label), translate(way.label), { kept: way.data }), cross);
}

function show() {
  const fitting = kept.filter((way) => way.generator === generator);
  const parts = part in sets ? [part] : Object.keys(sets);
  const come = parts.flatMap((name) => sets[name].map(({ words, ...way }) => {
    const whole = translate((name + " " + words).replaceAll("_", " "));
    return button(part in sets ? translate(words) : whole, whole, way);
  }));
  ways.replaceChildren(...fitting.map(own), ...come);
  element.querySelector(".all").hidden = !ways.children.length;
}

document.addEventListener("resefa-part", ({ detail }) => {
  part = detail;
  show();
});
document.addEventListener("resefa-keep", ({ detail }) => {
  (window.resefa ??= {}).row = detail;
  trigger("select");
});

function update() {
  const value = props.value;
  if (!value) return;
  if (value.sets) ({ sets, generator } = value);
  if (isKept(value.keep) && !kept.some(({ data }) => data === value.keep.data)) {
    kept = [value.keep, ...kept].slice(0, MOST);
    store();
  }
  show();
}
watch("value", update);
update();
