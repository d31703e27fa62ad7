"use strict";
/* The stage of a report: pictures of one frame beside or above each other, movies or decoded here, with one zoom for all. */
const MAX_ZOOM = 64, GRIP = 24;

/* data: that of the page; told: called with the index of the frame that is shown. */
function viewer(data, told) {
  const $ = (id) => document.getElementById(id);
  const root = $("viewer"), stage = $("stage");
  const figures = [...stage.querySelectorAll("figure")];
  const last = data.frames.length - 1;
  let position = 0, playing = false, run = 0;

  const shown = () => figures.filter((figure) => !figure.hidden);
  const movie = (figure) => figure.querySelector("video");
  const seconds = (at) => (at + 0.5) / data.fps;
  const note = (text) => { $("note").textContent = text; };

  // ------------------------------------------------------------------ networks that decode here

  const decoders = data.networks && new Decoders(data.networks, data.runtime);
  const network = (figure) => (figure.dataset.layer.startsWith("run") ? Number(figure.dataset.layer.slice(3)) : -1);
  let live = false;
  const decodes = (figure) => live && Boolean(data.networks[network(figure)]?.length);

  function draw(figure, pixels, milliseconds) {
    let canvas = figure.querySelector("canvas");
    if (!canvas) canvas = make("canvas", figure.querySelector(".picture"), {width: data.width, height: data.height});
    canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels), data.width, data.height), 0, 0);
    canvas.dataset.frame = data.frames[position];
    figure.lastElementChild.textContent = `${data.runs[network(figure)].name}: decoded here, ${Math.round(milliseconds)} ms`;
  }

  function undraw(figure) {
    figure.querySelector("canvas")?.remove();
    if (network(figure) >= 0) figure.lastElementChild.textContent = data.runs[network(figure)].name;
  }

  async function turn(on) {
    pause();
    live = on;
    $("live").setAttribute("aria-pressed", on);
    figures.forEach(undraw);
    if (on && !decoders.all.length) {
      note("Loading the network and its runtime …");
      try {
        await decoders.start();
      } catch (error) {
        live = false;
        $("live").setAttribute("aria-pressed", false);
        note(`The network cannot be decoded here, the movies stay. ${error.message}`);
        return;
      }
      $("live").title = `Decoded by ${decoders.backend}`;
      note("");
    }
    seek(position);
  }

  /* Show a frame in all pictures at once: movies when they have found it, networks when they have decoded it. */
  async function place(at) {
    const decoding = shown().filter(decodes).map(async (figure) => {
      const start = performance.now(), pixels = await decoders.decode(data.frames[at], network(figure));
      return [figure, pixels, performance.now() - start];
    });
    const seeking = shown().filter((figure) => !decodes(figure)).map((figure) => new Promise((resolve) => {
      const video = movie(figure);
      if (Math.abs(video.currentTime - seconds(at)) < 0.25 / data.fps && !video.seeking) return resolve();
      video.addEventListener("seeked", resolve, {once: true});
      video.currentTime = seconds(at);
    }));
    const pictures = await Promise.all(decoding);
    await Promise.all(seeking);
    position = at;
    for (const [figure, pixels, milliseconds] of pictures) if (!figure.hidden && live) draw(figure, pixels, milliseconds);
    tell();
  }

  let target = null, placing = false;
  async function placeLatest(at) {
    target = at;
    if (placing) return;
    placing = true;
    try {
      while (target !== null) {
        const next = target;
        target = null;
        await place(next);
      }
    } catch (error) {
      note(error.message);
    } finally {
      placing = false;
    }
  }

  // ------------------------------------------------------------------ time

  let address;
  function tell() {
    $("scrub").value = position;
    $("frame").textContent = `${data.frames[position]} of ${data.length}`;
    $("scrub").setAttribute("aria-valuetext", $("frame").textContent);
    clearTimeout(address);
    if (!playing && location.hash !== `#f=${data.frames[position]}` && (position || location.hash))
      address = setTimeout(() => history.replaceState(null, "", `#f=${data.frames[position]}`), 200);
    told(data.frames[position]);
  }

  function seek(to) {
    position = Math.max(0, Math.min(last, to));
    if (live) placeLatest(position);
    else for (const figure of shown()) if (!movie(figure).seeking) movie(figure).currentTime = seconds(position);
    tell();
  }

  /* One seek at a time: where the position moved on meanwhile, another follows. */
  function settle(figure) {
    const video = movie(figure);
    if (!playing && !live && !figure.hidden && Math.abs(video.currentTime - seconds(position)) > 0.25 / data.fps) video.currentTime = seconds(position);
  }

  function select(frame) {
    pause();
    let best = 0;
    data.frames.forEach((f, i) => { if (Math.abs(f - frame) < Math.abs(data.frames[best] - frame)) best = i; });
    seek(best);
  }

  function fromAddress() {
    const match = /^#f=(\d+)$/.exec(location.hash);
    if (match && Number(match[1]) !== data.frames[position]) select(Number(match[1]));
  }

  function stepMovies(own) {
    if (!playing || own !== run) return;
    const [master, ...others] = shown().map(movie);
    for (const video of others)
      if (Math.abs(video.currentTime - master.currentTime) > 1 / data.fps) video.currentTime = master.currentTime;
    position = Math.min(last, Math.floor(master.currentTime * data.fps));
    tell();
    requestAnimationFrame(() => stepMovies(own));
  }

  /* Networks give the pace: a frame for which it is too late is left out. */
  async function stepNetworks(own) {
    const start = performance.now(), first = position;
    while (playing && own === run) {
      const due = (first + Math.floor(((performance.now() - start) / 1000) * data.fps)) % (last + 1);
      if (due === position) await new Promise(requestAnimationFrame);
      else await place(due);
    }
  }

  const PICTURES = {play: "M8 5v14l11-7z", pause: "M6 5h4v14H6zm8 0h4v14h-4z"};
  function sign() {
    $("play").querySelector("path").setAttribute("d", PICTURES[playing ? "pause" : "play"]);
    $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  function play() {
    playing = true;
    sign();
    const own = ++run;
    if (live) {
      stepNetworks(own).catch((error) => { pause(); note(error.message); });
      return;
    }
    for (const figure of shown()) movie(figure).play().catch(() => {});
    requestAnimationFrame(() => stepMovies(own));
  }

  function pause() {
    if (!playing) return;
    playing = false;
    run++;
    sign();
    for (const figure of figures) movie(figure).pause();
    seek(position);
  }

  // ------------------------------------------------------------------ views

  function show(view) {
    stage.dataset.view = view;
    for (const button of document.querySelectorAll("[data-show]")) button.setAttribute("aria-pressed", button.dataset.show === view);
    const [left, right] = [$("left").value, $("right").value];
    for (const figure of figures) {
      const {layer} = figure.dataset;
      figure.classList.toggle("over", view === "wipe" && layer === right && left !== right);
      figure.hidden = view === "wipe" ? layer !== left && layer !== right : layer.startsWith("error") !== (view === "errors");
      figure.style.zIndex = figure.classList.contains("over") ? 1 : 0;
    }
    for (const control of document.querySelectorAll(".for-wipe")) control.hidden = view !== "wipe";
    $("heat").hidden = view !== "errors";
    arrange();
    const on = playing;
    if (on) for (const figure of figures) movie(figure).pause();
    seek(position);
    if (on) play();
  }

  /* As many columns as make the pictures largest in the room that there is. */
  function arrange() {
    const count = stage.dataset.view === "wipe" ? 1 : shown().length, aspect = Number(stage.style.getPropertyValue("--aspect"));
    const full = document.fullscreenElement === root;
    const width = root.clientWidth, height = full ? innerHeight - $("controls").offsetHeight : 0.74 * innerHeight;
    const sizes = Array.from({length: count}, (_, i) => Math.min((width - 3 * i) / (i + 1), (height / Math.ceil(count / (i + 1)) - 3) * aspect));
    const columns = sizes.indexOf(Math.max(...sizes)) + 1;
    stage.dataset.columns = columns;
    stage.style.setProperty("--columns", columns);
    stage.style.setProperty("--width", `${Math.floor(sizes[columns - 1])}px`);
    magnify();
  }

  function wipe(percent) {
    $("wipe").value = percent;
    stage.style.setProperty("--wipe", `${percent}%`);
  }

  // ------------------------------------------------------------------ zoom, the same place in all pictures

  const zoom = {scale: 1, x: 0, y: 0};  // x, y: where the picture's corner is, in pictures

  function magnify() {
    const inside = (v) => Math.min(0, Math.max(1 - zoom.scale, v));
    zoom.x = inside(zoom.x);
    zoom.y = inside(zoom.y);
    for (const [name, value] of [["--z", zoom.scale], ["--x", zoom.x], ["--y", zoom.y]]) stage.style.setProperty(name, value);
    stage.toggleAttribute("data-zoomed", zoom.scale > 1);
    const area = shown()[0]?.querySelector(".picture").clientWidth ?? data.width;
    stage.toggleAttribute("data-pixels", (area * zoom.scale * devicePixelRatio) / data.width >= 2 && zoom.scale > 1);
    $("zoom").textContent = `${+zoom.scale.toPrecision(2)}x`;
  }

  /* at: the place that stays, as a part of a picture's width and height. */
  function zoomTo(scale, at = {x: 0.5, y: 0.5}) {
    scale = Math.max(1, Math.min(MAX_ZOOM, scale));
    for (const axis of ["x", "y"]) zoom[axis] = at[axis] - ((at[axis] - zoom[axis]) * scale) / zoom.scale;
    zoom.scale = scale;
    magnify();
  }

  function within({clientX, clientY}) {
    const boxes = shown().map((figure) => figure.querySelector(".picture").getBoundingClientRect());
    const box = boxes.find((b) => clientX >= b.left && clientX <= b.right && clientY >= b.top && clientY <= b.bottom) ?? boxes[0];
    return {x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height, box};
  }

  const pointers = new Map();
  let grip = false;

  function press(event) {
    if (event.button || event.target.closest("#note")) return;
    pointers.set(event.pointerId, event);
    stage.setPointerCapture(event.pointerId);
    const place = within(event), near = Math.abs(place.x - $("wipe").value / 100) * place.box.width < GRIP;
    grip = stage.dataset.view === "wipe" && (zoom.scale === 1 || near);
    drag(event);
  }

  function drag(event) {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const others = [...pointers.values()].filter((each) => each.pointerId !== event.pointerId);
    pointers.set(event.pointerId, event);
    const place = within(event);
    if (others.length) {
      const apart = (a) => Math.hypot(a.clientX - others[0].clientX, a.clientY - others[0].clientY) || 1;
      zoomTo((zoom.scale * apart(event)) / apart(before), within(others[0]));
    } else if (grip) {
      wipe(Math.max(0, Math.min(100, 100 * place.x)));
    } else if (zoom.scale > 1) {
      zoom.x += (event.clientX - before.clientX) / place.box.width;
      zoom.y += (event.clientY - before.clientY) / place.box.height;
      magnify();
    }
  }

  function wheel(event) {
    if (!event.ctrlKey && zoom.scale === 1 && document.fullscreenElement !== root) return;  // it scrolls the page
    event.preventDefault();
    zoomTo(zoom.scale * Math.exp(-event.deltaY / (event.ctrlKey ? 100 : 300)), within(event));
  }

  // ------------------------------------------------------------------ files

  function save(name, blob) {
    const link = make("a", document.body, {href: URL.createObjectURL(blob), download: `${data.name.replace(/[^\w.-]+/g, "-")}-${name}`});
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  /* What is on the stage in the frames' own size, whatever the zoom. */
  function picture() {
    const list = shown(), wiped = stage.dataset.view === "wipe", columns = wiped ? 1 : Number(stage.dataset.columns), bar = 28;
    const width = data.width * columns, height = (data.height + bar) * (wiped ? 1 : Math.ceil(list.length / columns));
    const canvas = Object.assign(document.createElement("canvas"), {width, height}), context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    context.font = "15px system-ui, sans-serif";
    for (const [i, figure] of list.entries()) {
      const over = figure.classList.contains("over"), cut = over ? Math.round((data.width * $("wipe").value) / 100) : 0;
      const [x, y] = wiped ? [0, 0] : [(i % columns) * data.width, Math.floor(i / columns) * (data.height + bar)];
      context.save();
      context.beginPath();
      context.rect(x + cut, y, data.width - cut, data.height);
      context.clip();
      context.drawImage(figure.querySelector("canvas") ?? movie(figure), x, y, data.width, data.height);
      context.restore();
      context.fillStyle = "#fff";
      context.textAlign = over ? "right" : "left";
      context.fillText(figure.lastElementChild.textContent, over ? x + data.width - 8 : x + 8, y + data.height + 19, data.width / (wiped ? 2 : 1) - 16);
    }
    canvas.toBlob((blob) => save(`frame-${data.frames[position]}.png`, blob));
  }

  // ------------------------------------------------------------------ start

  $("scrub").max = last;
  $("scrub").addEventListener("input", (event) => { pause(); seek(Number(event.target.value)); });
  $("wipe").addEventListener("input", (event) => wipe(Number(event.target.value)));
  $("picture").addEventListener("click", picture);
  const toggle = () => (playing ? pause() : play());
  const toggleLive = () => decoders && turn(!live);
  const fullScreen = () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen?.());
  $("play").addEventListener("click", toggle);
  $("live")?.addEventListener("click", toggleLive);
  $("full").addEventListener("click", fullScreen);
  $("in").addEventListener("click", () => zoomTo(zoom.scale * 2));
  $("out").addEventListener("click", () => zoomTo(zoom.scale / 2));
  $("fit").addEventListener("click", () => zoomTo(1));
  for (const name of ["left", "right"]) $(name).addEventListener("change", () => show("wipe"));
  for (const button of document.querySelectorAll("[data-show]")) button.addEventListener("click", () => show(button.dataset.show));
  stage.addEventListener("pointerdown", press);
  stage.addEventListener("pointermove", drag);
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => pointers.delete(event.pointerId));
  stage.addEventListener("dblclick", (event) => zoomTo(zoom.scale > 1 ? 1 : 4, within(event)));
  stage.addEventListener("wheel", wheel, {passive: false});
  stage.addEventListener("dragstart", (event) => event.preventDefault());
  for (const name of ["resize", "fullscreenchange"]) addEventListener(name, arrange);
  addEventListener("hashchange", fromAddress);
  for (const figure of figures) {
    movie(figure).loop = true;
    movie(figure).addEventListener("loadeddata", () => settle(figure), {once: true});
    movie(figure).addEventListener("seeked", () => settle(figure));
  }
  wipe(50);
  show("wipe");
  fromAddress();
  const keys = {
    " ": toggle, d: toggleLive, f: fullScreen, s: picture, "+": () => zoomTo(zoom.scale * 2), "=": () => zoomTo(zoom.scale * 2),
    "-": () => zoomTo(zoom.scale / 2), 0: () => zoomTo(1), 1: () => show("wipe"), 2: () => show("sides"), 3: () => show("errors"),
    ArrowLeft: () => { pause(); seek(position - 1); }, ArrowRight: () => { pause(); seek(position + 1); },
    Home: () => { pause(); seek(0); }, End: () => { pause(); seek(last); },
  };
  return {keys, save, select};
}
