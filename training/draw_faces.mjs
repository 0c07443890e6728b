// Draws faces for training: DiceBear's "avataaars" style (Avataaars by Pablo Stanley, free for personal and
// commercial use), each with the attributes that it was drawn from.
//
//     node draw_faces.mjs OUTPUT_DIR [COUNT=60000] [SIZE=64] [FIRST=0] [JOBS=1]
//
// OUTPUT_DIR receives faces.npy, uint8 of shape (COUNT, SIZE, SIZE, 3), and labels.json: for each attribute
// its values, and for each face an index into them; and for each variation (a mouth's width, a colour's
// lightness) each face's amount, in standard deviations of at most 2; what hides which; where eyes and mouth
// lie; and whom to credit. Face number i is the same on every machine, whatever the range it is drawn in, and by
// however many jobs at once.

import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

import * as avataaars from "@dicebear/avataaars";
import { createAvatar } from "@dicebear/core";
import { Resvg } from "@resvg/resvg-js";

// What is left out draws lines too thin for 64 pixels, or single faces that look broken beside the others.
const ATTRIBUTES = {
  top: [
    "bigHair", "bob", "bun", "curly", "fro", "froBand", "hat", "hijab", "longButNotTooLong", "miaWallace",
    "shaggy", "shaggyMullet", "shavedSides", "shortCurly", "shortFlat", "shortRound", "shortWaved", "sides",
    "straight01", "straight02", "straightAndStrand", "theCaesar", "turban", "winterHat03", "winterHat1",
  ],
  eyes: ["closed", "default", "eyeRoll", "happy", "side", "squint", "surprised", "wink"],
  eyebrows: [
    "angry", "angryNatural", "default", "defaultNatural", "flatNatural", "raisedExcited", "sadConcerned",
    "upDown",
  ],
  mouth: [
    "concerned", "default", "disbelief", "eating", "grimace", "sad", "screamOpen", "serious", "smile", "tongue",
    "twinkle",
  ],
  accessories: ["kurt", "prescription02", "round", "sunglasses"],
  facialHair: ["beardLight", "beardMajestic", "beardMedium", "moustacheMagnum"],
  clothing: ["blazerAndShirt", "collarAndSweater", "hoodie", "shirtCrewNeck", "shirtScoopNeck"],
  skinColor: ["614335", "ae5d29", "d08b5b", "edb98a", "ffdbb4"],
  hairColor: ["2c1b18", "4a312c", "724133", "a55728", "b58143", "d6b370", "c93305", "e8e1e1", "f59797"],
  hatColor: ["262e33", "5199e4", "25557c", "e6e6e6", "a7ffc4", "ffafb9", "ff488e", "ff5c5c"],
  clothesColor: ["262e33", "65c9ff", "25557c", "e6e6e6", "a7ffc4", "ffffb1", "ff488e", "ff5c5c"],
  accessoriesColor: ["262e33", "25557c", "ff5c5c"],
  backgroundColor: ["b6e3f4", "c0aede", "d1d4f9", "ffd5dc", "ffdfbf"],
};
export const NONE = "none";
const PROBABILITY = { accessories: 0.3, facialHair: 0.2 };
export const VALUES = Object.fromEntries(
  Object.entries(ATTRIBUTES).map(([name, list]) => [name, name in PROBABILITY ? [...list, NONE] : list]),
);
const COLORS = Object.keys(ATTRIBUTES).filter((name) => name.endsWith("Color"));
const SHAPES = ["mouthWidth", "mouthHeight", "mouthPosition", "eyeSize", "eyePosition", "eyebrowPosition"];
export const VARIATIONS = [...SHAPES, ...COLORS.flatMap((name) => [`${name}Lightness`, `${name}Warmth`])];

// The SVG group that each of these parts is drawn in.
export const GROUPS = { mouth: "translate(78 134)", eyes: "translate(76 90)", eyebrows: "translate(76 82)" };

const HATS = ["hat", "hijab", "turban", "winterHat03", "winterHat1"];
const but = (list, ...hidden) => list.filter((value) => !hidden.includes(value));
// An attribute that another may hide: the other, and the values of it with which this one is seen.
const SEEN_WITH = {
  hatColor: ["top", HATS],
  hairColor: ["top", but(ATTRIBUTES.top, ...HATS)],
  clothing: ["top", but(ATTRIBUTES.top, "hijab")],
  clothesColor: ["top", but(ATTRIBUTES.top, "hijab")],
  accessoriesColor: ["accessories", ATTRIBUTES.accessories],
  eyes: ["accessories", [NONE]],
};
// Eyes and mouth: top, bottom, left, right, as fractions of the picture.
const DETAIL = [18 / 64, 52 / 64, 14 / 64, 50 / 64];
const ABOUT = {
  title: "avatars",
  description: "drawn faces",
  license: "free for personal and commercial use",
  author: "Pablo Stanley, whose avataaars style DiceBear draws",
};

const HEADER_BYTES = 128;

