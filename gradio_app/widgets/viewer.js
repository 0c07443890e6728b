/** The picture, sharp at any size, with the one before the edits while a button is held. */
const SIDE = 512, LOBES = 3, FILE_SIDE = 1024;
const stage = document.querySelector("#picker .stage");
const after = stage.querySelector(".after"), before = stage.querySelector(".before");
const canvas = make("canvas", { className: "sharp" });
canvas.setAttribute("aria-hidden", "true");
stage.insertBefore(canvas, stage.querySelector(".overlay"));
const badge = make("span", { className: "resefa-before", textContent: translate("before"), hidden: true });
stage.append(badge);
const hold = element.querySelector(".hold");
let holding = false, drawing = 0;

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const taps = new Map();
/** For each place of a longer line, where its Lanczos window starts in the shorter one, and its weights. */
function window_of(short, long) {
  const key = short + ":" + long;
  if (!taps.has(key)) {
    const made = [];
    for (let at = 0; at < long; at++) {
      const centre = ((at + 0.5) * short) / long - 0.5, start = Math.floor(centre) - LOBES + 1;
      const weights = [];
      for (let tap = 0; tap < 2 * LOBES; tap++) {
        const far = centre - (start + tap);
        weights.push(Math.abs(far) < LOBES ? sinc(far) * sinc(far / LOBES) : 0);
      }
      const sum = weights.reduce((a, b) => a + b);
      made.push([start, weights.map((weight) => weight / sum)]);
    }
    taps.set(key, made);
  }
  return taps.get(key);
}

function enlarged({ data, width, height }, wide, high) {
  const middle = new Float32Array(wide * height * 3), out = new ImageData(wide, high);
  const inside = (value, most) => Math.min(most - 1, Math.max(0, value));
  window_of(width, wide).forEach(([start, weights], x) => {
    for (let y = 0; y < height; y++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let tap = 0; tap < weights.length; tap++) {
          sum += weights[tap] * data[(y * width + inside(start + tap, width)) * 4 + channel];
        }
        middle[(y * wide + x) * 3 + channel] = sum;
      }
    }
  });
  window_of(height, high).forEach(([start, weights], y) => {
    const rows = weights.map((_, tap) => inside(start + tap, height) * wide * 3);
    for (let x = 0; x < wide; x++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let tap = 0; tap < weights.length; tap++) sum += weights[tap] * middle[rows[tap] + x * 3 + channel];
        out.data[(y * wide + x) * 4 + channel] = sum; // clamped by the array
      }
      out.data[(y * wide + x) * 4 + 3] = 255;
    }
  });
  return out;
}

/** A picture on a canvas: enlarged by a whole number to at least this side, or as it is where it is large. */
function draw(image, target, side) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const times = Math.max(1, Math.ceil(side / Math.max(width, height)));
  [target.width, target.height] = [width * times, height * times];
  const pen = target.getContext("2d");
  if (times === 1) {
    pen.drawImage(image, 0, 0);
    return;
  }
  const small = make("canvas", { width, height });
  const ink = small.getContext("2d", { willReadFrequently: true });
  ink.drawImage(image, 0, 0);
  pen.putImageData(enlarged(ink.getImageData(0, 0, width, height), width * times, height * times), 0, 0);
}

function paint() {
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(() => {
    const image = holding && before.naturalWidth ? before : after;
    if (image.naturalWidth) draw(image, canvas, SIDE);
  });
}
for (const image of [after, before]) image.addEventListener("load", paint);
paint();

function compare(wanted) {
  if (holding === wanted) return;
  holding = wanted;
  badge.hidden = !wanted;
  stage.classList.toggle("comparing", wanted);
  hold.setAttribute("aria-pressed", String(wanted));
  element.querySelector(".told").textContent = translate(wanted ? "The picture before the edits" : "The picture with the edits");
  paint();
}
const BRIEF_MS = 250, SEEN_MS = 1000;
let since = 0, leaving = 0;
hold.addEventListener("pointerdown", (event) => {
  hold.setPointerCapture(event.pointerId);
  clearTimeout(leaving);
  since = performance.now();
  compare(true);
});
hold.addEventListener("pointerup", () => { // who clicks instead of holding sees it for a moment
  const brief = performance.now() - since < BRIEF_MS;
  leaving = setTimeout(() => compare(false), brief ? SEEN_MS : 0);
});
for (const kind of ["pointercancel", "blur"]) hold.addEventListener(kind, () => compare(false));
hold.addEventListener("contextmenu", (event) => event.preventDefault());
hold.addEventListener("keydown", (event) => {
  if (event.key === " " || event.key === "Enter") {
    event.preventDefault();
    compare(true);
  }
});
hold.addEventListener("keyup", () => compare(false));
document.addEventListener("keydown", (event) => {
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (plain && event.key.toLowerCase() === "b" && !event.target.closest?.(TYPED)) compare(true);
});
document.addEventListener("keyup", (event) => {
  if (event.key.toLowerCase() === "b") compare(false);
});

const CHUNKS_FROM = 33;
/** A PNG that says what the server wants such pictures to say. */
function marked(png) {
  const chunks = Uint8Array.from(atob(window.resefa?.mark || ""), (letter) => letter.charCodeAt(0));
  return new Blob([png.slice(0, CHUNKS_FROM), chunks, png.slice(CHUNKS_FROM)], { type: png.type });
}
function download(pictures, name) {
  const parts = pictures.map((image) => {
    const part = document.createElement("canvas");
    draw(image, part, FILE_SIDE);
    return part;
  });
  const whole = document.createElement("canvas");
  whole.width = parts.reduce((sum, part) => sum + part.width, 0);
  whole.height = parts[0].height;
  let left = 0;
  for (const part of parts) {
    whole.getContext("2d").drawImage(part, left, 0);
    left += part.width;
  }
  whole.toBlob((blob) => keep(marked(blob), name));
}
function keep(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
const number = () => (window.resefa?.seed ?? "picture");
element.querySelector(".save-one").addEventListener("click", () => download([after], "picture-" + number() + ".png"));
element.querySelector(".save-both").addEventListener("click", () => download([before, after], "picture-" + number() + "-before-after.png"));

const film = element.querySelector(".save-film");
film.addEventListener("click", () => trigger("input"));
async function update() {
  const value = props.value;
  if (!value) return;
  setTimeout(() => { props.value = null; }); // so that the same film is news when it comes again
  keep(await (await fetch(value.film)).blob(), "picture-" + number() + value.suffix);
}
watch("value", update);

let leftOut = "";
document.addEventListener("resefa-link", ({ detail }) => {
  leftOut = detail.left_out;
  film.disabled = !detail.moves?.length;
});
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // none without HTTPS, or it is not allowed
    const field = make("textarea", { value: text });
    field.style.cssText = "position:fixed;opacity:0";
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}
element.querySelector(".copy").addEventListener("click", async ({ currentTarget }) => {
  const copied = await copy(location.href);
  currentTarget.focus();
  const left = translate(leftOut), done = leftOut ? translate("Copied without {left}", { left }) : translate("Copied");
  currentTarget.textContent = copied ? done : translate("See the address bar");
  setTimeout(() => { currentTarget.textContent = translate("Copy link"); }, 2500);
});
