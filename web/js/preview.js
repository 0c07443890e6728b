// In Nodes 2.0 the last preview of a run stays on its node, above the result. Factorize Region ends on its
// result, so that there the result itself need not be shown a second time.

import { app } from "../../../scripts/app.js";

const NODE = "ReSeFa_FactorizeRegion";

app.registerExtension({
  name: "ReSeFa.Preview",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== NODE) return;
    const { onExecuted } = nodeType.prototype;
    nodeType.prototype.onExecuted = function () {
      onExecuted?.apply(this, arguments);
      const ids = Object.keys(app.nodePreviewImages ?? {});
      this.hideOutputImages = ids.some((id) => id.split(":").pop() === String(this.id));
    };
  },
});
