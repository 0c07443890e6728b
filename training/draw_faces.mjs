// Draws faces for training: DiceBear's "avataaars" style (Avataaars by Pablo Stanley, free for personal and
// commercial use), each with the attributes that it was drawn from.
//
//     node draw_faces.mjs OUTPUT_DIR [COUNT=60000] [SIZE=64] [FIRST=0]
//
// OUTPUT_DIR receives faces.npy, uint8 of shape (COUNT, SIZE, SIZE, 3), and labels.json: for each attribute
// its values, and for each face an index into them. Face number i is the same on every machine, whatever the
// range it is drawn in.

import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

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
const OPTIONS = {
  ...ATTRIBUTES,
  scale: 150,
  translateY: 5,
  accessoriesProbability: 30,
  facialHairProbability: 20,
};
const NONE = "none";

function draw(index, size) {
  const avatar = createAvatar(avataaars, { ...OPTIONS, seed: String(index), size });
  const pixels = new Resvg(avatar.toString()).render().pixels;
  const rgb = Buffer.alloc(size * size * 3);
  for (let i = 0; i < size * size; i++) pixels.copy(rgb, 3 * i, 4 * i, 4 * i + 3);
  const { primaryBackgroundColor, ...drawn } = avatar.toJson().extra;
  return { rgb, drawn: { ...drawn, backgroundColor: primaryBackgroundColor } };
}

function npyHeader(shape) {
  const text = `{'descr': '|u1', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const padded = text.padEnd(117) + "\n";
  const head = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  return Buffer.concat([head, Buffer.from(padded, "latin1")]);
}

function main([folder, count = "60000", size = "64", first = "0"]) {
  const [total, side, start] = [count, size, first].map(Number);
  if (!folder || ![total, side, start].every(Number.isInteger) || total < 1 || side < 8 || start < 0) {
    console.error("usage: node draw_faces.mjs OUTPUT_DIR [COUNT=60000] [SIZE=64] [FIRST=0]");
    process.exit(2);
  }
  mkdirSync(folder, { recursive: true });
  const values = Object.fromEntries(Object.entries(ATTRIBUTES).map(([name, list]) => [name, [...list, NONE]]));
  const labels = Object.fromEntries(Object.keys(ATTRIBUTES).map((name) => [name, []]));
  const file = openSync(join(folder, "faces.npy"), "w");
  writeSync(file, npyHeader([total, side, side, 3]));
  for (let i = 0; i < total; i++) {
    const { rgb, drawn } = draw(start + i, side);
    writeSync(file, rgb);
    for (const name of Object.keys(ATTRIBUTES)) {
      const value = String(drawn[name] ?? NONE).replace("#", "");
      labels[name].push(values[name].indexOf(value));
    }
    if ((i + 1) % 5000 === 0) console.log(`${i + 1} / ${total}`);
  }
  closeSync(file);
  writeFileSync(join(folder, "labels.json"), JSON.stringify({ values, labels }));
}

main(process.argv.slice(2));
