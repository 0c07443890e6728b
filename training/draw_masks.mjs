// Draws where the parts of drawn faces are, by what changes where a part is left out or given another colour.
//
//     node draw_masks.mjs FACES.json OUTPUT.npy [SIZE=64]
//
// FACES.json is a list of {drawn, variations}, as `draw_faces.mjs` labels faces. OUTPUT.npy becomes uint8 of
// shape (faces, 1 + parts, SIZE, SIZE, 3): the face, then a mask for each of PARTS, 255 where the part is.

import { readFileSync, writeFileSync } from "node:fs";

import { faceAsSvg, GROUPS, NONE, npyHeader, pixelsOf } from "./draw_faces.mjs";

const PARTS = ["mouth", "eyes", "eyebrows", "glasses", "hair", "hat", "skin", "clothes", "background"];
const COLOR_OF = {
  hair: "hairColor", hat: "hatColor", skin: "skinColor", clothes: "clothesColor", background: "backgroundColor",
};
const DIFFERENT = 24;

function hidden(svg, group) {
  return svg.replace(`transform="${group}`, `visibility="hidden" transform="${group}`);
}

function masksOf({ drawn, variations }, size) {
  const svg = faceAsSvg(drawn, variations, size);
  const face = pixelsOf(svg, size);
  const without = {
    glasses: pixelsOf(faceAsSvg({ ...drawn, accessories: NONE }, variations, size), size),
  };
  for (const [name, group] of Object.entries(GROUPS)) without[name] = pixelsOf(hidden(svg, group), size);
  const masks = PARTS.map((name) => {
    const pairs = name in COLOR_OF
      ? ["000000", "ffffff"].map((color) => pixelsOf(faceAsSvg({ ...drawn, [COLOR_OF[name]]: color }, variations, size), size))
      : [face, without[name]];
    const mask = Buffer.alloc(face.length);
    for (let i = 0; i < face.length; i += 3) {
      const change = Math.max(...[0, 1, 2].map((c) => Math.abs(pairs[0][i + c] - pairs[1][i + c])));
      const least = name in COLOR_OF ? 128 : DIFFERENT;
      mask.fill(change > least ? 255 : 0, i, i + 3);
    }
    return mask;
  });
  return Buffer.concat([face, ...masks]);
}

const [faces, output, size = "64"] = process.argv.slice(2);
if (!output) {
  console.error("usage: node draw_masks.mjs FACES.json OUTPUT.npy [SIZE=64]");
  process.exit(2);
}
const list = JSON.parse(readFileSync(faces, "utf8"));
const side = Number(size);
const drawn = list.map((face) => masksOf(face, side));
writeFileSync(output, Buffer.concat([npyHeader([list.length, 1 + PARTS.length, side, side, 3]), ...drawn]));
