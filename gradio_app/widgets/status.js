function update() {
  const value = props.value || { text: "", kind: "done" };
  const line = element.querySelector(".line"), bar = element.querySelector("progress"), text = element.querySelector(".text");
  line.dataset.kind = value.kind;
  line.dataset.empty = String(!value.text);
  if (text.textContent !== value.text) text.textContent = value.text;
  bar.hidden = value.kind !== "working";
  if (value.fraction == null) bar.removeAttribute("value");
  else bar.value = value.fraction;
}
watch("value", update);
update();
