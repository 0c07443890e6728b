const button = (name) => element.querySelector("[data-go=" + name + "]");

function ask(what) {
  (window.resefa ??= {}).back = what;
  tell("resefa-waiting");
  trigger("input");
}
function go(name) {
  if (!button(name).disabled) ask({ go: name });
}
element.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-go]");
  if (pressed) go(pressed.dataset.go);
});

/** The edits of the picture, each with a cross that takes it back. */
const EDITED = translate(", edited: "), moves = element.querySelector(".moves");
function chip(words, index) {
  const cross = make("button", { type: "button", className: "cross", textContent: "×", title: translate("Take this edit back") });
  cross.setAttribute("aria-label", translate("Take back: {words}", { words }));
  cross.addEventListener("click", () => ask({ remove: index }));
  return make("li", {}, words, cross);
}

document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || event.target.closest?.(TYPED)) return;
  const key = event.key.toLowerCase();
  const name = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : "";
  if (!name) return;
  event.preventDefault();
  go(name);
});

function keep(value) {
  try {
    if (value.stored) sessionStorage.setItem("resefa", JSON.stringify({ link: value.link, stored: value.stored }));
    else sessionStorage.removeItem("resefa");
  } catch { /* a browser that keeps nothing, or not so much */ }
}

function update() {
  const value = props.value;
  if (!value) return;
  button("undo").disabled = !value.undo;
  button("redo").disabled = !value.redo;
  const edits = (value.moves || []).map((words) => translate(words)), picture = document.querySelector("#picker .after");
  moves.replaceChildren(...edits.map(chip));
  if (picture) picture.alt = [picture.alt.split(EDITED)[0], ...(edits.length ? [edits.join(", ")] : [])].join(EDITED);
  keep(value);
  tell("resefa-link", value);
}
watch("value", update);
update();
