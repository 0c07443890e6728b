function update() {
  const images = (props.value && props.value.images) || [];
  element.querySelector(".pictures").replaceChildren(...images.map((each) => {
    const title = translate(each.label);
    if (!each.before) {
      return make("figure", {}, make("img", { src: each.image, alt: title }), make("figcaption", { textContent: title }));
    }
    const pair = make("button", { type: "button", title: translate("Go on with this picture and the same edit") },
      make("img", { src: each.before, alt: translate("{title} before", { title }) }),
      make("img", { className: "edited", src: each.image, alt: translate("{title} with the edit", { title }) }));
    pair.addEventListener("click", () => {
      (window.resefa ??= {}).others = { seed: each.seed };
      tell("resefa-waiting");
      trigger("select");
    });
    return make("figure", {}, pair, make("figcaption", { textContent: title }));
  }));
}
watch("value", update);
update();
