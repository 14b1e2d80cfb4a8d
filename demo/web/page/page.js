// The page: pictures, the camera and models in; labels and latency out. The network runs in `mobileone_web_bg.wasm`.

import { find } from "./place.js";

const $ = (id) => document.getElementById(id);
const canvas = $("picture");
// The pixels are copied each time, so they had better lie in memory.
const pixels = canvas.getContext("2d", { willReadFrequently: true });

let engine; // where the network runs
let running; // the model that is open, and its device
let shown; // the name of the picture on the canvas, if there is one
let stream; // of the camera, while it is on
let asked; // of the last start of the camera, until it is stopped
let last = Promise.resolve(); // what is being done; the next waits for it
let broken = false; // whether nothing can be opened here

// `?device=webgpu` takes a software GPU too, `?device=cpu` none.
const wishes = new URLSearchParams(location.search);
const device = wishes.get("device") ?? "auto";
// What the file of a model leaves open: `?weights=raw`, `?strides=1,2,2,2,2`, `?bn_eps=0.001`.
const reading = {
  which: wishes.get("weights") ?? undefined,
  strides: wishes.get("strides") ?? undefined,
  epsilon: wishes.has("bn_eps") ? Number(wishes.get("bn_eps")) : undefined,
};
// Larger pictures are made smaller before they are read back: a page stands still meanwhile.
const MOST_SIDE = 4096;
// Bytes as they are stored: a colour profile is ignored, as the library ignores it.
const STORED = { colorSpaceConversion: "none" };

function say(text, error = false) {
  $("status").textContent = text;
  $("status").className = error ? "error" : "";
}

function forget() {
  $("top").replaceChildren();
  $("latency").textContent = "";
}

/** Says what went wrong, and takes down the last picture and its answer. */
function complain(error) {
  console.error(error);
  pixels.clearRect(0, 0, canvas.width, canvas.height);
  shown = undefined;
  forget();
  say(String(error.message ?? error), true);
}

/** Does one thing after the other, and shows what goes wrong. */
function next(work) {
  last = last.then(work).catch(complain);
  return last;
}

async function open(weights) {
  running = await engine.open(device, weights, weights && reading);
  $("advice").hidden = running.onGpu || device !== "auto";
  $(isSecureContext ? "insecure" : "secure").hidden = true;
}

/** Opens a model. The picture that is shown is classified anew; where the model fails, all stays as it was. */
async function openFile(file) {
  const before = running;
  try {
    await open(await file.arrayBuffer());
  } catch (error) {
    console.error(error);
    const reason = (error.message ?? String(error)).replace(/^checkpoint: /, "");
    return say(`${file.name}: ${reason}. ${before.model} on ${before.device} goes on.`, true);
  }
  // The labels of the model before do not stand under the name of this one.
  forget();
  if (shown !== undefined) await classify(shown);
  // What had to be guessed of it may be why its answers are wrong.
  ready(running.notes.map((note) => `. Of ${file.name}: ${note}`).join(""));
}

function ready(note = "") {
  say(`${running.model} on ${running.device}${note}`);
}

/** Draws `source`, of this size, over white, and classifies what is seen. */
async function look(source, width, height, name) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  pixels.fillStyle = "white";
  pixels.fillRect(0, 0, width, height);
  pixels.drawImage(source, 0, 0, width, height);
  shown = name;
  await classify(name);
}

/** Classifies what is on the canvas. */
async function classify(name) {
  document.dispatchEvent(new CustomEvent("asked", { detail: { name } }));
  const begun = performance.now();
  const { labels, probabilities, logits } = await engine.classify(canvas, pixels);
  const milliseconds = performance.now() - begun;
  $("top").replaceChildren(
    ...labels.map((label, at) => {
      const [line, share, meter] = ["li", "span", "meter"].map((tag) => document.createElement(tag));
      share.textContent = `${(probabilities[at] * 100).toFixed(1)}%`;
      meter.value = probabilities[at];
      line.append(label, share, meter);
      return line;
    }),
  );
  $("latency").textContent = `${milliseconds.toFixed(1)} ms from pixels to labels`;
  const detail = { name, labels, probabilities, logits, milliseconds };
  document.dispatchEvent(new CustomEvent("answer", { detail }));
}

