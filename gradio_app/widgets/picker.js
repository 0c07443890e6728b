const find = (selector) => element.querySelector(selector);
const reach = find(".reach"), stage = find(".stage"), canvas = find(".overlay"), pen = canvas.getContext("2d");
const SIDE = canvas.width, PAINTED_SIDE = 128, SMALLEST = 0.02, STEP = 0.02, SHAKE = 6;
const paint = make("canvas", { width: PAINTED_SIDE, height: PAINTED_SIDE });
const brush = paint.getContext("2d", { willReadFrequently: true });
let tool = "box", box = null, painted = false, gesture = null, timer = 0, turn = 0;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

let wide = 1, high = 1; // of the picture, its longer side 1
function fitShape() {
  const { naturalWidth, naturalHeight } = find(".after"), longest = Math.max(naturalWidth, naturalHeight);
  if (!longest) return;
  [wide, high] = [naturalWidth / longest, naturalHeight / longest];
  stage.style.aspectRatio = `${naturalWidth} / ${naturalHeight}`;
  reach.style.setProperty("--widest", `${Math.round(SIDE * wide)}px`);
}
find(".after").addEventListener("load", fitShape);

function draw() {
  pen.clearRect(0, 0, SIDE, SIDE);
  if (painted) {
    pen.save();
    pen.globalAlpha = 0.45;
    pen.drawImage(paint, 0, 0, SIDE, SIDE);
    pen.globalCompositeOperation = "source-in";
    pen.globalAlpha = 1;
    pen.fillStyle = "#ff5a1f";
    pen.fillRect(0, 0, SIDE, SIDE);
    pen.restore();
  }
  if (box) {
    const [x, y, width, height] = box.map((part) => part * SIDE);
    for (const [color, size] of [["#000000", 5], ["#ffffff", 2]]) {
      pen.strokeStyle = color;
      pen.lineWidth = size;
      pen.strokeRect(x, y, width, height);
    }
  }
  if (outlined) drawOutline(outlined.inside);
  if (keyed && paints()) {
    for (const [color, size] of [["#000000", 5], ["#ffffff", 2]]) {
      pen.strokeStyle = color;
      pen.lineWidth = size;
      pen.beginPath();
      pen.ellipse(keyed[0] * SIDE, keyed[1] * SIDE, (brushSize() * SIDE) / wide, (brushSize() * SIDE) / high, 0, 0, 2 * Math.PI);
      pen.stroke();
    }
  }
}

function usePaint(picture) {
  brush.clearRect(0, 0, PAINTED_SIDE, PAINTED_SIDE);
  if (picture) brush.drawImage(picture, 0, 0, PAINTED_SIDE, PAINTED_SIDE);
  painted = Boolean(picture);
}

let shown = 0;
function show(region) {
  const mine = ++shown, drawn = turn;
  if (region && region.mask) {
    const picture = new Image();
    picture.onload = () => {
      if (mine !== shown || drawn !== turn || gesture) return;
      box = null;
      usePaint(picture);
      draw();
    };
    picture.src = region.mask;
  } else {
    box = region && region.box ? region.box : null;
    usePaint(null);
    draw();
  }
}

const brushSize = () => Number(find("[data-part=size]").value) / 100; // its radius, of the longer side
let keyed = null; // where arrow keys have moved the brush
const paints = () => tool === "brush" || tool === "erase";

function choose(name) {
  tool = name;
  keyed = null;
  find(".tools").classList.toggle("painting", paints());
  find(".tools").classList.toggle("choosing", name === "part");
  outline(null);
  for (const button of element.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  }
}

function send(region) {
  clearTimeout(timer);
  timer = 0;
  turn += 1;
  if (!region.part && !region.parts) usePart(null);
  markPreset(region.preset || nameOf(region.part));
  find(".invitation").hidden = true;
  remember();
  tell("resefa-waiting");
  (window.resefa ??= {}).picker = { region, turn };
  trigger("release");
}

