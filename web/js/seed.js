// The seed's widget says what comes after a run under the name that it has in ComfyUI's own nodes. Those begin with
// another seed each time; here the image stays until one asks for another.

import { app } from "../../../scripts/app.js";

app.registerExtension({
  name: "ReSeFa.Seed",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("ReSeFa_")) return;
    const control = node.widgets?.find((widget) => widget.name === "control_after_generate");
    if (control) control.value = "fixed";
  },
});
