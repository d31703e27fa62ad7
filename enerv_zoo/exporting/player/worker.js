// Decodes frames with onnxruntime-web. Gets everything it needs in messages, and loads nothing itself.
let ort, provider;
const sessions = new Map();

async function start({ script, binary, backend }) {
  ort = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: binary });
  ort.env.logLevel = "error";
  provider = backend;
}

async function decode({ network, model, index }) {
  if (model) {
    const options = { executionProviders: [provider], graphOptimizationLevel: "all", logSeverityLevel: 3 };
    sessions.set(network, await ort.InferenceSession.create(new Uint8Array(model), options));
  }
  const { frames } = await sessions.get(network).run({ index: new ort.Tensor("float64", Float64Array.of(index)) });
  return new Uint8ClampedArray(await frames.getData()).buffer;
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
      const pixels = await { start, decode, forget }[data.task](data);
      postMessage({ task: data.task, pixels }, pixels ? [pixels] : []);
    } catch (error) {
      postMessage({ task: data.task, error: String(error?.message ?? error) });
    }
  });
};
