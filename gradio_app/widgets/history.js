const button = (name) => element.querySelector("[data-go=" + name + "]");

function go(name) {
  if (button(name).disabled) return;
  (window.resefa ??= {}).back = { go: name };
  document.dispatchEvent(new CustomEvent("resefa-waiting"));
  trigger("input");
}
element.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-go]");
  if (pressed) go(pressed.dataset.go);
});

const TYPED = "textarea, [contenteditable], input:not([type=range], [type=checkbox], [type=radio])";
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
  keep(value);
  document.dispatchEvent(new CustomEvent("resefa-link", { detail: value }));
}
watch("value", update);
update();
