// Decodes frames of an exported network without Python: node decode.mjs bunny.onnx 0 66 131
// Needs: enerv-zoo export runs/bunny bunny.onnx; npm install onnxruntime-web (or its folder in ORT_WEB)
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = `${process.env.ORT_WEB ?? "node_modules/onnxruntime-web"}/dist`;
const ort = await import(pathToFileURL(`${folder}/ort.wasm.bundle.min.mjs`));
Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: readFileSync(`${folder}/ort-wasm-simd-threaded.wasm`) });

const [file, ...numbers] = process.argv.slice(2);
if (!file || !numbers.length) {
  console.error("expected a model and frame indices, such as: node decode.mjs bunny.onnx 0 66.5 131");
  process.exit(2);
}

const session = await ort.InferenceSession.create(readFileSync(file));
const index = Float64Array.from(numbers, Number);
const start = performance.now();
const { frames } = await session.run({ index: new ort.Tensor("float64", index) });
const seconds = (performance.now() - start) / 1000;

const [count, channels, height, width] = frames.dims; // (B, 3, H, W), uint8
const pixels = height * width;
for (let frame = 0; frame < count; frame++) {
  const planes = frames.data.subarray(frame * channels * pixels, (frame + 1) * channels * pixels);
  const packed = Buffer.alloc(channels * pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let channel = 0; channel < channels; channel++) {
      packed[channels * pixel + channel] = planes[channel * pixels + pixel];
    }
  }
  const name = `frame-${numbers[frame]}.ppm`; // a plain picture: a head and RGB bytes
  writeFileSync(name, Buffer.concat([Buffer.from(`P6 ${width} ${height} 255\n`), packed]));
  console.log(`${name}: ${width}x${height}`);
}
console.log(`${count} frames in ${seconds.toFixed(2)} s`);
