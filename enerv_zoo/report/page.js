"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const lines = (key, rows) =>
    data.runs.map((run, i) => ({
      name: run.name, colour: colour(i), points: rows(run).filter((r) => r[key] != null).map((r) => [r.frame ?? r.epoch, r[key]]),
    }));

  // ------------------------------------------------------------------ frames

  const stage = $("stage");
  const movies = stage ? [...stage.querySelectorAll("figure")] : [];
  const videos = movies.map((figure) => figure.querySelector("video"));
  const seconds = (position) => (position + 0.5) / data.fps;
  let position = 0;
  let playing = false;
  let marks = [];

  /* A row has the scores that there are; one that is infinite, such as the PSNR of an exact frame, is null. */
  const has = (row, metric) => metric && metric.name in row;
  const score = (row, {name, unit, digits}) => (row[name] == null ? "exact" : `${row[name].toFixed(digits)} ${unit}`.trim());
  const [lead] = data.metrics;
  const shown = () => movies.map((figure, i) => (figure.hidden ? null : videos[i])).filter(Boolean);

  const tell = () => {
    const frame = data.frames[position];
    $("scrub").value = position;
    $("frame").textContent = `${frame} of ${data.length}`;
    $("numbers").textContent = data.runs
      .map((run) => {
        const row = run.frames.find((r) => r.frame === frame);
        if (!row) return "";
        const name = data.runs.length > 1 ? `${run.name}: ` : "";
        const scores = data.metrics.filter((m) => has(row, m)).map((m) => (m === lead && m.unit ? "" : `${m.label} `) + score(row, m));
        return name + scores.join(", ");
      })
      .filter(Boolean).join(" · ");
    for (const mark of marks) mark.mark(frame);
  };

  const seek = (to) => {
    position = Math.max(0, Math.min(data.frames.length - 1, to));
    for (const video of shown()) if (!video.seeking) video.currentTime = seconds(position);
    tell();
  };
  /* One seek at a time: where the position moved on meanwhile, another follows. */
  const settle = (video) => {
    if (!playing && shown().includes(video) && Math.abs(video.currentTime - seconds(position)) > 0.25 / data.fps) video.currentTime = seconds(position);
  };
  const select = (frame) => {
    pause();
    let best = 0;
    data.frames.forEach((f, i) => { if (Math.abs(f - frame) < Math.abs(data.frames[best] - frame)) best = i; });
    seek(best);
  };

  const step = () => {
    if (!playing) return;
    const [master, ...others] = shown();
    for (const video of others)
      if (Math.abs(video.currentTime - master.currentTime) > 1 / data.fps) video.currentTime = master.currentTime;
    position = Math.min(data.frames.length - 1, Math.floor(master.currentTime * data.fps));
    tell();
    requestAnimationFrame(step);
  };
  const play = () => {
    playing = true;
    $("play").textContent = "Pause";
    for (const video of shown()) video.play().catch(() => {});
    requestAnimationFrame(step);
  };
  const pause = () => {
    if (!playing) return;
    playing = false;
    $("play").textContent = "Play";
    for (const video of videos) video.pause();
    seek(position);
  };

  // ------------------------------------------------------------------ what is on the stage

  const show = (view) => {
    stage.dataset.view = view;
    for (const button of document.querySelectorAll("[data-show]")) button.setAttribute("aria-pressed", button.dataset.show === view);
    const [left, right] = [$("left").value, $("right").value];
    for (const figure of movies) {
      const {layer} = figure.dataset;
      figure.classList.toggle("over", view === "wipe" && layer === right && left !== right);
      figure.hidden = view === "wipe" ? layer !== left && layer !== right : layer.startsWith("error") !== (view === "errors");
    }
    for (const control of document.querySelectorAll(".for-wipe")) control.hidden = view !== "wipe";
    $("heat").hidden = view !== "errors";
    const on = playing;
    if (on) for (const video of videos) video.pause();
    seek(position);
    if (on) play();
  };
  const wipe = (percent) => {
    $("wipe").value = percent;
    stage.style.setProperty("--wipe", `${percent}%`);
  };
  const drag = (event) => {
    if (stage.dataset.view !== "wipe" || !(event.buttons & 1)) return;
    const place = stage.getBoundingClientRect();
    wipe(Math.max(0, Math.min(100, ((event.clientX - place.left) / place.width) * 100)));
  };

  // ------------------------------------------------------------------ start

  const goodness = (row) => (row[lead.name] == null ? Infinity : lead.better === "lower" ? -row[lead.name] : row[lead.name]);
  const worst = data.runs.map((run) => run.frames.filter((r) => has(r, lead) && data.frames.includes(r.frame)).sort((a, b) => goodness(a) - goodness(b)).slice(0, 8));
  worst.forEach((rows, i) => {
    const box = make("div", $("worst"), {class: "row"});
    if (data.runs.length > 1) make("span", box, {style: `color: ${colour(i)}`}, data.runs[i].name);
    for (const row of rows)
      make("button", box, {type: "button"}, `${row.frame}: ${score(row, lead)}`).addEventListener("click", () => select(row.frame));
  });
  let nextWorst = 0;
  const goWorst = () => { if (worst[0]?.length) select(worst[0][nextWorst++ % worst[0].length].frame); };

  marks = data.metrics.map((m) =>
    chart($("quality"), `${m.label} of each frame${m.unit && ` (${m.unit})`}`, lines(m.name, (r) => r.frames), {xlabel: "frame; click to see it", pick: select}));
  chart($("epochs"), "PSNR while fitting (dB)", lines("psnr", (r) => r.history), {xlabel: "epoch"});
  chart($("epochs"), "Loss", lines("loss", (r) => r.history), {xlabel: "epoch", log: "y"});
  if (data.rates) {
    const curves = (key) =>
      data.rates.map((c, i) => ({name: c.name, colour: colour(i), dots: true, points: c.points.filter((p) => p[key] != null).map((p) => [p.bpp, p[key]])}));
    for (const m of data.rate_metrics) chart($("rates"), `${m.heading} over bits per pixel`, curves(m.name), {xlabel: "bits per pixel", log: "x"});
  }

  if (videos.length) {
    $("scrub").max = data.frames.length - 1;
    $("scrub").addEventListener("input", (event) => { pause(); seek(Number(event.target.value)); });
    $("wipe").addEventListener("input", (event) => wipe(Number(event.target.value)));
    $("play").addEventListener("click", () => (playing ? pause() : play()));
    $("next").addEventListener("click", goWorst);
    for (const name of ["left", "right"]) $(name).addEventListener("change", () => show("wipe"));
    for (const button of document.querySelectorAll("[data-show]")) button.addEventListener("click", () => show(button.dataset.show));
    stage.addEventListener("pointerdown", drag);
    stage.addEventListener("pointermove", drag);
    stage.addEventListener("dragstart", (event) => event.preventDefault());
    for (const video of videos) {
      video.loop = true;
      video.addEventListener("loadeddata", () => settle(video), {once: true});
      video.addEventListener("seeked", () => settle(video));
    }
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || ["SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
      const keys = {
        " ": () => (event.target.tagName === "BUTTON" ? null : playing ? pause() : play()),
        ArrowLeft: () => { pause(); seek(position - 1); }, ArrowRight: () => { pause(); seek(position + 1); },
        Home: () => { pause(); seek(0); }, End: () => { pause(); seek(data.frames.length - 1); },
        w: goWorst, 1: () => show("wipe"), 2: () => show("sides"), 3: () => show("errors"),
      };
      if (!(event.key in keys) || (event.target.type === "range" && event.key !== " " && event.key.length > 1)) return;
      if (keys[event.key]() !== null) event.preventDefault();
    });
    wipe(50);
    show("wipe");
  }
  for (const button of document.querySelectorAll("[data-copy]"))
    button.addEventListener("click", () => {
      navigator.clipboard?.writeText(button.previousElementSibling.textContent).then(() => { button.textContent = "Copied"; });
    });
})();