/** The invitation is for those who never chose a region. Without storage, it comes with every visit. */
const KNOWN = "resefa-knows-boxes";
function isKnown() {
  try { return localStorage.getItem(KNOWN) !== null; } catch { return false; }
}
function remember() {
  try { localStorage.setItem(KNOWN, "1"); } catch { /* a browser that keeps nothing */ }
}
find(".invitation").hidden = isKnown();

/** What can be pointed at on this picture: names, the texts that select them, and a mask of each. */
let choices = [];
const MASK_SIDE = 128;
const sheet = make("canvas", { width: MASK_SIDE, height: MASK_SIDE });
const ink = sheet.getContext("2d", { willReadFrequently: true });
function showChoices({ names, texts, masks }) {
  const picture = new Image(), face = find(".before").src;
  picture.onload = () => {
    if (find(".before").src !== face) return;
    choices = names.map((name, index) => {
      ink.drawImage(picture, 0, index * MASK_SIDE, MASK_SIDE, MASK_SIDE, 0, 0, MASK_SIDE, MASK_SIDE);
      const { data } = ink.getImageData(0, 0, MASK_SIDE, MASK_SIDE);
      const inside = Uint8Array.from({ length: MASK_SIDE * MASK_SIDE }, (_, pixel) => data[4 * pixel] > 127);
      return { name, text: texts[index], inside, area: inside.reduce((sum, value) => sum + value, 0) };
    });
    showParts(names);
    stage.dataset.choices = String(choices.length);
  };
  picture.src = masks;
}

/** What lies under the pointer: the smallest of those that hold it, or of it the piece that does. */
const pixelAt = ([x, y]) => Math.min(MASK_SIDE - 1, Math.floor(y * MASK_SIDE)) * MASK_SIDE + Math.min(MASK_SIDE - 1, Math.floor(x * MASK_SIDE));
function choiceAt(point) {
  const pixel = pixelAt(point);
  return choices.filter(({ inside }) => inside[pixel]).sort((one, other) => one.area - other.area)[0];
}
function pieceOf({ inside }, point) {
  const piece = new Uint8Array(inside.length), open = [pixelAt(point)];
  while (open.length) {
    const pixel = open.pop(), column = pixel % MASK_SIDE;
    if (!inside[pixel] || piece[pixel]) continue;
    piece[pixel] = 1;
    if (column) open.push(pixel - 1);
    if (column < MASK_SIDE - 1) open.push(pixel + 1);
    if (pixel >= MASK_SIDE) open.push(pixel - MASK_SIDE);
    if (pixel < inside.length - MASK_SIDE) open.push(pixel + MASK_SIDE);
  }
  return piece;
}
const alone = () => find("[data-part=alone]").checked;

let outlined = null; // the choice that is outlined, and its pixels
function outline(choice, point) {
  const inside = choice && (alone() && point ? pieceOf(choice, point) : choice.inside);
  outlined = choice ? { choice, inside } : null;
  find(".named").textContent = choice ? translate(choice.name) : "";
  draw();
}
function maskOf(inside) {
  const pixels = ink.createImageData(MASK_SIDE, MASK_SIDE);
  inside.forEach((value, pixel) => pixels.data.set([255, 255, 255, 255 * value], 4 * pixel));
  ink.putImageData(pixels, 0, 0);
  return sheet;
}
function drawOutline(inside) {
  const line = make("canvas", { width: SIDE, height: SIDE });
  const edge = line.getContext("2d"), mask = maskOf(inside);
  for (const [right, down] of [[-2, 0], [2, 0], [0, -2], [0, 2]]) edge.drawImage(mask, right, down, SIDE, SIDE);
  edge.globalCompositeOperation = "destination-out";
  edge.drawImage(mask, 0, 0, SIDE, SIDE);
  edge.globalCompositeOperation = "source-in";
  edge.fillStyle = "#ffffff";
  edge.fillRect(0, 0, SIDE, SIDE);
  pen.save();
  pen.shadowColor = "#000000";
  pen.shadowBlur = 4;
  pen.drawImage(line, 0, 0);
  pen.restore();
}

