const places = {
  picture: () => document.querySelector("#picker .stage"),
  sliders: () => document.querySelector("#directions [type=range]"),
  saving: () => {
    const tab = [...document.querySelectorAll("[role=tab], .overflow-dropdown button")].find(
      (each) => each.textContent.trim() === translate("Save") && each.offsetParent);
    if (tab) tab.click();
    else document.querySelector(".overflow-menu > button")?.click(); // where a narrow screen keeps it
    return document.querySelector("#save");
  },
};
element.addEventListener("click", (event) => {
  const link = event.target.closest("[data-to]");
  if (!link) return;
  event.preventDefault();
  const go = (tries) => {
    const place = places[link.dataset.to]();
    if (place && place.offsetParent) place.focus();
    else if (tries) setTimeout(() => go(tries - 1), 50); // a tab opens
  };
  go(20);
});
