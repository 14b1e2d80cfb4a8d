// Where the engine runs: in a worker, so that the page answers while the CPU computes.

/** The engine in the page itself, which stands still while the CPU computes. */
async function inPage() {
  const engine = await import("./engine.js");
  const classify = (canvas, pixels) => engine.classify(pixels.getImageData(0, 0, canvas.width, canvas.height));
  const start = async () => ({ pictures: await engine.start(), gpu: "gpu" in navigator });
  return { start, open: engine.open, classify, end() {} };
}

/** The engine in a worker. What it is given goes there without a copy. */
function inWorker() {
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  const waiting = new Map();
  let number = 0;
  let fault;
  // It did not load, or came to its end.
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    fault = new Error(`The engine has stopped (${event.message ?? "it did not load"}): reload the page`);
    waiting.forEach(({ reject }) => reject(fault));
    waiting.clear();
  });
  worker.addEventListener("message", ({ data }) => {
    const { resolve, reject } = waiting.get(data.number) ?? {};
    waiting.delete(data.number);
    if ("reason" in data) reject?.(new Error(data.reason));
    else resolve?.(data.answer);
  });
  const ask = (task, values, given = []) =>
    new Promise((resolve, reject) => {
      if (fault) return reject(fault);
      number += 1;
      waiting.set(number, { resolve, reject });
      worker.postMessage({ number, task, values }, given);
    });
  return {
    start: () => ask("start", []),
    open: (device, weights, reading) => ask("open", [device, weights, reading], weights ? [weights] : []),
    async classify(canvas, pixels) {
      // A bitmap of the canvas is read back by the worker; where that has no canvas, the pixels go there.
      const picture = globalThis.OffscreenCanvas
        ? await createImageBitmap(canvas)
        : pixels.getImageData(0, 0, canvas.width, canvas.height);
      return ask("classify", [picture], [picture.data?.buffer ?? picture]);
    },
    end: () => worker.terminate(),
  };
}

/** Whether the page has a GPU, and for `auto` no software GPU, which is slower than the CPU. */
async function pageHasGpu(device) {
  if (device === "cpu") return false;
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter) && !(device === "auto" && adapter.info?.isFallbackAdapter);
}

/** The engine for `device`, started, and its built-in pictures. */
export async function find(device) {
  let engine;
  try {
    engine = inWorker();
    const { pictures, gpu } = await engine.start();
    // A GPU that only the page has is worth more than a worker: it does not have the page wait.
    if (gpu || !(await pageHasGpu(device))) return { engine, pictures };
  } catch (error) {
    console.warn("no worker: the engine runs in the page", error);
  }
  engine?.end();
  engine = await inPage();
  return { engine, pictures: (await engine.start()).pictures };
}
