"use strict";
/* Networks that decode frames in this browser, for the scripts of pages: onnxruntime-web in workers. A file is in this page,
   beside it, or at a pinned address. */

async function unpacked(id, zipped) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  if (!zipped) return bytes.buffer;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function read(file) {
  if (file.part) return unpacked(file.part, file.zipped);
  let answer;
  try {
    answer = await fetch(file.url, { integrity: file.integrity ?? "", referrerPolicy: "no-referrer" });
  } catch (error) {
    const local = location.protocol === "file:" && !/^https:/.test(file.url);
    throw new Error(local ? "A browser reads no files beside a page from disk. Serve this folder, as this does: python -m http.server"
      : `${file.url} cannot be loaded, or is not the file that this page expects.`);
  }
  if (!answer.ok) throw new Error(`${file.url} cannot be loaded (${answer.status}).`);
  return answer.arrayBuffer();
}

/* A worker with one frame at a time. */
class Decoder {
  constructor(source, pool) {
    this.pool = pool;
    this.worker = new Worker(source);
    this.networks = [];
    this.waiting = [];
    this.turn = Promise.resolve();  // of asking for a frame: a network is there before its frames are asked for
    this.worker.onmessage = ({ data: { pixels, error } }) => {
      const { resolve, reject } = this.waiting.shift();
      error === undefined ? resolve(pixels) : reject(new Error(error));
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.splice(0)) reject(new Error(event.message || "a worker cannot start"));
    };
    this.busy = 0;
  }

  ask(message) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.worker.postMessage(message);
    });
  }

  async decode(index, video = 0) {
    const networks = this.pool.videos[video], at = networks.findLastIndex(({ first }) => first <= index);
    const { id, first, frames } = networks[at];
    const message = { task: "decode", network: id, index: at + 1 < networks.length ? Math.min(index - first, frames - 1) : index - first };
    this.busy++;
    try {
      const asked = this.turn.then(async () => {
        if (!this.networks.includes(id)) {
          message.model = await this.pool.model(id);
          this.networks.push(id);
          if (this.networks.length > this.pool.kept) await this.ask({ task: "forget", network: this.networks.shift() });
        }
        return { answer: this.ask(message) };  // not awaited here: the next message may follow
      });
      this.turn = asked.catch(() => {});
      const { answer } = await asked;
      return await answer;
    } catch (error) {
      if (message.model) this.networks = this.networks.filter((other) => other !== id);  // it has to come again
      throw error;
    } finally {
      this.busy--;
    }
  }
}

/* Workers that decode the frames of videos, each a list of networks in order: {first, frames, file}. */
class Decoders {
  constructor(videos, runtime) {
    let id = 0;
    this.videos = videos.map((networks) => networks.map((network) => ({ ...network, id: id++ })));
    this.files = this.videos.flat().map(({ file }) => file);
    this.kept = Math.max(2, videos.length);
    this.runtime = runtime;
    this.models = new Map();
    this.all = [];
    this.backend = "";
    this.loaded = 0;  // bytes of runtimes
  }

  model(id) {
    if (!this.models.has(id)) this.models.set(id, read(this.files[id]).catch((error) => { this.models.delete(id); throw error; }));
    return this.models.get(id);
  }

  /* Start workers, with WebGPU where there is one; an error says why there are none. */
  async start() {
    if (typeof WebAssembly !== "object") throw new Error("It needs WebAssembly, which this browser lacks or has turned off.");
    await this.model(0);
    const cores = Math.max(1, Math.min(navigator.hardwareConcurrency || 2, 4));
    const gpu = this.runtime.webgpu && (await navigator.gpu?.requestAdapter().catch(() => null));
    if (gpu) {
      try {
        await this.begin("webgpu", 1);
      } catch (error) {
        console.info(`WebGPU: ${error.message}`);
      }
    }
    if (!this.all.length) await this.begin("wasm", cores);
  }

  async begin(kind, count) {
    const { script, binary } = this.runtime[kind];
    const [code, bytes] = await Promise.all([read(script), read(binary)]);
    this.loaded += code.byteLength + bytes.byteLength;
    const source = URL.createObjectURL(new Blob([document.getElementById("worker").textContent], { type: "text/javascript" }));
    const started = Array.from({ length: count }, () => new Decoder(source, this));
    const video = this.videos.findIndex((networks) => networks.length);
    try {
      await Promise.all(started.map((each) => each.ask({ task: "start", script: code, binary: bytes, backend: kind })));
      await Promise.all(started.map((each) => each.decode(0, video)));
    } catch (error) {
      for (const each of started) each.worker.terminate();
      throw error;
    }
    this.all = started;
    this.backend = kind === "webgpu" ? "WebGPU" : `WebAssembly × ${count}`;
  }

  /* Pixels (RGBA) of a frame, by the worker that has least to do. */
  decode(index, video = 0) {
    return this.all.reduce((best, each) => (each.busy < best.busy ? each : best)).decode(index, video);
  }
}