/** The picture in `file`; a drawing (SVG) is read by elements only. */
async function decode(file) {
  return createImageBitmap(file, STORED).catch(async () => {
    const image = new Image();
    image.src = URL.createObjectURL(file);
    try {
      await image.decode();
      return await createImageBitmap(image, STORED);
    } finally {
      URL.revokeObjectURL(image.src);
    }
  });
}

async function show(file) {
  let picture = await decode(file).catch(() => {
    throw new Error(`${file.name}: neither a picture that this browser reads nor a model in a .safetensors file`);
  });
  const size = [picture.width, picture.height];
  const scale = MOST_SIDE / Math.max(...size);
  let note;
  if (scale < 1) {
    const [resizeWidth, resizeHeight] = size.map((side) => Math.max(1, Math.round(side * scale)));
    const whole = picture;
    picture = await createImageBitmap(whole, { ...STORED, resizeWidth, resizeHeight, resizeQuality: "high" });
    whole.close();
    note = `; ${file.name} was shrunk from ${size.join("x")} to ${resizeWidth}x${resizeHeight} first`;
  }
  await look(picture, picture.width, picture.height, file.name);
  picture.close();
  ready(note);
}

function take(files) {
  if (broken) return;
  for (const file of files) {
    say(`Reading ${file.name}…`);
    const model = file.name.toLowerCase().endsWith(".safetensors");
    if (!model) stopCamera(); // it goes on under another model
    next(() => {
      if (!broken) return model ? openFile(file) : show(file);
    });
  }
}

async function startCamera() {
  const [button, video] = [$("camera"), $("video")];
  const { mediaDevices } = navigator;
  if (!mediaDevices) throw new Error("No camera here: open the page through https or localhost");
  const mine = (asked = {});
  button.disabled = true;
  try {
    const opened = await mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    // A file came while the browser asked the person.
    if (asked !== mine) return stop(opened);
    stream = opened;
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    if (asked !== mine) return;
    stopCamera();
    throw error;
  } finally {
    button.disabled = false;
  }
  if (asked !== mine) return;
  button.textContent = "Stop";
  if (running) ready();
  // Unplugged, or taken away by the system; not when the page itself stops it.
  stream.getVideoTracks()[0].addEventListener("ended", () => {
    next(() => {
      if (asked !== mine) return;
      stopCamera();
      throw new Error("The camera is gone: plug it in or allow it again, and press Camera");
    });
  });
  // The next frame is asked for when the last is answered: none waits, and the newest is taken.
  const frame = () => {
    next(async () => {
      if (asked === mine) await look(video, video.videoWidth, video.videoHeight, "camera");
    }).then(() => {
      if (asked === mine) video.requestVideoFrameCallback(frame);
    });
  };
  video.requestVideoFrameCallback(frame);
}

function stop(stream) {
  stream.getTracks().forEach((track) => track.stop());
}

function stopCamera() {
  asked = undefined;
  if (stream) stop(stream);
  stream = undefined;
  $("video").srcObject = null;
  $("camera").textContent = "Camera";
}

function samples(pictures) {
  for (const { name, bytes } of pictures) {
    const file = new File([bytes], name, { type: "image/jpeg" });
    const [button, image] = ["button", "img"].map((tag) => document.createElement(tag));
    image.src = URL.createObjectURL(file);
    image.alt = name;
    button.append(image);
    button.addEventListener("click", () => take([file]));
    $("samples").append(button);
  }
}

for (const input of [$("file"), $("model")]) {
  input.addEventListener("change", () => {
    take(input.files);
    input.value = "";
  });
}
$("camera").addEventListener("click", () => (stream ? stopCamera() : startCamera().catch(complain)));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", () => document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const { files } = event.dataTransfer;
  if (files.length) return take(files);
  if (!broken) complain(new Error("Only files can be dropped here: save the picture first, and drop its file"));
});

next(async () => {
  let pictures;
  try {
    // A browser that forbids it to the page has it nowhere.
    if (!globalThis.WebAssembly) throw new Error("it has no WebAssembly");
    ({ engine, pictures } = await find(device));
    say("Opening the built-in model…");
    await open();
    ready();
  } catch (error) {
    broken = true;
    document.querySelectorAll("#controls :is(button, input)").forEach((control) => (control.disabled = true));
    throw new Error(`This page cannot run in this browser: ${error.message ?? error}`);
  }
  samples(pictures);
  $("samples").firstElementChild.click();
});