// Mulberry32: numbers in [0, 1).
function randomNumbers(seed) {
  let state = Math.imul(seed + 1, 0x9e3779b1);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function normal(random) {
  for (;;) {
    const value = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    if (Math.abs(value) <= 2) return Math.round(value * 1000) / 1000;
  }
}

function varied(color, lightness, warmth) {
  const shifts = [10 * lightness + 7 * warmth, 10 * lightness, 10 * lightness - 7 * warmth];
  const channels = shifts.map((shift, i) => parseInt(color.slice(2 * i, 2 * i + 2), 16) + shift);
  return channels.map((c) => Math.round(Math.min(Math.max(c, 0), 255)).toString(16).padStart(2, "0")).join("");
}

// Scale the group of a part about its middle (x, y), and move it down.
function reshape(svg, group, [x, y], scaleX, scaleY, down) {
  const more = `translate(${x} ${y + down}) scale(${scaleX} ${scaleY}) translate(${-x} ${-y})`;
  return svg.replace(`"${group}"`, `"${group} ${more}"`);
}

// The drawing of one face, from its attributes and variations, as SVG.
export function faceAsSvg(drawn, variations, size) {
  const options = { seed: "", size, scale: 150, translateY: 5 };
  for (const [name, value] of Object.entries(drawn)) {
    if (name in PROBABILITY) options[`${name}Probability`] = value === NONE ? 0 : 100;
    if (value !== NONE) options[name] = [value];
  }
  for (const name of COLORS) {
    options[name] = [varied(drawn[name], variations[`${name}Lightness`], variations[`${name}Warmth`])];
  }
  options.facialHairColor = options.hairColor;
  let svg = createAvatar(avataaars, options).toString();
  const { mouthWidth, mouthHeight, mouthPosition, eyeSize, eyePosition, eyebrowPosition } = variations;
  const eyeScale = 1 + 0.08 * eyeSize;
  svg = reshape(svg, GROUPS.mouth, [54, 22], 1 + 0.12 * mouthWidth, 1 + 0.12 * mouthHeight, 1.5 * mouthPosition);
  svg = reshape(svg, GROUPS.eyes, [56, 22], eyeScale, eyeScale, 1.2 * eyePosition);
  return reshape(svg, GROUPS.eyebrows, [56, 16], 1, 1, 1.5 * eyebrowPosition);
}

export function pixelsOf(svg, size) {
  const pixels = new Resvg(svg).render().pixels;
  const rgb = Buffer.alloc(size * size * 3);
  for (let i = 0; i < size * size; i++) pixels.copy(rgb, 3 * i, 4 * i, 4 * i + 3);
  return rgb;
}

function draw(index, size) {
  const random = randomNumbers(index);
  const drawn = {};
  for (const [name, list] of Object.entries(ATTRIBUTES)) {
    drawn[name] = random() < (PROBABILITY[name] ?? 1) ? list[Math.floor(random() * list.length)] : NONE;
  }
  const variations = Object.fromEntries(VARIATIONS.map((name) => [name, normal(random)]));
  return { rgb: pixelsOf(faceAsSvg(drawn, variations, size), size), drawn, variations };
}

export function npyHeader(shape) {
  const text = `{'descr': '|u1', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const padded = text.padEnd(HEADER_BYTES - 11) + "\n";
  const head = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  return Buffer.concat([head, Buffer.from(padded, "latin1")]);
}

function drawRange(file, first, from, to, side) {
  const labels = Object.fromEntries(Object.keys(ATTRIBUTES).map((name) => [name, []]));
  const amounts = Object.fromEntries(VARIATIONS.map((name) => [name, []]));
  const descriptor = openSync(file, "r+");
  for (let i = from; i < to; i++) {
    const { rgb, drawn, variations } = draw(first + i, side);
    writeSync(descriptor, rgb, 0, rgb.length, HEADER_BYTES + i * rgb.length);
    for (const name of Object.keys(ATTRIBUTES)) labels[name].push(VALUES[name].indexOf(drawn[name]));
    for (const name of VARIATIONS) amounts[name].push(variations[name]);
    if ((i + 1 - from) % 5000 === 0) console.log(`${from} to ${i + 1}`);
  }
  closeSync(descriptor);
  return { labels, amounts };
}

function inWorker(range) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: range });
    worker.on("message", resolve);
    worker.on("error", reject);
  });
}

async function main([folder, count = "60000", size = "64", first = "0", jobs = "1"]) {
  const [total, side, start, workers] = [count, size, first, jobs].map(Number);
  const whole = [total, side, start, workers].every(Number.isInteger);
  if (!folder || !whole || total < 1 || side < 8 || start < 0 || workers < 1) {
    console.error("usage: node draw_faces.mjs OUTPUT_DIR [COUNT=60000] [SIZE=64] [FIRST=0] [JOBS=1]");
    process.exit(2);
  }
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "faces.npy");
  writeFileSync(file, npyHeader([total, side, side, 3]));
  const bounds = Array.from({ length: workers + 1 }, (_, i) => Math.round((i * total) / workers));
  const ranges = bounds.slice(1).map((to, i) => [file, start, bounds[i], to, side]);
  const parts = workers === 1 ? [drawRange(...ranges[0])] : await Promise.all(ranges.map(inWorker));
  const joined = (kind, names) =>
    Object.fromEntries(names.map((name) => [name, parts.flatMap((part) => part[kind][name])]));
  const told = {
    values: VALUES,
    labels: joined("labels", Object.keys(ATTRIBUTES)),
    variations: joined("amounts", VARIATIONS),
    seenWith: SEEN_WITH,
    detail: DETAIL,
    about: ABOUT,
  };
  writeFileSync(join(folder, "labels.json"), JSON.stringify(told));
}

if (!isMainThread) parentPort.postMessage(drawRange(...workerData));
else if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
