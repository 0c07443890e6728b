/** What scripts of several parts need; it stands before each of them. */
const make = (tag, attributes, ...children) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
};
const tell = (kind, detail) => document.dispatchEvent(new CustomEvent(kind, { detail }));
const TYPED = "textarea, [contenteditable], input:not([type=range], [type=checkbox], [type=radio])";
