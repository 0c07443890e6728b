// ComfyUI's own toast says only that a node failed, or that it rejected a value. The pack's errors say what was given,
// what was expected and what to do: this one shows it.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const OURS = "resefa.";
const OUR_NODES = "ReSeFa_";
const OUR_CHECK = "custom_validation_failed";
const MILLISECONDS = 20000;
const BELOW = "resefa-error";

let shown = null;

app.registerExtension({
  name: "ReSeFa.Errors",
  setup() {
    const style = document.createElement("style");
    style.textContent = `.${BELOW} { margin-top: 9rem; }`; // ComfyUI's own, with its button, stays in sight
    document.head.append(style);
    api.addEventListener("execution_error", ({ detail }) => {
      if (detail.exception_type?.startsWith(OURS)) tell(titleOf(detail), detail.exception_message.trim());
    });
    const { queuePrompt } = api;
    api.queuePrompt = async function (...given) {
      try {
        const answer = await queuePrompt.apply(this, given);
        tellRefused(answer?.node_errors);
        return answer;
      } catch (error) {
        tellRefused(error.response?.node_errors);
        throw error;
      }
    };
    api.addEventListener("promptQueueing", clear);
    api.addEventListener("execution_start", clear);
  },
});

// What a node of the pack said when the graph was checked before its run.
function tellRefused(refused) {
  for (const [id, { class_type: type, errors }] of Object.entries(refused ?? {})) {
    const own = type.startsWith(OUR_NODES) && errors.find((each) => each.type === OUR_CHECK);
    if (!own) continue;
    const words = own.details.replace(`${own.extra_info.input_name} - `, "");
    return tell(titleOf({ node_id: id, node_type: type }), words);
  }
}

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
