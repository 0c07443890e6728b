function update() {
  const images = (props.value && props.value.images) || [];
  element.querySelector(".pictures").replaceChildren(...images.map((each) => {
    const words = each.label;
    if (!each.before) {
      return make("figure", {}, make("img", { src: each.image, alt: words }), make("figcaption", { textContent: words }));
    }
    const pair = make("button", { type: "button", title: "Go on with this face and the same edit" },
      make("img", { src: each.before, alt: words + " before" }),
      make("img", { className: "edited", src: each.image, alt: words + " with the edit" }));
    pair.addEventListener("click", () => {
      (window.resefa ??= {}).others = { seed: each.seed };
      tell("resefa-waiting");
      trigger("select");
    });
    return make("figure", {}, pair, make("figcaption", { textContent: words }));
  }));
}
watch("value", update);
update();
