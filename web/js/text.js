// Shows the text that a node gives when it has run (what was loaded, where it was saved) on the node.

import { app } from "../../../scripts/app.js";

const WIDGET = "resefa_text";

app.registerExtension({
  name: "ReSeFa.Text",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith("ReSeFa_")) return;
    const { onExecuted } = nodeType.prototype;
    nodeType.prototype.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      show(this, (output?.text ?? []).join("\n"));
    };
  },
});

function show(node, text) {
  let widget = node.widgets?.find((each) => each.name === WIDGET);
  if (!widget && !text) return;
  if (!widget) widget = addText(node);
  widget.element.textContent = text;
  widget.element.style.display = text ? "" : "none";
  const lines = text.split("\n").length;
  widget.lines = lines;
  const [width, height] = node.size;
  node.setSize([width, Math.max(height, node.computeSize()[1])]);
  node.setDirtyCanvas(true, true);
}

function addText(node) {
  const element = document.createElement("div");
  Object.assign(element.style, {
    boxSizing: "border-box",
    padding: "6px 8px",
    overflow: "auto",
    font: "12px/1.4 sans-serif",
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    color: "var(--input-text, #ddd)",
    background: "var(--comfy-input-bg, #222)",
    borderRadius: "6px",
    userSelect: "text",
  });
  const widget = node.addDOMWidget(WIDGET, "resefa_text", element, {
    serialize: false,
    getMinHeight: () => (widget.lines ? 24 + 18 * Math.min(widget.lines, 12) : 0),
    getMaxHeight: () => (widget.lines ? 24 + 18 * Math.min(widget.lines, 12) : 0),
  });
  widget.serialize = false;
  return widget;
}
