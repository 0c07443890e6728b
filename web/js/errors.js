// ComfyUI's own toast says only that a node failed. The pack's errors say what was given, what was expected and
// what to do: this one shows it.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const OURS = "resefa.";
const MILLISECONDS = 20000;
const BELOW = "resefa-error";

let shown = null;

app.registerExtension({
  name: "ReSeFa.Errors",
  setup() {
    const style = document.createElement("style");
    style.textContent = `.${BELOW} { margin-top: 8.5rem; }`; // ComfyUI's own, with its button, stays in sight
    document.head.append(style);
    api.addEventListener("execution_error", ({ detail }) => {
      if (detail.exception_type?.startsWith(OURS)) tell(titleOf(detail), detail.exception_message.trim());
    });
    api.addEventListener("promptQueueing", clear);
    api.addEventListener("execution_start", clear);
  },
});

function titleOf({ node_id: path, node_type: type }) {
  let graph = app.graph?.rootGraph ?? app.graph;
  let node = null;
  for (const id of String(path).split(":")) {
    node = graph?.getNodeById(id) ?? graph?.getNodeById(Number(id));
    graph = node?.subgraph;
  }
  return node?.title ?? type;
}

function tell(summary, detail) {
  clear();
  shown = { severity: "error", summary, detail, life: MILLISECONDS, styleClass: BELOW };
  app.extensionManager.toast.add(shown);
}

function clear() {
  if (shown) app.extensionManager.toast.remove(shown);
  shown = null;
}
