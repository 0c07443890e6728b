// A graph that uses a public generator's file says where that is to be had, in the way ComfyUI's templates do: where
// the file is missing, ComfyUI's own "Missing Models" names it and its address.

import { app } from "../../../scripts/app.js";

const NODE = "ReSeFa_LoadGAN";

app.registerExtension({
  name: "ReSeFa.Models",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== NODE) return;
    const { onExecuted } = nodeType.prototype;
    nodeType.prototype.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      if (output?.resefa_models) this.properties.models = output.resefa_models;
      else delete this.properties.models;
    };
  },
});
