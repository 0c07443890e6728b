function ask(value) {
  (window.resefa ??= {}).faces = value;
  trigger("input");
}
function update() {
  const faces = props.value && props.value.faces;
  if (!faces) return;
  element.querySelector(".faces").replaceChildren(...faces.map((each) => {
    const button = document.createElement("button"), image = document.createElement("img");
    button.type = "button";
    image.src = each.image;
    image.alt = "Face of seed " + each.seed;
    button.append(image);
    button.addEventListener("click", () => ask({ seed: each.seed }));
    return button;
  }));
}
element.querySelector(".more").addEventListener("click", () => ask({ more: true }));
watch("value", update);
update();
