function update() {
  const value = props.value || { rows: [], thumbnail: null };
  const thumbnail = element.querySelector(".thumbnail");
  thumbnail.hidden = !value.thumbnail;
  if (value.thumbnail) thumbnail.src = value.thumbnail;
  element.querySelector("dl").replaceChildren(...(value.rows || []).flatMap(([label, text]) => {
    return [make("dt", { textContent: label }), make("dd", { textContent: text })];
  }));
}
watch("value", update);
update();
