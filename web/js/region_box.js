// Select Region on the classic canvas, where ComfyUI's own box editor is not drawn: the image of the node
// before it, with a box to drag. The value is that of the native widget, so that a graph may be opened in
// either interface.
//
// Both editors show the image of the node that `getInputNode` gives. Where that has none (a Reroute, the input
// of a subgraph, a graph that was just opened) they get a stand-in with the image that Select Region has sent
// when it ran. A small copy of it is kept in the graph, so that there is something to drag on before a run.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const NODE = "ReSeFa_SelectRegion";
const KEPT = "resefa_picture";
const KEPT_SIDE = 192;
const EDGES = ["x", "y", "width", "height"];
const MARGIN = 12;
const GRIP = 8;
const SLACK = 3;
const HEIGHT = 260;

app.registerExtension({
  name: "ReSeFa.RegionBox",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== NODE) return;
    const { onExecuted, onConfigure, getInputNode } = nodeType.prototype;
    nodeType.prototype.onExecuted = function (output) {
      if (output?.resefa_image) showSent(this, output.resefa_image);
      onExecuted?.apply(this, arguments);
    };
    nodeType.prototype.onConfigure = function () {
      onConfigure?.apply(this, arguments);
      const box = boxOf(this);
      if (box) setBox(box, box.value);
      const kept = this.properties[KEPT];
      if (typeof kept === "string" && kept.startsWith("data:image/")) showKept(this, kept);
    };
    nodeType.prototype.getInputNode = function (slot) {
      const source = getInputNode.apply(this, arguments);
      return slot === 0 && this.standIn && !showsImage(source) ? this.standIn : source;
    };
  },
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const box = boxOf(node);
    if (box) addEditor(node, box);
  },
});

function boxOf(node) {
  return node.widgets?.find((widget) => widget.name === "box");
}

function showSent(node, images) {
  node.standIn = standIn(node, api.apiURL(`/view?${new URLSearchParams(images[0])}`), (picture) => {
    node.properties[KEPT] = smallCopy(picture);
  });
  const key = outputsKey(node.standIn);
  delete app.nodePreviewImages[key];
  app.nodeOutputs[key] = { images };
}

function showKept(node, kept) {
  if (node.standIn) return;
  node.standIn = standIn(node, kept);
  app.nodePreviewImages[outputsKey(node.standIn)] = [kept];
}

// What stands for the node before this one: a node of the same graph under an id of its own.
function standIn(node, url, loaded) {
  const picture = new Image();
  picture.onload = () => {
    loaded?.(picture);
    node.setDirtyCanvas(true, true);
  };
  picture.src = url;
  return Object.create(node, { id: { get: () => `${node.id}_image` }, imgs: { value: [picture] } });
}

