/** What scripts of several parts need; it stands before each of them. */
const make = (tag, attributes, ...children) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
};
const tell = (kind, detail) => document.dispatchEvent(new CustomEvent(kind, { detail }));
const TYPED = "textarea, [contenteditable], input:not([type=range], [type=checkbox], [type=radio])";

/** A text in the visitor's language, with `{names}` filled in by values; a template's texts are put so at once. */
const { translate } = window.resefa;
if (Object.keys(window.resefa.words).length) {
  for (const each of element.querySelectorAll("*")) {
    for (const name of ["title", "alt", "aria-label", "aria-roledescription"]) {
      if (each.hasAttribute(name)) each.setAttribute(name, translate(each.getAttribute(name)));
    }
    for (const child of each.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) child.data = child.data.replace(/\S(.*\S)?/s, (text) => translate(text));
    }
  }
}
