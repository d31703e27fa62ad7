"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const lines = (key, rows) =>
    data.runs.map((run, i) => ({
      name: run.name, colour: colour(i), points: rows(run).filter((r) => r[key] != null).map((r) => [r.frame ?? r.epoch, r[key]]),
    }));

  /* A row has the scores that there are; one that is infinite, such as the PSNR of an exact frame, is null. */
  const has = (row, metric) => metric && metric.name in row;
  const score = (row, {name, unit, digits}) => (row[name] == null ? "exact" : `${row[name].toFixed(digits)} ${unit}`.trim());
  const [lead] = data.metrics;
  let marks = [];

  const tell = (frame) => {
    $("numbers").textContent = "";
    data.runs.forEach((run, i) => {
      const row = run.frames.find((r) => r.frame === frame);
      if (!row) return;
      const name = data.runs.length > 1 ? `${run.name}: ` : "";
      const scores = data.metrics.filter((m) => has(row, m)).map((m) => (m === lead && m.unit ? "" : `${m.label} `) + score(row, m));
      make("span", $("numbers"), {style: `--colour: ${colour(i)}`}, name + scores.join(", "));
    });
    for (const mark of marks) mark.mark(frame);
  };

  /* All scores of all frames, a row per fit and frame; an infinite score is inf, a missing one is empty. */
  const csv = () => {
    const cell = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const value = (row, m) => (has(row, m) ? row[m.name] ?? "inf" : "");
    const rows = data.runs.flatMap((run) => run.frames.map((row) => [cell(run.name), row.frame, ...data.metrics.map((m) => value(row, m))]));
    return [["name", "frame", ...data.metrics.map((m) => m.name)], ...rows].map((row) => row.join(",") + "\n").join("");
  };

  // ------------------------------------------------------------------ start

  const goodness = (row) => (row[lead.name] == null ? Infinity : lead.better === "lower" ? -row[lead.name] : row[lead.name]);
  const worst = data.runs.map((run) => run.frames.filter((r) => has(r, lead) && data.frames.includes(r.frame)).sort((a, b) => goodness(a) - goodness(b)).slice(0, 8));
  worst.forEach((rows, i) => {
    const box = make("div", $("worst"), {class: "row"});
    if (data.runs.length > 1) make("span", box, {style: `color: ${colour(i)}`}, data.runs[i].name);
    for (const row of rows)
      make("button", box, {type: "button"}, `${row.frame}: ${score(row, lead)}`).addEventListener("click", () => view.select(row.frame));
  });
  let nextWorst = 0;
  const goWorst = () => { if (worst[0]?.length) view.select(worst[0][nextWorst++ % worst[0].length].frame); };

  marks = data.metrics.map((m) =>
    chart($("quality"), `${m.label} of each frame${m.unit && ` (${m.unit})`}`, lines(m.name, (r) => r.frames), {xlabel: "frame", pick: (frame) => view.select(frame)}));
  chart($("epochs"), "PSNR while fitting (dB)", lines("psnr", (r) => r.history), {xlabel: "epoch"});
  chart($("epochs"), "Loss", lines("loss", (r) => r.history), {xlabel: "epoch", log: "y"});
  if (data.rates) {
    const curves = (key) =>
      data.rates.map((c, i) => ({name: c.name, colour: colour(i), dots: true, points: c.points.filter((p) => p[key] != null).map((p) => [p.bpp, p[key]])}));
    for (const m of data.rate_metrics) chart($("rates"), `${m.heading} over bits per pixel`, curves(m.name), {xlabel: "bits per pixel", log: "x"});
  }

  const view = $("stage") ? viewer(data, tell) : null;
  if (view) {
    const keys = {...view.keys, w: goWorst};
    $("next").addEventListener("click", goWorst);
    $("csv").addEventListener("click", () => view.save("scores.csv", new Blob([csv()], {type: "text/csv"})));
    document.addEventListener("keydown", (event) => {
      const {tagName, type} = event.target;
      if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey || ["SELECT", "TEXTAREA"].includes(tagName)) return;
      if ((["BUTTON", "SUMMARY"].includes(tagName) && event.key === " ") || (type === "range" && event.key.length > 1)) return;
      if (event.key.length > 1 && event.target.closest(".scroll, pre")) return;  // which the browser scrolls
      event.preventDefault();
      keys[event.key]();
    });
  }

  /* No word of a command is broken, as a browser would after each hyphen. */
  for (const code of document.querySelectorAll("pre code")) {
    const parts = code.textContent.split(/(\s+)/);
    code.textContent = "";
    for (const [i, part] of parts.entries()) i % 2 ? code.append(part) : make("span", code, {class: "word"}, part);
  }

  /* On paper, tables that are folded up are there. */
  const folded = new Set();
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details:not([open]):has(table)")) { folded.add(each); each.open = true; }
  });
  addEventListener("afterprint", () => {
    for (const each of folded) each.open = false;
    folded.clear();
  });
  for (const button of document.querySelectorAll("[data-copy]"))
    button.addEventListener("click", () => {
      navigator.clipboard?.writeText(button.previousElementSibling.textContent).then(() => { button.textContent = "Copied"; });
    });
})();
