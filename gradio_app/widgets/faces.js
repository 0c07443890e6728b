function ask(value) {
  (window.resefa ??= {}).faces = value;
  trigger("input");
}
function update() {
  const faces = props.value && props.value.faces;
  if (!faces) return;
  element.querySelector(".faces").replaceChildren(...faces.map((each) => {
    const image = make("img", { src: each.image, alt: translate("Picture number {number}", { number: each.seed }) });
    const button = make("button", { type: "button" }, image);
    button.addEventListener("click", () => ask({ seed: each.seed }));
    return button;
  }));
}
element.querySelector(".more").addEventListener("click", () => ask({ more: true }));
watch("value", update);
update();
