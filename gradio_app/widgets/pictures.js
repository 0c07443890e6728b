function update() {
  const images = (props.value && props.value.images) || [];
  element.querySelector(".pictures").replaceChildren(...images.map((each) => {
    const figure = document.createElement("figure"), image = document.createElement("img");
    const caption = document.createElement("figcaption");
    image.src = each.image;
    image.alt = "Face of " + each.label;
    caption.textContent = each.label;
    figure.append(image, caption);
    return figure;
  }));
}
watch("value", update);
update();
