// The engine on a thread of its own. A message asks for one of its functions, and one with the same number answers.

import * as engine from "./engine.js";

// Where pictures that come as bitmaps are read back.
let pixels;

function read(picture) {
  const { width, height } = picture;
  if (pixels?.canvas.width !== width || pixels.canvas.height !== height) {
    pixels = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  }
  pixels.drawImage(picture, 0, 0);
  picture.close();
  return pixels.getImageData(0, 0, width, height);
}

const tasks = {
  start: async () => ({ pictures: await engine.start(), gpu: "gpu" in navigator }),
  open: engine.open,
  classify: (picture) => engine.classify(picture instanceof ImageBitmap ? read(picture) : picture),
};

addEventListener("message", async ({ data: { number, task, values } }) => {
  try {
    postMessage({ number, answer: await tasks[task](...values) });
  } catch (error) {
    postMessage({ number, reason: String(error.message ?? error) });
  }
});