/** The parts that are chosen, each added or taken away; null where the region is something else. */
let part = null;
function usePart(chosen) {
  part = chosen;
  find(".tools").classList.toggle("parted", Boolean(part));
  const [only, ...others] = part || [];
  find("[data-part=parts]").value = only && !others.length && choices.some(({ text }) => text === only.text) ? only.text : "";
}
const isClick = ({ text }) => text.startsWith("at:");
function sendPart() {
  const size = " size:" + Number(find("[data-part=amount]").value) / 100 + (alone() ? " alone" : "");
  if (part.every(isClick)) {
    const places = part.map(({ text, add }) => (add ? "+" : "-") + text.slice(3)).join("");
    send({ part: "at:" + places.slice(1) + size });
  } else if (part.length === 1) {
    send({ part: part[0].text + size });
  } else {
    send({ parts: part.map(({ text, add }) => [text + size, add]) });
  }
}
/** Takes a part at once; the server's answer is the same, or nearly so. */
function takePart(text, inside, adds, takes) {
  const further = (adds || takes) && part;
  const pick = { text, add: !(further && takes) };
  if (inside) {
    if (!further) usePaint(null);
    brush.globalCompositeOperation = pick.add ? "source-over" : "destination-out";
    brush.drawImage(maskOf(inside), 0, 0);
    brush.globalCompositeOperation = "source-over";
    painted = true;
    box = null;
    draw();
  }
  usePart(further ? [...part, pick] : [pick]);
  sendPart();
}
function clickPart(point, adds, takes) {
  const choice = choiceAt(point), there = "at:" + point.map((value) => value.toFixed(4)).join(",");
  if (choice && !alone()) takePart(choice.text, choice.inside, adds, takes);
  else takePart(there, choice && pieceOf(choice, point), adds, takes);
}
for (const name of ["amount", "alone"]) {
  find(`[data-part=${name}]`).addEventListener("change", () => { if (part) sendPart(); });
}
find("[data-part=parts]").addEventListener("change", ({ currentTarget }) => {
  if (!currentTarget.value) return;
  choose("part");
  takeNamed(currentTarget.value);
});
function takeNamed(text) {
  const choice = choices.find((each) => each.text === text);
  takePart(text, choice && choice.inside, false, false);
}
function showParts(names) {
  const list = find("[data-part=parts]");
  const texts = choices.length ? choices.map(({ text }) => text) : names.map((name) => "part:" + name);
  list.hidden = !names.length;
  list.replaceChildren(new Option(translate("a part…"), ""), ...names.map((name, index) => new Option(translate(name), texts[index])));
  usePart(part);
}

function sendPainted() {
  const flat = make("canvas", { width: PAINTED_SIDE, height: PAINTED_SIDE });
  const ink = flat.getContext("2d");
  ink.fillStyle = "#000000";
  ink.fillRect(0, 0, PAINTED_SIDE, PAINTED_SIDE);
  ink.drawImage(paint, 0, 0);
  send({ mask: flat.toDataURL("image/png") });
}

function place(event) {
  const frame = stage.getBoundingClientRect();
  return [clamp((event.clientX - frame.left) / frame.width, 0, 1), clamp((event.clientY - frame.top) / frame.height, 0, 1)];
}

function stroke(from, to) {
  brush.globalCompositeOperation = tool === "erase" ? "destination-out" : "source-over";
  brush.strokeStyle = "#ffffff";
  brush.lineCap = brush.lineJoin = "round";
  brush.save();
  brush.scale(PAINTED_SIDE / wide, PAINTED_SIDE / high); // strokes are round on pictures that are not square
  brush.lineWidth = brushSize() * 2;
  brush.beginPath();
  brush.moveTo(from[0] * wide, from[1] * high);
  brush.lineTo(to[0] * wide + 0.0001, to[1] * high);
  brush.stroke();
  brush.restore();
  brush.globalCompositeOperation = "source-over";
  painted = true;
}

