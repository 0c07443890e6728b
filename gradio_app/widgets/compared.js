function row(each) {
  const title = translate(each.title), said = [each.words, each.ratio].filter(Boolean).map((text) => translate(text));
  const name = make("h3", { textContent: title }), words = make("p", { textContent: said.join("; ") });
  if (!each.images) return make("li", {}, name, words);
  const named = [[each.images[0], "−"], [each.images[1], translate("the picture")], [each.images[2], "+"], [each.change, translate("what changes")]];
  const figures = named.map(([src, caption]) => make("figure", {},
    make("img", { src, alt: title + ": " + caption }), make("figcaption", { textContent: caption })));
  return make("li", {}, name, words, make("div", { className: "four" }, ...figures));
}
function update() {
  const value = props.value;
  if (value && value.rows) element.querySelector(".compared").replaceChildren(...value.rows.map(row));
}
watch("value", update);
update();
