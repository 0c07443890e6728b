const rows = element.querySelector(".rows");
const LARGEST = 6;
let version = -1;

const make = (tag, attributes, ...children) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
};
const each = (selector, read) => [...rows.querySelectorAll(selector)].map(read);

function collect() {
  props.value = {
    version,
    strengths: each("[type=range]", (slider) => Number(slider.value)),
    names: each("[type=text]", (field) => field.value),
    kept: each("[type=checkbox]", (field) => field.checked),
  };
}

function row(item, index) {
  const output = make("output", {});
  const slider = make("input", { type: "range", min: -LARGEST, max: LARGEST, step: 0.1, value: item.strength });
  slider.setAttribute("aria-label", "Strength of direction " + index + ", " + item.words);
  const tell = () => { output.textContent = (slider.value > 0 ? "+" : "") + Number(slider.value).toFixed(1); };
  tell();
  slider.addEventListener("input", () => { tell(); collect(); trigger("input"); });
  slider.addEventListener("change", () => { collect(); trigger("release"); });
  slider.addEventListener("dblclick", () => { slider.value = 0; tell(); collect(); trigger("input"); trigger("release"); });
  const name = make("input", { type: "text", value: item.name, maxLength: 80 });
  name.setAttribute("aria-label", "Name of direction " + index);
  name.addEventListener("input", collect);
  const kept = make("input", { type: "checkbox", checked: true });
  kept.setAttribute("aria-label", "Keep direction " + index + " in the file");
  const keep = make("label", { title: "Keep it in files, under this name" }, kept, "Keep as");
  kept.addEventListener("change", collect);
  const strip = make("img", { className: "strip", src: item.strip, alt: "Direction " + index + ": " + item.words });
  const marks = make("div", { className: "marks" });
  marks.setAttribute("aria-hidden", "true");
  for (const mark of ["−", "", "0", "", "+"]) marks.append(make("span", { textContent: mark }));
  const words = make("p", { className: "words", textContent: item.words, title: item.detail });
  return make("li", { className: item.words.startsWith("little") ? "row weak" : "row" },
    make("div", {}, strip, marks),
    make("div", { className: "side" }, words,
      make("div", { className: "slider" }, slider, output),
      make("div", { className: "keep" }, keep, name)));
}

element.querySelector(".reset").addEventListener("click", () => {
  for (const slider of rows.querySelectorAll("[type=range]")) {
    slider.value = 0;
    slider.nextElementSibling.textContent = "0.0";
  }
  collect();
  trigger("input");
  trigger("release");
});

const now = element.querySelector(".now");
const drawn = document.querySelector("#picker .after");
if (drawn && drawn.src) now.src = drawn.src;
document.addEventListener("resefa-picture", (event) => { now.src = event.detail; });

function update() {
  const value = props.value;
  if (!value || !value.items) return;
  if (value.version === version) {
    rows.append(...value.items.slice(rows.children.length).map((item, index) => row(item, index + rows.children.length)));
  } else {
    version = value.version;
    rows.replaceChildren(...value.items.map(row));
  }
  rows.dataset.version = String(version);
  rows.dataset.more = String(Boolean(value.more));
  collect();
}
watch("value", update);
update();
