/** Fields for what the chosen method takes. */
const fields = element.querySelector(".fields");
let method = "";

function ask() {
  const inputs = [...fields.querySelectorAll("input")];
  (window.resefa ??= {}).parameters = { method, values: Object.fromEntries(inputs.map(({ name, value }) => [name, value])) };
  trigger("input");
}

function field({ name, help, ...range }) {
  const input = make("input", { type: "text", inputMode: "decimal", name, placeholder: range.usual, autocomplete: "off", maxLength: 40 });
  const told = make("p", { className: "help", id: `resefa-parameter-${name}` });
  told.textContent = [translate(help), translate("from {low} to {high}; empty: {usual}", range)].join(" – ");
  input.setAttribute("aria-describedby", told.id);
  input.addEventListener("change", ask);
  return make("div", {}, make("label", {}, name, input), told);
}

function update() {
  const { rows, ...value } = props.value ?? { rows: [], method: "" };
  if (value.method !== method) fields.replaceChildren(...rows.map(field));
  method = value.method;
  for (const [at, input] of fields.querySelectorAll("input").entries()) {
    if (input !== document.activeElement) input.value = rows[at].value;
  }
  element.querySelector(".parameters").hidden = !rows.length;
}
watch("value", update);
update();
