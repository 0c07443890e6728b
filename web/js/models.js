// A graph that uses a public generator's file says where that is to be had, in the way ComfyUI's templates do. Where a
// file is missing, ComfyUI's own "Missing Models" names it and its address, but for files that end in .pkl, as public
// generators' do: those it passes over, so they are told here.

import { app } from "../../../scripts/app.js";

const NODE = "ReSeFa_LoadGAN";
const PASSED_OVER = ".pkl";
const MILLISECONDS = 20000;

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
  loadedGraphNode(node) {
    if (node.comfyClass !== NODE) return;
    const { value: file, options } = node.widgets.find((widget) => widget.name === "name");
    if (!String(file).endsWith(PASSED_OVER) || options.values.includes(file)) return;
    const known = node.properties.models?.find?.((model) => model?.name === file);
    const address = known ? ` It is at ${known.url}` : "";
    app.extensionManager.toast.add({
      severity: "warn",
      summary: `${node.title}: ${file} is missing`,
      detail: `Put it into models/stylegan and refresh (R), or choose another generator.${address}`,
      life: MILLISECONDS,
    });
  },
});
