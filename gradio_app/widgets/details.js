const OWN = ["What it does", "Found on", "Fits", "Note"]; // others are texts of strangers, or names
function update() {
  const value = props.value || { rows: [], thumbnail: null };
  const thumbnail = element.querySelector(".thumbnail");
  thumbnail.hidden = !value.thumbnail;
  if (value.thumbnail) thumbnail.src = value.thumbnail;
  element.querySelector("dl").replaceChildren(...(value.rows || []).flatMap(([label, text]) => {
    return [make("dt", { textContent: translate(label) }), make("dd", { textContent: OWN.includes(label) ? translate(text) : text })];
  }));
}
watch("value", update);
update();
