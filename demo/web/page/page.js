// The page: pictures, the camera and models in; labels and latency out. The network runs in `mobileone_web_bg.wasm`.

import init, { Classifier, pictureFile, pictureNames } from "./mobileone_web.js";

const $ = (id) => document.getElementById(id);
const canvas = $("picture");
// The pixels are read back each time, so they had better lie in memory.
const pixels = canvas.getContext("2d", { willReadFrequently: true });

let classifier;
let stream; // of the camera, while it is on
let asked; // of the last start of the camera, until it is stopped
let last = Promise.resolve(); // what is being done; the next waits for it

function say(text, error = false) {
  $("status").textContent = text;
  $("status").className = error ? "error" : "";
}

function complain(error) {
  console.error(error);
  say(String(error.message ?? error), true);
}

/** Does one thing after the other; what goes wrong is said. */
function next(work) {
  last = last.then(work).catch(complain);
  return last;
}

async function open(weights) {
  if (!weights) say("Opening the built-in model…");
  const opened = await Classifier.open(weights);
  classifier?.free();
  classifier = opened;
  ready();
}

function ready() {
  say(`${classifier.model} on ${classifier.device}`);
}

/** Draws `source`, of this size, over white, and classifies what is seen. */
async function classify(source, width, height, name) {
  if (!classifier) throw new Error("no model is open");
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  pixels.fillStyle = "white";
  pixels.fillRect(0, 0, width, height);
  pixels.drawImage(source, 0, 0, width, height);
  const begun = performance.now();
  const { data } = pixels.getImageData(0, 0, width, height);
  const answer = await classifier.classify(data, width, height);
  const milliseconds = performance.now() - begun;
  const { labels, probabilities, logits } = answer;
  answer.free();
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

async function show(file) {
  // Bytes as they are stored: a colour profile is ignored, as the library ignores it.
  const picture = await createImageBitmap(file, { colorSpaceConversion: "none" }).catch(() => {
    throw new Error(`${file.name}: not a picture that this browser reads`);
  });
  await classify(picture, picture.width, picture.height, file.name);
  picture.close();
  ready();
}

function take(files) {
  stopCamera();
  for (const file of files) {
    say(`Reading ${file.name}…`);
    const model = file.name.endsWith(".safetensors");
    next(async () => (model ? open(new Uint8Array(await file.arrayBuffer())) : show(file)));
  }
}

async function startCamera() {
  const [button, video] = [$("camera"), $("video")];
  const mine = (asked = {});
  button.disabled = true;
  try {
    const opened = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
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
  // The next frame is asked for when the last is answered: none waits, and the newest is taken.
  const frame = () => {
    next(async () => {
      if (asked === mine) await classify(video, video.videoWidth, video.videoHeight, "camera");
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

function samples() {
  pictureNames().forEach((name, at) => {
    const file = new File([pictureFile(at)], name, { type: "image/jpeg" });
    const [button, image] = ["button", "img"].map((tag) => document.createElement(tag));
    image.src = URL.createObjectURL(file);
    image.alt = name;
    button.append(image);
    button.addEventListener("click", () => take([file]));
    $("samples").append(button);
  });
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
  take(event.dataTransfer.files);
});

next(async () => {
  if (!navigator.gpu) {
    throw new Error("This browser has no WebGPU here: use a newer one, and open the page through https or localhost");
  }
  await init();
  await open();
  samples();
  $("samples").firstElementChild.click();
});
