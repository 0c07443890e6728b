const list = element.querySelector(".kept");

function report() {
  const detail = {
    names: [...list.querySelectorAll("[type=text]")].map((field) => field.value),
    kept: [...list.querySelectorAll("[type=checkbox]")].map((field) => field.checked),
  };
  tell("resefa-kept", detail);
}
function entry(name, index) {
  const field = make("input", { type: "text", value: name, maxLength: 80 });
  field.setAttribute("aria-label", translate("Name of direction {number}", { number: index + 1 }));
  const kept = make("input", { type: "checkbox", checked: true });
  kept.setAttribute("aria-label", translate("Keep direction {number} in the file", { number: index + 1 }));
  field.addEventListener("input", report);
  kept.addEventListener("change", report);
  return make("li", {}, make("label", { title: translate("Keep it in the file, under this name") }, kept, translate("Keep as")), field);
}
let version = null;
function show(named) { // of one version, more may follow
  if (named.version !== version) list.replaceChildren();
  version = named.version;
  const known = list.children.length;
  list.append(...named.names.slice(known).map((name, index) => entry(name, known + index)));
}
document.addEventListener("resefa-named", ({ detail }) => show(detail));
if (window.resefa?.named) show(window.resefa.named);