reach.addEventListener("pointerdown", (event) => {
  if (gesture && event.pointerId !== gesture.id) { // a second finger: they scroll or zoom
    undo();
    return;
  }
  if (gesture || !event.isPrimary || (event.pointerType === "mouse" && event.button !== 0)) return;
  reach.setPointerCapture(event.pointerId);
  const start = place(event);
  const ink = brush.getImageData(0, 0, PAINTED_SIDE, PAINTED_SIDE);
  const from = [event.clientX, event.clientY];
  gesture = { id: event.pointerId, start, from, far: false, last: start, before: { box, painted, ink } };
  if (paints()) {
    keyed = null;
    paintOver();
    stroke(start, start);
    draw();
  }
});

/** A box is painted over by the brush, and what the eraser takes away from. */
function paintOver() {
  if (box && tool === "erase") {
    brush.fillStyle = "#ffffff";
    brush.fillRect(...box.map((part) => part * PAINTED_SIDE));
  }
  box = null;
}

reach.addEventListener("pointermove", (event) => {
  if (tool === "part" && !gesture && event.pointerType !== "touch") outline(choiceAt(place(event)), place(event));
  if (!gesture || event.pointerId !== gesture.id) return;
  const here = place(event);
  gesture.far ||= Math.hypot(event.clientX - gesture.from[0], event.clientY - gesture.from[1]) > SHAKE;
  if (tool === "box" || (tool === "part" && gesture.far)) {
    if (outlined) outline(null);
    const [x, y] = gesture.start.map((value, axis) => Math.min(value, here[axis]));
    const [width, height] = gesture.start.map((value, axis) => Math.abs(value - here[axis]));
    if (width >= SMALLEST && height >= SMALLEST) {
      usePaint(null);
      box = [x, y, width, height];
    }
  } else if (paints()) {
    stroke(gesture.last, here);
  }
  gesture.last = here;
  draw();
});

function undo() {
  const before = gesture.before;
  gesture = null;
  box = before.box;
  painted = before.painted;
  brush.putImageData(before.ink, 0, 0);
  draw();
}

reach.addEventListener("pointerup", (event) => {
  if (!gesture || event.pointerId !== gesture.id) return;
  const { before: { box: before }, far } = gesture;
  gesture = null;
  if (paints()) sendPainted();
  else if (tool === "part" && !far) clickPart(place(event), event.shiftKey, event.altKey);
  else if (box && box !== before) send({ box });
});
reach.addEventListener("pointercancel", (event) => {
  if (gesture && event.pointerId === gesture.id) undo();
});

