"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const stage = $("stage"), canvas = $("canvas"), context = canvas.getContext("2d", { alpha: false });
const NETWORKS_KEPT = 2, AHEAD = 12;

// ------------------------------------------------------------------ files: in this page, beside it, or pinned

async function unpacked(id, zipped) {
  const bytes = Uint8Array.from(atob($(id).textContent), (c) => c.charCodeAt(0));
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

const models = new Map();
function model(number) {
  if (!models.has(number)) models.set(number, read(data.networks[number].file));
  return models.get(number);
}

// ------------------------------------------------------------------ workers, each with one frame at a time

class Decoder {
  constructor(source) {
    this.worker = new Worker(source);
    this.networks = [];
    this.waiting = [];
    this.worker.onmessage = ({ data: { pixels, error } }) => {
      const { resolve, reject } = this.waiting.shift();
      error === undefined ? resolve(pixels) : reject(new Error(error));
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.splice(0)) reject(new Error(event.message || "a worker cannot start"));
    };
    this.busy = false;
  }

  ask(message) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.worker.postMessage(message);
    });
  }

  async decode(index) {
    this.busy = true;
    try {
      let network = data.networks.findLastIndex(({ first }) => first <= index);
      const { first, frames } = data.networks[network];
      const local = network + 1 < data.networks.length ? Math.min(index - first, frames - 1) : index - first;
      const message = { task: "decode", network, index: local };
      if (!this.networks.includes(network)) {
        if (this.networks.length >= NETWORKS_KEPT) await this.ask({ task: "forget", network: this.networks.shift() });
        message.model = await model(network);
        this.networks.push(network);
      }
      return await this.ask(message);
    } finally {
      this.busy = false;
    }
  }
}

let decoders = [], backend = "";

async function begin(kind, count) {
  const { script, binary } = data.runtime[kind];
  const [code, bytes] = await Promise.all([read(script), read(binary)]);
  const source = URL.createObjectURL(new Blob([$("worker").textContent], { type: "text/javascript" }));
  const started = Array.from({ length: count }, () => new Decoder(source));
  try {
    await Promise.all(started.map((each) => each.ask({ task: "start", script: code, binary: bytes, backend: kind })));
    await Promise.all(started.map((each) => each.decode(0)));
  } catch (error) {
    for (const each of started) each.worker.terminate();
    throw error;
  }
  decoders = started;
  backend = kind === "webgpu" ? "WebGPU" : `WebAssembly × ${count}`;
}

async function load() {
  note("Loading the network and its runtime …");
  await model(0);
  const cores = Math.max(1, Math.min(navigator.hardwareConcurrency || 2, 4));
  const gpu = data.runtime.webgpu && (await navigator.gpu?.requestAdapter().catch(() => null));
  if (gpu) {
    try {
      await begin("webgpu", 1);
    } catch (error) {
      console.info(`WebGPU: ${error.message}`);
    }
  }
  if (!decoders.length) await begin("wasm", cores);
  $("backend").value = backend;
  note("");
}

let loading;
function ready() {
  if (!loading) {
    stage.dataset.state = "loading";
    loading = load().then(() => { stage.dataset.state = "paused"; }, fail);
  }
  return loading;
}

function note(text) { $("note").textContent = text; }

function fail(error) {
  stage.dataset.state = "failed";
  const simd = typeof WebAssembly === "object" ? "" : " It needs WebAssembly, which this browser lacks or has turned off.";
  note(`This page cannot play here. ${error.message}${simd}`);
  throw error;
}

// ------------------------------------------------------------------ time: seconds <-> frame indices

const last = data.frames - 1, fps = data.fps, times = data.timestamps;
const length = (times ? times[last] : last / fps) + 1 / fps;

function indexAt(seconds) {
  if (!times) return Math.min(seconds * fps, last + 1);
  const left = Math.max(times.findLastIndex((time) => time <= seconds), 0);
  const end = left < last ? times[left + 1] : length;
  return left + Math.min((seconds - times[left]) / (end - times[left]), 1);
}

function secondsAt(index) {
  if (!times) return index / fps;
  const left = Math.min(Math.floor(index), last), end = left < last ? times[left + 1] : length;
  return times[left] + (index - left) * (end - times[left]);
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
}

// ------------------------------------------------------------------ what is shown

let shown = 0;

function show(index, pixels) {
  context.putImageData(new ImageData(new Uint8ClampedArray(pixels), canvas.width, canvas.height), 0, 0);
  shown = index;
  stage.dataset.shown = index.toFixed(2);
  label(index);
}

function label(index) {
  const whole = Math.floor(index + 1e-9);
  $("scrub").value = whole;
  $("between").value = (index - whole).toFixed(2);
  $("index").value = index.toFixed(2);
  $("time").value = `${clock(secondsAt(index))} / ${clock(length)}`;
}

let target = null, seeking = false;

async function seek(index) {
  pause();
  target = Math.max(0, Math.min(index, last));
  label(target);
  await ready();
  if (seeking) return;
  seeking = true;
  while (target !== null) {
    const place = target, start = performance.now();
    target = null;
    try {
      const pixels = await (decoders.find((each) => !each.busy) ?? decoders[0]).decode(place);
      $("access").value = `${Math.round(performance.now() - start)} ms`;
      if (target === null && !playing) show(place, pixels);
    } catch (error) {
      seeking = false;
      fail(error);
    }
  }
  seeking = false;
}

