function row(each) {
  const name = make("h3", { textContent: each.title }), words = make("p", { textContent: [each.words, each.ratio].filter(Boolean).join("; ") });
  if (!each.images) return make("li", {}, name, words);
  const named = [[each.images[0], "−"], [each.images[1], "the face"], [each.images[2], "+"], [each.change, "what changes"]];
  const figures = named.map(([src, caption]) => make("figure", {},
    make("img", { src, alt: each.title + ": " + caption }), make("figcaption", { textContent: caption })));
  return make("li", {}, name, words, make("div", { className: "four" }, ...figures));
}
function update() {
  const value = props.value;
  if (value && value.rows) element.querySelector(".compared").replaceChildren(...value.rows.map(row));
}
watch("value", update);
update();
