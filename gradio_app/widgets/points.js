const find = (selector) => element.querySelector(selector);
const WANTED = [translate("the eye at the left"), translate("the eye at the right"), translate("the middle of the mouth")];
let points = [];

function show() {
  const next = WANTED[points.length];
  const asked = { place: next, step: points.length + 1, all: WANTED.length };
  find(".asked").textContent = next ? translate("Is it a face that is not in the middle, or turned? Click {place} ({step} of {all}).", asked) : translate("Looking again, with the face where you clicked.");
  find(".again").hidden = !points.length;
  for (const old of element.querySelectorAll(".point")) old.remove();
  for (const [x, y] of points) {
    const mark = make("span", { className: "point" });
    [mark.style.left, mark.style.top] = [`${100 * x}%`, `${100 * y}%`];
    find(".board").append(mark);
  }
}

find("img").addEventListener("click", (event) => {
  if (points.length === WANTED.length) return;
  const frame = find("img").getBoundingClientRect();
  points.push([(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height]);
  show();
  if (points.length < WANTED.length) return;
  (window.resefa ??= {}).points = points;
  tell("resefa-waiting");
  trigger("input");
});
find(".again").addEventListener("click", () => {
  points = [];
  show();
});

function update() {
  const image = props.value && props.value.image;
  find(".points").hidden = !image;
  points = [];
  if (image) find("img").src = image;
  show();
}
watch("value", update);
update();
