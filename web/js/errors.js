// ComfyUI's own toast says only that a node failed. The pack's errors say what was given, what was expected and
// what to do: this one shows it.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const OURS = "resefa.";
const MILLISECONDS = 20000;

app.registerExtension({
  name: "ReSeFa.Errors",
  setup() {
    api.addEventListener("execution_error", ({ detail }) => {
      if (!detail.exception_type?.startsWith(OURS)) return;
      const title = app.graph.getNodeById(detail.node_id)?.title ?? detail.node_type;
      const said = { severity: "error", summary: title, detail: detail.exception_message.trim(), life: MILLISECONDS };
      app.extensionManager.toast.add(said);
    });
  },
});