// ------------------------------------------------------------------ playing: decoded ahead, late frames are left out

let playing = false, run = 0;

async function play() {
  if (playing) return;
  await ready();
  const speed = Number($("speed").value), step = Math.min(speed, 1), count = Math.round(last / step) + 1;
  let begin = shown >= last ? 0 : secondsAt(shown), origin = null;
  const own = ++run, pictures = new Map(), drawn = [];
  playing = true;
  state("playing");
  const first = Math.round(indexAt(begin) / step);
  let next = first;

  const place = (number) => Math.min((number % count) * step, last);
  const clockNumber = (now) => {  // of the picture on the grid of steps that is due, counted over all loops
    if (origin === null) return first;
    const seconds = begin + ((now - origin) / 1000) * speed, loops = Math.floor(seconds / length);
    return loops * count + Math.min(Math.floor(indexAt(seconds - loops * length) / step + 1e-6), count - 1);
  };

  async function work(decoder) {
    while (playing && own === run) {
      const due = clockNumber(performance.now());
      next = Math.max(next, due + (origin === null ? 0 : 1));
      if (next >= count && !$("loop").checked) return;
      if (next > due + AHEAD) { await new Promise((resolve) => setTimeout(resolve, 4)); continue; }
      const number = next++;
      try {
        pictures.set(number, await decoder.decode(place(number)));
      } catch (error) { if (own === run) { pause(); fail(error); } return; }
    }
  }
  decoders.forEach(work);

  function tick(now) {
    if (!playing || own !== run) return;
    if (origin === null && (pictures.size >= Math.min(AHEAD / 2, count) || pictures.size >= 2 * decoders.length)) origin = now;
    const due = clockNumber(now);
    const latest = Math.max(-1, ...[...pictures.keys()].filter((number) => number <= due));
    if (latest >= 0 && origin !== null) {
      show(place(latest), pictures.get(latest));
      for (const number of pictures.keys()) if (number <= latest) pictures.delete(number);
      drawn.push(now);
      while (drawn[0] < now - 2000) drawn.shift();
      if (drawn.length > 2) $("rate").value = rate(drawn, speed);
    }
    if (due >= count - 1 && !$("loop").checked && latest < 0 && shown >= last - step) { pause(); return; }
    requestAnimationFrame(tick);
  }
  requestAnimationFrame(tick);
}

function rate(drawn, speed) {
  const wanted = Math.min(fps * Math.max(speed, 1), 60), there = ((drawn.length - 1) * 1000) / (drawn.at(-1) - drawn[0]);
  stage.dataset.rate = there.toFixed(2);
  return `${there.toFixed(1)} of ${wanted.toFixed(wanted % 1 ? 1 : 0)} frames/s`;
}

function pause() {
  playing = false;
  if (stage.dataset.state === "playing") state("paused");
}

function state(name) {
  stage.dataset.state = name;
  const paused = name !== "playing";
  $("play").innerHTML = `<svg viewBox="0 0 24 24"><path d="${paused ? "M8 5v14l11-7z" : "M6 5h4v14H6zm8 0h4v14h-4z"}"/></svg>`;
  for (const id of ["play", "big"]) $(id).setAttribute("aria-label", paused ? "Play" : "Pause");
}

// ------------------------------------------------------------------ controls

const toggle = () => (playing ? pause() : play().catch(() => {}));
const go = (index) => seek(index).catch(() => {});
$("play").onclick = $("big").onclick = toggle;
canvas.onclick = $("poster").onclick = toggle;
$("scrub").oninput = (event) => go(Number(event.target.value));
$("between").oninput = (event) => go(Math.floor(shown + 1e-9) + Number(event.target.value));
$("loop").checked = true;
$("loop").onclick = () => {
  $("loop").checked = !$("loop").checked;
  $("loop").setAttribute("aria-pressed", $("loop").checked);
};
$("speed").onchange = () => { if (playing) { pause(); play().catch(() => {}); } };
$("full").onclick = () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen?.());

function speedBy(change) {
  const select = $("speed");
  select.selectedIndex = Math.max(0, Math.min(select.selectedIndex + change, select.length - 1));
  select.onchange();
}

const keys = {
  " ": toggle, k: toggle, Home: () => go(0), End: () => go(last), l: () => $("loop").click(), f: () => $("full").click(),
  "[": () => speedBy(-1), "]": () => speedBy(1),
  ArrowLeft: (event) => go(event.shiftKey ? shown - 0.05 : Math.ceil(shown - 1e-6) - 1),
  ArrowRight: (event) => go(event.shiftKey ? shown + 0.05 : Math.floor(shown + 1e-6) + 1),
};
document.addEventListener("keydown", (event) => {
  const own = keys[event.key], inSlider = event.target.id === "between" || event.target.tagName === "SELECT";
  if (!own || event.ctrlKey || event.metaKey || event.altKey || (inSlider && event.key !== " ")) return;
  event.preventDefault();
  own(event);
});

let idle;
function active() {
  delete stage.dataset.idle;
  clearTimeout(idle);
  idle = setTimeout(() => { if (playing) stage.dataset.idle = ""; }, 2500);
}
for (const name of ["pointermove", "pointerdown", "keydown"]) document.addEventListener(name, active);

state("paused");
label(0);
$("index").value = "0.00";
