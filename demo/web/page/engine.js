// The engine: one model, and what it makes of pictures. It runs in a worker (worker.js), or in the page itself where
// there are no module workers.

import init, { Classifier, pictureFile, pictureNames } from "./mobileone_web.js";

let classifier;

/** Loads the WebAssembly; gives the built-in pictures. */
export async function start() {
  await init();
  return pictureNames().map((name, at) => ({ name, bytes: pictureFile(at) }));
}

/**
 * Opens a model's bytes, read with these options, or the built-in model where there are none; a model that fails leaves
 * the one before.
 */
export async function open(device, weights, { which, strides, epsilon } = {}) {
  const opened = await Classifier.open(device, weights && new Uint8Array(weights), which, strides, epsilon);
  classifier?.free();
  classifier = opened;
  return { model: opened.model, device: opened.device, onGpu: opened.onGpu, notes: opened.notes };
}

/** Classifies pixels as a canvas gives them. */
export async function classify({ data, width, height }) {
  const answer = await classifier.classify(data, width, height);
  const { labels, probabilities, logits } = answer;
  answer.free();
  return { labels, probabilities, logits };
}