// A few kilobytes that are as wide and high as the picture, since boxes are in its pixels.
function smallCopy(picture) {
  const { naturalWidth: width, naturalHeight: height } = picture;
  const scale = Math.min(1, KEPT_SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  const small = canvas.toDataURL("image/jpeg", 0.8);
  const size = `width="${width}" height="${height}"`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" ${size}><image ${size} href="${small}"/></svg>`;
  return `data:image/svg+xml;base64,${btoa(svg)}`;
}

function showsImage(node) {
  if (!node) return false;
  const key = outputsKey(node);
  return Boolean(
    node.imgs?.length || app.nodeOutputs[key]?.images?.length || app.nodePreviewImages[key]?.length,
  );
}

function outputsKey({ graph, id }) {
  return !graph || graph.isRootGraph ? String(id) : `${graph.id}:${id}`;
}

// The four number fields beside the native widget hold copies of its value; they are kept in step.
function setBox(box, value) {
  box.value = value;
  box.callback?.(value);
  showNumbers(box);
}

function showNumbers(box) {
  for (const field of box.linkedWidgets ?? []) {
    if (EDGES.includes(field.name) && field.value !== box.value[field.name]) field.value = box.value[field.name];
  }
}

function addEditor(node, box) {
  hideOnCanvas(box);
  let shown = null;
  let drag = null;

  node.addCustomWidget({
    name: "box_editor",
    type: "resefa_box_editor",
    value: null,
    serialize: false,
    options: { serialize: false, canvasOnly: true },
    computeLayoutSize: () => ({ minHeight: HEIGHT, maxHeight: 4 * HEIGHT, minWidth: 220 }),

    draw(context, _, width, top) {
      const area = { left: MARGIN, top, width: width - 2 * MARGIN, height: (this.computedHeight ?? HEIGHT) - 8 };
      showNumbers(box); // Nodes 2.0 may have changed the box
      const source = node.getInputNode(0);
      const image = source?.imgs?.[source.imageIndex ?? 0];
      context.save();
      context.fillStyle = "#1a1a1a";
      context.fillRect(area.left, area.top, area.width, area.height);
      shown = image?.complete && image.naturalWidth ? fit(image, area) : null;
      if (shown) {
        context.imageSmoothingEnabled = image.naturalWidth > 256;
        context.drawImage(image, shown.left, shown.top, shown.scale * shown.width, shown.scale * shown.height);
        drawBox(context, shown, box.value);
      } else {
        context.fillStyle = "#bbb";
        context.font = "12px sans-serif";
        context.textAlign = "center";
        const middle = area.top + area.height / 2;
        context.fillText(source ? "Run once to see the image here" : "Connect an image", width / 2, middle);
      }
      context.restore();
    },

    mouse(event, position) {
      if (!shown) return false;
      const [x, y] = [(position[0] - shown.left) / shown.scale, (position[1] - shown.top) / shown.scale];
      const point = { x: clamp(Math.round(x), 0, shown.width), y: clamp(Math.round(y), 0, shown.height) };
      if (event.type === "pointerdown") {
        const outside = x < 0 || y < 0 || x > shown.width || y > shown.height;
        drag = outside ? null : { from: position, moved: false, box: grab(point, box.value, GRIP / shown.scale) };
        return !outside;
      }
      if (!drag) return false;
      drag.moved ||= Math.hypot(position[0] - drag.from[0], position[1] - drag.from[1]) > SLACK;
      if (drag.moved) setBox(box, drag.box(point, shown));
      if (event.type === "pointerup") drag = null;
      node.setDirtyCanvas(true, true);
      return true;
    },
  });
  const [width, height] = node.size;
  node.setSize([Math.max(width, 300), Math.max(height, node.computeSize()[1])]);
}

// On the canvas the native widget is a bar that says it is for Nodes 2.0 only.
function hideOnCanvas(box) {
  box.drawWidget = () => {};
  box.computeSize = (width) => [width, -4];
}

function fit(image, area) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const scale = Math.min(area.width / width, area.height / height);
  return {
    width,
    height,
    scale,
    left: area.left + (area.width - scale * width) / 2,
    top: area.top + (area.height - scale * height) / 2,
  };
}

function drawBox(context, { left, top, scale, width, height }, box) {
  const x = left + scale * box.x;
  const y = top + scale * box.y;
  const wide = scale * box.width;
  const high = scale * box.height;
  context.beginPath();
  context.rect(left, top, scale * width, scale * height);
  context.rect(x, y, wide, high);
  context.fillStyle = "rgba(0, 0, 0, 0.55)";
  context.fill("evenodd");
  context.strokeStyle = "#00dcff";
  context.lineWidth = 2;
  context.strokeRect(x, y, wide, high);
  context.fillStyle = "#00dcff";
  context.fillRect(x + wide - GRIP / 2, y + high - GRIP / 2, GRIP, GRIP);
}

// What dragging from a point does: resize at the lower right corner, move inside, draw a new box elsewhere.
function grab(start, box, reach) {
  const corner = { x: box.x + box.width, y: box.y + box.height };
  if (Math.abs(start.x - corner.x) <= reach && Math.abs(start.y - corner.y) <= reach) {
    return (point) => spanned({ x: box.x, y: box.y }, point);
  }
  const inside = start.x >= box.x && start.x <= corner.x && start.y >= box.y && start.y <= corner.y;
  if (!inside) return (point) => spanned(start, point);
  return (point, { width, height }) => ({
    ...box,
    x: clamp(box.x + point.x - start.x, 0, Math.max(0, width - box.width)),
    y: clamp(box.y + point.y - start.y, 0, Math.max(0, height - box.height)),
  });
}

function spanned(one, other) {
  return {
    x: Math.min(one.x, other.x),
    y: Math.min(one.y, other.y),
    width: Math.max(1, Math.abs(one.x - other.x)),
    height: Math.max(1, Math.abs(one.y - other.y)),
  };
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
