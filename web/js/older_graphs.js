// Graphs saved before Factorize Region chose what counts as a change: they go on to give the directions that they
// gave, where the frontend would fill the widgets that they do not know with the defaults of today.

import { app } from "../../../scripts/app.js";

const NODE = "ReSeFa_FactorizeRegion";
const OWN_METHODS = ["resefa", "resefa-confined"];

app.registerExtension({
  name: "ReSeFa.OlderGraphs",
  loadedGraphNode(node) {
    if (node.comfyClass !== NODE || !Array.isArray(node.widgets_values)) return;
    const names = node.widgets.map((widget) => widget.name);
    const knew = (name) => node.widgets_values.length > names.indexOf(name);
    const widget = (name) => node.widgets[names.indexOf(name)];
    if (!knew("confine_feather")) widget("confine_feather").value = 0;
    if (knew("only_good")) return;
    widget("only_good").value = false;
    if (!OWN_METHODS.includes(widget("method").value)) return;
    const given = widget("parameters").value;
    const then = ["colour=1", "edge=0", `regularization=${widget("regularization").value}`];
    const missing = then.filter((each) => !given.includes(each.split("=")[0]));
    widget("parameters").value = [given, ...missing].filter(Boolean).join(", ");
  },
});
