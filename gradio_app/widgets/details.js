function update() {
  const value = props.value || { rows: [], thumbnail: null };
  const thumbnail = element.querySelector(".thumbnail");
  thumbnail.hidden = !value.thumbnail;
  if (value.thumbnail) thumbnail.src = value.thumbnail;
  element.querySelector("dl").replaceChildren(...(value.rows || []).flatMap(([label, text]) => {
    const term = document.createElement("dt"), about = document.createElement("dd");
    term.textContent = label;
    about.textContent = text;
    return [term, about];
  }));
}
watch("value", update);
update();
