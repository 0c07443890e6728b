// The pack's sockets, links and nodes have colours of their own: one for each kind of value, and for nodes that of
// what they give. A colour that a user or a saved graph has chosen stays.

import { app } from "../../../scripts/app.js";

const SOCKETS = {
  RESEFA_GAN: "#c792ea",
  RESEFA_LATENT: "#ff9cf9",
  RESEFA_REGION: "#2dd4bf",
  RESEFA_DIRECTIONS: "#fbbf24",
};
const HEADERS = {
  RESEFA_GAN: { color: "#3f2a52", bgcolor: "#2c2038" },
  RESEFA_REGION: { color: "#17443f", bgcolor: "#15302d" },
  RESEFA_DIRECTIONS: { color: "#4a3a12", bgcolor: "#332a12" },
};

app.registerExtension({
  name: "ReSeFa.Colours",
  setup() {
    const rules = Object.entries(SOCKETS).map(([type, colour]) => `--color-datatype-${type}: ${colour};`);
    const style = document.createElement("style");
    style.textContent = `:root { ${rules.join(" ")} }`;
    document.head.append(style);
    for (const [type, colour] of Object.entries(SOCKETS)) {
      app.canvas.default_connection_color_byType[type] = colour;
      LGraphCanvas.link_type_colors[type] = colour;
    }
  },
  nodeCreated(node) {
    if (node.comfyClass?.startsWith("ReSeFa_")) Object.assign(node, HEADERS[node.outputs?.[0]?.type]);
  },
});
