// Nodes that use directions offer them by name: Direction Sliders a slider for each, the others a list to choose
// from. What there is to offer comes with every run, from the node itself or from the one before it, and is kept
// in the graph. The values that are sent and saved are those of the node's own text widgets.

import { app } from "../../../scripts/app.js";

const SLIDERS = "ReSeFa_DirectionSliders";
const CHOOSERS = ["ReSeFa_ApplyDirection", "ReSeFa_DirectionSweep"];
const OFFERED = "resefa_directions";
const STEP = 0.1;
const LONGEST = 24; // letters of a label, beside which Nodes 2.0 leaves a slider room

app.registerExtension({
  name: "ReSeFa.Directions",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith("ReSeFa_")) return;
    const { onExecuted, onConfigure, onConnectionsChange } = nodeType.prototype;
    nodeType.prototype.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      const offered = output?.[OFFERED]?.[0];
      if (!offered) return;
      for (const node of [this, ...users(this)]) offer(node, offered);
    };
    if (!uses(nodeData.name)) return;
    nodeType.prototype.onConfigure = function () {
      onConfigure?.apply(this, arguments);
      show(this);
    };
    if (nodeData.name !== SLIDERS) return;
    nodeType.prototype.onConnectionsChange = function () {
      onConnectionsChange?.apply(this, arguments);
      if (!app.configuringGraph) show(this);
    };
  },
  nodeCreated(node) {
    if (CHOOSERS.includes(node.comfyClass)) makeChooser(node);
    if (uses(node.comfyClass)) show(node);
  },
});

function uses(name) {
  return name === SLIDERS || CHOOSERS.includes(name);
}

// The nodes that take the directions of a node, also behind Reroute nodes.
function users(node) {
  const found = [];
  for (const output of node.outputs ?? []) {
    for (const id of output.links ?? []) {
      const next = node.graph?.getNodeById(node.graph.getLink(id)?.target_id);
      if (next?.type === "Reroute") found.push(...users(next));
      else if (uses(next?.comfyClass) && output.type !== "IMAGE") found.push(next);
    }
  }
  return found;
}

function offer(node, { names, range }) {
  if (!uses(node.comfyClass)) return;
  const known = node.properties[OFFERED];
  node.properties[OFFERED] = { names: distinct(names), range };
  if (JSON.stringify(known) !== JSON.stringify(node.properties[OFFERED])) show(node);
}

// A name that is there twice, or that is no single line, is told by its number.
function distinct(names) {
  const plain = names.map((name) => name.trim());
  return plain.map((name, index) => {
    const single = name && !/[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]/.test(name);
    return single && plain.indexOf(name) === index ? name : String(index);
  });
}

function show(node) {
  if (node.comfyClass === SLIDERS) showSliders(node);
  else showChoices(node);
  node.setDirtyCanvas(true, true);
}

// The text widget becomes a list, under the same name and at the same place, so that graphs of either kind open.
// What is chosen is told by number and name: the name holds where it is in another set too, else the number.
function makeChooser(node) {
  const index = node.widgets?.findIndex((widget) => widget.name === "direction") ?? -1;
  if (index < 0) return;
  const text = node.widgets[index];
  const list = node.addWidget("combo", "direction", text.value, () => {}, {
    values: () => choices(node, String(list.value)),
    getOptionLabel: (value) => labelOf(node, String(value ?? "")),
  });
  list.label = text.label;
  list.tooltip = text.tooltip;
  node.widgets.splice(node.widgets.indexOf(list), 1);
  node.widgets.splice(index, 1, list);
}

function namesOf(node) {
  return node.properties[OFFERED]?.names ?? [];
}

// A bare number, or what an older graph says, stays as it is.
function choices(node, chosen) {
  const numbered = namesOf(node).map((name, index) => `${index}: ${name}`);
  const at = numbered.indexOf(labelOf(node, chosen));
  if (at < 0) return [chosen, ...numbered];
  numbered[at] = chosen;
  return numbered;
}

function labelOf(node, value) {
  const names = namesOf(node);
  const index = names.includes(value) ? names.indexOf(value) : /^-?\d+$/.test(value) ? Number(value) : NaN;
  const name = names.at(index);
  return Number.isNaN(index) || name === undefined ? value : `${index < 0 ? names.length + index : index}: ${name}`;
}

// Nodes 2.0 reads what a list offers when its widget is put in anew.
function showChoices(node) {
  const index = node.widgets?.findIndex((widget) => widget.name === "direction") ?? -1;
  if (index < 0) return;
  const list = node.widgets[index];
  const [, number, name] = String(list.value).match(/^(\d+): (.*)$/) ?? [];
  const names = namesOf(node);
  if (number !== undefined && names[number] !== name) {
    const found = names.includes(name) ? names.indexOf(name) : Number(number);
    if (names[found] !== undefined) list.value = `${found}: ${names[found]}`;
  }
  node.widgets.splice(index, 1);
  node.widgets.splice(index, 0, list);
}

function showSliders(node) {
  const text = node.widgets?.find((widget) => widget.name === "strengths");
  if (!text) return;
  for (const slider of node.widgets.filter((widget) => widget.resefaDirection !== undefined)) {
    node.removeWidget(slider);
  }
  const input = node.inputs.find((each) => each.name === "strengths");
  const linked = input?.link != null;
  const { names, range } = node.properties[OFFERED] ?? { names: [] };
  const shown = linked ? [] : names;
  hide(node, text, input, shown.length > 0);
  for (const [index, name] of shown.entries()) addSlider(node, text, index, name, range);
  const [width, height] = node.computeSize();
  node.setSize([Math.max(width, node.size[0]), Math.max(height, node.size[1])]);
}

function addSlider(node, text, index, name, [min, max]) {
  const values = read(text.value);
  const value = Number(values.get(name) ?? values.get(String(index)) ?? 0);
  const changed = (strength) => write(text, name, index, strength);
  const options = { min, max, step: 10 * STEP, step2: STEP, precision: 1, round: STEP, serialize: false };
  const slider = node.addWidget("slider", `strength of ${name}`, value, changed, options);
  slider.label = name.length > LONGEST ? `${name.slice(0, LONGEST - 1).trimEnd()}…` : name;
  slider.tooltip = name;
  slider.value = value;
  slider.serialize = false;
  slider.resefaDirection = name;
}

// A text that is hidden goes on to have its socket, which is otherwise drawn beside the text.
function hide(node, text, input, hidden) {
  text.hidden = hidden;
  text.options.hidden = hidden;
  if (!input) return;
  input.widget = hidden ? undefined : { name: text.name };
  const inputs = [...node.inputs];
  node.inputs = []; // Nodes 2.0 looks at a socket again where it is put in anew
  node.inputs = inputs;
}

function read(text) {
  const values = new Map();
  for (const line of String(text ?? "").split("\n")) {
    const at = line.lastIndexOf("=");
    if (at > 0) values.set(line.slice(0, at).trim(), line.slice(at + 1).trim());
  }
  return values;
}

// Values of names that the set does not have stay, for when it has them again.
function write(text, name, index, strength) {
  const values = read(text.value);
  if (name !== String(index)) values.delete(String(index));
  const rounded = Math.round(strength * 100) / 100;
  if (rounded) values.set(name, rounded);
  else values.delete(name);
  text.value = [...values].map(([key, value]) => `${key}=${value}`).join("\n");
}
