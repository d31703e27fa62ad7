// Decodes frames with onnxruntime-web. Gets everything it needs in messages, and loads nothing itself.
let ort, provider;
const sessions = new Map();

/* On a GPU, the nodes that compute with time alone stay on the CPU, as its quotients and sines are exact (onnx_model.py). NCHW, as
   convolutions of 6, 9, 15 ... channels go wrong in the other layout (issue 29651 of onnxruntime). */
const time = Array.from({ length: 1000 }, (_, number) => `time${number}`);
const providers = { wasm: "wasm", webgpu: { name: "webgpu", preferredLayout: "NCHW", forceCpuNodeNames: time } };

async function start({ script, binary, backend }) {
  ort = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: binary });
  ort.env.logLevel = "error";
  provider = providers[backend];
}

async function decode({ network, model, index }) {
  if (model) {
    const options = { executionProviders: [provider], graphOptimizationLevel: "all", logSeverityLevel: 3 };
    sessions.set(network, await ort.InferenceSession.create(new Uint8Array(model), options));
  }
  const { frames } = await sessions.get(network).run({ index: new ort.Tensor("float32", Float32Array.of(index)) });
  return pixels(await frames.getData()).buffer;
}

/* RGBA of planes (3, H, W) in [0, 1], rounded as in Python: half to even. */
function pixels(planes) {
  const count = planes.length / 3, rgba = new Uint8ClampedArray(4 * count);
  for (let pixel = 0, place = 0; pixel < count; pixel++) {
    rgba[place++] = 255 * planes[pixel];
    rgba[place++] = 255 * planes[count + pixel];
    rgba[place++] = 255 * planes[2 * count + pixel];
    rgba[place++] = 255;
  }
  return rgba;
}

async function forget({ network }) {
  const session = sessions.get(network);
  sessions.delete(network);
  if (session) await session.release();
}

let queue = Promise.resolve();
onmessage = ({ data }) => {
  queue = queue.then(async () => {
    try {
      const picture = await { start, decode, forget }[data.task](data);
      postMessage({ task: data.task, pixels: picture }, picture ? [picture] : []);
    } catch (error) {
      postMessage({ task: data.task, error: String(error?.message ?? error) });
    }
  });
};