reach.addEventListener("pointerleave", () => { if (outlined && !gesture) outline(null); });
stage.addEventListener("blur", () => {
  keyed = null;
  outline(null);
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
function paintByKeys(event) {
  const move = ARROWS[event.key];
  if (!move && event.key !== " ") return;
  event.preventDefault();
  const from = keyed || [0.5, 0.5];
  keyed = from.map((value, axis) => clamp(value + (move ? move[axis] * STEP : 0), 0, 1));
  if (!move || event.shiftKey) {
    paintOver();
    stroke(from, keyed);
    clearTimeout(timer);
    timer = setTimeout(sendPainted, 600);
  }
  draw();
}

stage.addEventListener("keydown", (event) => {
  if (paints()) {
    paintByKeys(event);
    return;
  }
  if (tool === "part" && choices.length) {
    const way = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (way) {
      event.preventDefault();
      const at = outlined ? choices.indexOf(outlined.choice) : way < 0 ? 0 : -1;
      outline(choices[(at + way + choices.length) % choices.length]);
    } else if (event.key === "Enter" && outlined) {
      event.preventDefault();
      takePart(outlined.choice.text, outlined.inside, event.shiftKey, event.altKey);
    }
    return;
  }
  const move = ARROWS[event.key];
  if (event.key === "Enter" && box) {
    event.preventDefault();
    send({ box });
  } else if (move) {
    event.preventDefault();
    if (!box) {
      usePaint(null);
      box = [0.4, 0.4, 0.2, 0.2];
    }
    let [x, y, width, height] = box;
    if (event.shiftKey) {
      width = clamp(width + move[0] * STEP, SMALLEST, 1 - x);
      height = clamp(height + move[1] * STEP, SMALLEST, 1 - y);
    } else {
      x = clamp(x + move[0] * STEP, 0, 1 - width);
      y = clamp(y + move[1] * STEP, 0, 1 - height);
    }
    box = [x, y, width, height];
    draw();
    clearTimeout(timer);
    timer = setTimeout(() => send({ box }), 600);
  }
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.tool) choose(button.dataset.tool);
  if (button.dataset.preset) {
    const name = button.dataset.preset, text = presets[name].part;
    if (text) {
      choose("part");
      takeNamed(text);
    } else {
      choose("box");
      show(presets[name]);
      send({ preset: name });
    }
  }
});

document.addEventListener("resefa-edited", (event) => stage.classList.toggle("edited", event.detail));
const follow = (link) => history.replaceState(history.state, "", link + location.hash);
document.addEventListener("resefa-link", ({ detail }) => { if (detail.link) follow(detail.link); });
let presets = {}, version = 0, active = "";
/** The name in the text of a part, as `part:mouth size:0.6`. */
function nameOf(text) {
  return text && text.startsWith("part:") ? text.slice(5).replace(/( size:\S+)?( alone)?$/, "") : "";
}
function markPreset(name) {
  active = name || "";
  for (const button of element.querySelectorAll("[data-preset]")) {
    button.setAttribute("aria-pressed", String(button.dataset.preset === active));
  }
  tell("resefa-part", active);
}
function showPresets(regions) {
  presets = regions;
  find(".try").hidden = !Object.keys(regions).length;
  find(".presets").replaceChildren(...Object.keys(regions).map((name) => {
    const button = make("button", { type: "button", textContent: translate(name.replaceAll("_", " ")) });
    button.dataset.preset = name;
    return button;
  }));
  markPreset(active);
}

function update() {
  const value = props.value;
  if (!value) return;
  const image = value.image || value.before; // a picture without edits is sent once
  if (value.before) {
    find(".before").src = value.before;
    (window.resefa ??= {}).seed = value.seed;
    tell("resefa-waiting");
  }
  const current = (value.of || 0) >= version;
  if (current) version = value.of || 0;
  if (image && current) {
    find(".after").src = image;
    tell("resefa-picture", image);
  }
  if ("mark" in value) (window.resefa ??= {}).mark = value.mark;
  if (value.alt) find(".after").alt = translate(value.alt);
  if ("credit" in value) find(".credit").textContent = value.credit && translate("Credit: {whom}", { whom: value.credit });
  if (value.before) {
    choices = [];
    delete stage.dataset.choices;
    outline(null);
    if (part && part.some(isClick)) usePart(null);
  }
  if (value.presets) showPresets(value.presets);
  if (value.parts) showParts(value.parts);
  if (value.choices) showChoices(value.choices);
  const mine = gesture || timer || (value.turn || 0) < turn; // drawn since, and not answered yet
  if ("region" in value && current && !mine) show(value.region);
  if (value.link) {
    follow(value.link);
    const asked = new URLSearchParams(value.link);
    if (!mine) markPreset(asked.get("region") || nameOf(asked.get("part")));
  }
  if (image && current) stage.dataset.shown = String(Number(stage.dataset.shown || 0) + 1);
}
watch("value", update);
update();
