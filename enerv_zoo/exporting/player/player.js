const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const stage = $("stage"), canvas = $("canvas"), context = canvas.getContext("2d", { alpha: false });
const decoders = new Decoders([data.networks], data.runtime), AHEAD = 12;

async function load() {
  note("Loading the network and its runtime …");
  await Promise.all([decoders.start(), loadSound()]);
  $("backend").value = decoders.backend;
  $("runtime").value = `${(decoders.loaded / 1e6).toPrecision(3)} MB`;
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
  note(`This page cannot play here. ${error.message}`);
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

let shown = 0, at = 0, target = null;  // at: the index that was shown or asked for last; target: one to be asked for

function show(index, pixels) {
  context.putImageData(new ImageData(new Uint8ClampedArray(pixels), canvas.width, canvas.height), 0, 0);
  shown = index;
  if (stage.dataset.state === "failed") { state("paused"); note(""); }
  stage.dataset.shown = index.toFixed(2);
  if (target === null) label(at = index);
}

function label(index) {
  const whole = Math.floor(index + 1e-9);
  $("scrub").value = whole;
  $("between").value = (index - whole).toFixed(2);
  $("index").value = index.toFixed(2);
  $("time").value = `${clock(secondsAt(index))} / ${clock(length)}`;
}

let seeking = false;

async function seek(index) {
  pause();
  at = target = Math.max(0, Math.min(index, last));
  label(at);
  await ready();
  if (seeking) return;
  seeking = true;
  while (target !== null) {
    const place = target, start = performance.now();
    target = null;
    try {
      const pixels = await decoders.decode(place);
      $("access").value = `${Math.round(performance.now() - start)} ms`;
      if (!playing) show(place, pixels);
    } catch (error) {
      seeking = false;
      target = null;
      fail(error);
    }
  }
  seeking = false;
}

// ------------------------------------------------------------------ sound: at the time of the frames, lower in slow motion

const sound = data.sound && new Audio();

async function loadSound() {
  if (!sound) return;
  sound.preservesPitch = false;
  sound.onerror = () => { $("mute").disabled = true; $("mute").title = "This browser cannot play the sound"; };
  sound.src = URL.createObjectURL(new Blob([await read(data.sound)], { type: "audio/mp4" }));
}

let refused = false;  // as browsers do before the page is touched

function hear(seconds, speed) {
  if (!sound || !(seconds < sound.duration) || refused) return;
  sound.playbackRate = speed;
  if (Math.abs(sound.currentTime - seconds) > 0.15 * Math.max(speed, 1)) sound.currentTime = seconds;
  if (sound.paused) sound.play().catch((error) => { refused = error.name === "NotAllowedError"; });
}

// ------------------------------------------------------------------ playing: decoded ahead, late frames are left out

let playing = false, run = 0;

async function play() {
  if (playing) return;
  await ready();
  const speed = Number($("speed").value), step = Math.min(speed, 1), count = Math.round(last / step) + 1;
  let begin = at >= last ? 0 : secondsAt(at), origin = null, lag = 1;  // lag: pictures that pass while one is decoded
  const own = ++run, pictures = new Map(), drawn = [];
  playing = true;
  refused = false;
  state("playing");
  const first = Math.round(indexAt(begin) / step);
  const loop = $("loop").checked, left = loop ? count : count - first;
  let next = first;

  const place = (number) => Math.min((number % count) * step, last);
  const secondsPlayed = (now) => begin + ((now - origin) / 1000) * speed;
  const clockNumber = (now) => {  // of the picture on the grid of steps that is due, counted over all loops
    if (origin === null) return first;
    const seconds = secondsPlayed(now), loops = Math.floor(seconds / length);
    return loops * count + Math.min(Math.floor(indexAt(seconds - loops * length) / step + 1e-6), count - 1);
  };

  async function work(decoder) {
    let before = 1;  // of two decodes the shorter counts: a network that is loaded meanwhile is late once
    while (playing && own === run) {
      const due = clockNumber(performance.now());
      const soon = due + (origin === null ? 0 : lag);
      next = Math.max(next, loop ? soon : Math.min(soon, count - 1));
      if (next >= count && !loop) return;
      if (next > due + AHEAD || pictures.size >= 2 * AHEAD) {  // a page that is not seen draws none of them
        await new Promise((resolve) => setTimeout(resolve, 4));
        continue;
      }
      const number = next++;
      try {
        pictures.set(number, await decoder.decode(place(number)));
        if (origin !== null) {
          const passed = clockNumber(performance.now()) - due;
          lag = Math.max(1, Math.min(passed, before, AHEAD));
          before = passed;
        }
      } catch (error) { if (own === run) { pause(); fail(error); } return; }
    }
  }
  decoders.all.forEach(work);

  function tick(now) {
    if (!playing || own !== run) return;
    if (origin === null && (pictures.size >= Math.min(AHEAD / 2, left) || pictures.size >= 2 * decoders.all.length)) origin = now;
    const due = clockNumber(now);
    const latest = Math.max(-1, ...[...pictures.keys()].filter((number) => number <= due));
    if (origin !== null) hear(loop ? secondsPlayed(now) % length : secondsPlayed(now), speed);
    if (latest >= 0 && origin !== null) {
      show(place(latest), pictures.get(latest));
      for (const number of pictures.keys()) if (number <= latest) pictures.delete(number);
      drawn.push(now);
      while (drawn[0] < now - 2000) drawn.shift();
      if (drawn.length > 2) $("rate").value = rate(drawn, speed);
    }
    if (due >= count - 1 && !loop && latest < 0 && shown >= place(count - 1)) { pause(); return; }
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
  if (sound) sound.pause();
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
$("between").oninput = (event) => go(Math.floor(at + 1e-9) + Number(event.target.value));
$("loop").checked = true;
$("loop").onclick = () => {
  $("loop").checked = !$("loop").checked;
  $("loop").setAttribute("aria-pressed", $("loop").checked);
  $("speed").onchange();  // numbers of pictures count from this loop on
};
$("speed").onchange = () => { if (playing) { pause(); play().catch(() => {}); } };
if (sound) $("mute").onclick = () => $("mute").setAttribute("aria-pressed", (sound.muted = !sound.muted));
$("full").onclick = () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen?.());

function speedBy(change) {
  const select = $("speed");
  select.selectedIndex = Math.max(0, Math.min(select.selectedIndex + change, select.length - 1));
  select.onchange();
}

const keys = {
  " ": toggle, k: toggle, Home: () => go(0), End: () => go(last), l: () => $("loop").click(), f: () => $("full").click(),
  m: () => $("mute")?.click(),
  "[": () => speedBy(-1), "]": () => speedBy(1),
  ArrowLeft: (event) => go(event.shiftKey ? at - 0.05 : Math.ceil(at - 1e-6) - 1),
  ArrowRight: (event) => go(event.shiftKey ? at + 0.05 : Math.floor(at + 1e-6) + 1),
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
