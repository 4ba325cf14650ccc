"use strict";
// Unpacks the data of the page, and draws the table of results, the figures, and the runs of a cell.
document.documentElement.classList.add("scripted");

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const unpack = async (id) => {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};

// The address after # is the id of a section, or the state of the table, or both: #table&sort=-metric&rule=bptt.
const readState = () => new URLSearchParams(location.hash.slice(1).replace(/^(?![^=&]*=)[^&]*&?/, ""));
const writeState = (state) => {
  const text = state.toString();
  history.replaceState(null, "", text ? `#table&${text}` : location.pathname + location.search);
};

// --- figures ---
let plotly = null;
const loadPlotly = () => plotly ??= unpack("plotly").then((source) => {
  document.head.append(element("script", { textContent: source }));
  return window.Plotly;
});
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dark = matchMedia("(prefers-color-scheme: dark)");
// Blackish and whitish colours of matplotlib are those of the page's text and background.
const themed = (code) => code === "#000000" || code === "#262626" ? colour("--text") : code;
// Plotly reads a subset of HTML in its texts.
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const PANEL = 260, HEIGHT = 250, GAP = 68, LEGEND_LINE = 20;

const axisOf = (described, log, domain, anchor) => ({
  title: { text: plain(described.label.replace(/, (log|linear) scale$/, log ? ", log scale" : ", linear scale")), standoff: 6 },
  type: log ? "log" : "linear", domain, anchor, automargin: false,
  range: rangeOf(described, log), gridcolor: colour("--line"), linecolor: colour("--soft"), zeroline: false,
  ticks: "outside", tickcolor: colour("--line"), nticks: 6, exponentformat: "power",
  ...(described.ticks ? { tickvals: described.ticks[0], ticktext: described.ticks[1].map(plain) } : {}),
});
const rangeOf = (described, log) => {
  const [low, high] = described.range;
  if (!log) return described.log ? undefined : [low, high];
  return described.log && low > 0 ? [Math.log10(low), Math.log10(high)] : undefined;
};

const traceOf = (trace, i, panel, shown, symbols, choice) => {
  // A choice has a number for each point with an id, or a table from x for each rule; what it lacks is not shown.
  const chosen = choice && panel.choices?.[choice], known = chosen?.[trace.id ?? trace.name];
  const x = chosen ? trace.x.map((at) => typeof known === "number" ? known : known?.[at] ?? null) : trace.x;
  const points = trace.symbol && !trace.dash;
  const first = trace.name && !trace.bar && !trace.fill && !shown.has(trace.name);
  if (first) shown.add(trace.name);
  return {
    x, y: trace.y, name: plain(trace.name || "unnamed"), legendgroup: trace.name, showlegend: Boolean(first),
    xaxis: `x${i || ""}`, yaxis: `y${i || ""}`, type: "scatter",
    mode: trace.fill ? "none" : points ? "markers" : trace.symbol ? "lines+markers" : "lines",
    line: { color: themed(trace.colour), width: trace.width, dash: trace.dash, shape: trace.shape || "linear" },
    marker: { color: themed(trace.colour), symbol: trace.symbol, size: trace.size },
    ...(trace.fill ? { fill: "toself", fillcolor: trace.colour } : {}),
    opacity: trace.fill ? trace.opacity : trace.opacity ?? 1,
    ...(trace.bar || trace.fill || !trace.name ? { hoverinfo: "skip" }
      : { hovertemplate: `%{x}, %{y}<extra>${plain([trace.name, symbols[trace.symbol]].filter(Boolean).join(", "))}</extra>` }),
  };
};

// Where panels flow, one without title or label has those of the nearest panel in its row or column.
const labelled = (panel, panels) => {
  const distance = (one) => Math.abs(one.row - panel.row) + Math.abs(one.column - panel.column);
  const nearest = (line, of) => panels.filter((one) => one[line] === panel[line] && of(one))
    .sort((a, b) => distance(a) - distance(b)).map(of)[0] ?? "";
  const title = (one) => one.title;
  return { ...panel, title: nearest("row", title) || nearest("column", title),
    x: { ...panel.x, label: nearest("column", (one) => one.x.label) }, y: { ...panel.y, label: nearest("row", (one) => one.y.label) } };
};

const drawFigure = async (figure, panels, columns, options) => {
  const Plotly = await loadPlotly(), plot = figure.querySelector(".plot");
  const width = figure.clientWidth;
  const across = Math.max(1, Math.min(columns, Math.floor(width / PANEL))), flows = across < columns;
  const rows = flows ? Math.ceil(panels.length / across) : 1 + Math.max(...panels.map((panel) => panel.row));
  const words = panels.flatMap((panel) => panel.y.ticks?.[1] ?? []), left = Math.max(62, 14 + 7 * Math.max(0, ...words.map((word) => word.length)));
  const height = rows * (HEIGHT + GAP) - GAP, gap = Math.min(0.25, (8 + left) / width);
  const symbols = options.symbols ?? {}, names = new Set(panels.flatMap((panel) => panel.traces.map((trace) => trace.name)));
  const letters = [...names, ...Object.values(symbols)].reduce((sum, name) => sum + name.length + 8, 0);
  const head = 34 + LEGEND_LINE * Math.ceil(letters * 7.5 / (width - 100));
  const layout = {
    width, height: height + head + 46, margin: { l: left, r: 34, t: head, b: 46 }, annotations: [], shapes: [], hovermode: "closest",
    paper_bgcolor: colour("--back"), plot_bgcolor: colour("--back"), font: { color: colour("--text"), size: 12 },
    legend: { orientation: "h", x: 0, y: 1 + (head - 6) / height, yanchor: "top" }, dragmode: "zoom",
  };
  const traces = [], shown = new Set();
  panels.map((panel) => flows ? labelled(panel, panels) : panel).forEach((panel, number) => {
    const i = number + 1 === 1 ? "" : number + 1;
    const [row, column] = flows ? [Math.floor(number / across), number % across] : [panel.row, panel.column];
    const slot = (1 + gap) / across, x0 = column * slot, top = 1 - row * (HEIGHT + GAP) / height;
    const chosen = options.x && panel.choices?.[options.x];
    const xLog = chosen ? false : options.log.x ?? panel.x.log, yLog = options.log.y ?? panel.y.log;
    layout[`xaxis${i}`] = axisOf(panel.x, xLog, [x0, x0 + slot - gap], `y${i}`);
    layout[`yaxis${i}`] = axisOf(panel.y, yLog, [top - HEIGHT / height, top], `x${i}`);
    if (chosen) Object.assign(layout[`xaxis${i}`], { title: { text: plain(options.x), standoff: 6 }, range: undefined });
    layout.annotations.push({ text: plain(panel.title), xref: `x${i} domain`, yref: `y${i} domain`, x: 0, y: 1, yshift: 18,
      xanchor: "left", showarrow: false, font: { size: 12 } });
    for (const text of panel.texts) {
      layout.annotations.push({ text: plain(text.text), xref: `x${i} domain`, yref: `y${i} domain`, x: text.x, y: text.y,
        xanchor: text.x > 1 ? "left" : "center", showarrow: false, font: { size: 10, color: themed(text.colour) } });
    }
    for (const level of panel.levels) {
      const across = level.along === "y" ? { xref: `x${i} domain`, x0: 0, x1: 1, yref: `y${i}`, y0: level.at, y1: level.at }
        : { yref: `y${i} domain`, y0: 0, y1: 1, xref: `x${i}`, x0: level.at, x1: level.at };
      layout.shapes.push({ type: "line", ...across, line: { color: colour("--soft"), width: 1, dash: level.dashed ? "dash" : "solid" } });
    }
    traces.push(...panel.traces.map((trace) => traceOf(trace, i, panel, shown, symbols, options.x)));
  });
  traces.push(...Object.entries(symbols).map(([symbol, name]) => ({ x: [null], y: [null], name: plain(name), mode: "markers",
    type: "scatter", hoverinfo: "skip", marker: { symbol, color: colour("--soft"), size: 8 } })));
  await Plotly.react(plot, traces, layout, { displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
  figure.classList.add("drawn");
};

const setUpFigure = (figure, described) => {
  const options = { x: "", log: {}, symbols: described.symbols }, { panels, columns } = described;
  const draw = () => drawFigure(figure, panels, columns, options).catch((error) => console.warn(error));
  const tools = figure.querySelector(".tools");
  const choices = [...new Set(panels.flatMap((panel) => Object.keys(panel.choices ?? {})))];
  if (choices.length) {
    const select = element("select", { onchange: () => { options.x = select.value; draw(); } },
      element("option", { value: "", textContent: panels[0].x.label }), ...choices.map((name) => element("option", { value: name, textContent: name })));
    tools.append(element("label", {}, "Horizontal: ", select));
  }
  for (const along of ["x", "y"]) {
    const logs = panels.map((panel) => panel[along].log), some = logs.includes(true);
    const box = element("input", { type: "checkbox", checked: some, indeterminate: some && logs.includes(false) });
    box.onchange = () => { options.log[along] = box.checked; draw(); };
    tools.append(element("label", {}, box, ` log ${along} axis`));
  }
  dark.addEventListener("change", draw);
  let width = 0;
  new ResizeObserver(() => {
    if (figure.classList.contains("drawn") && figure.clientWidth !== width) { width = figure.clientWidth; draw(); }
  }).observe(figure);
  new IntersectionObserver((entries, observer) => {
    if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); width = figure.clientWidth; draw(); }
  }, { rootMargin: "200px" }).observe(figure);
};

// --- table ---
const accepts = (filter, text, number) => {
  const range = filter.match(/^\s*(-?[\d.e-]+)\s*\.\.\s*(-?[\d.e-]+)\s*$/), bound = filter.match(/^\s*([<>])(=?)\s*(-?[\d.e+-]+)\s*$/);
  if (range) return number !== null && number >= Number(range[1]) && number <= Number(range[2]);
  if (bound) {
    const limit = Number(bound[3]);
    return number !== null && ((bound[2] && number === limit) || (bound[1] === "<" ? number < limit : number > limit));
  }
  return text.toLowerCase().includes(filter.toLowerCase().trim());
};

const setUpTable = (table, openCell) => {
  const { columns, rows } = table, labels = columns.filter((column) => column.text);
  const known = new Set(columns.map((column) => column.id)), body = document.querySelector("#results tbody");
  const valueOf = (row, column) => column.text ? [row.labels[labels.indexOf(column)], null, false, ""]
    : row.values[column.id] ?? ["", null, false, ""];
  let state = readState();
  const visible = () => {
    const chosen = state.get("columns")?.split(",");
    return columns.filter((column) => chosen ? chosen.includes(column.id) : column.shown);
  };
  const save = () => { writeState(state); fill(); };
  const order = (a, b) => {
    const sort = state.get("sort"), down = sort?.startsWith("-");
    const column = columns.find((one) => one.id === sort?.replace(/^-/, ""));
    if (!column) return 0;
    const [x, y] = [valueOf(a, column), valueOf(b, column)];
    if (!column.text && (x[1] === null || y[1] === null)) return (x[1] === null) - (y[1] === null); // missing values stay last
    const difference = column.text ? x[0].localeCompare(y[0], undefined, { numeric: true }) : x[1] - y[1];
    return down ? -difference : difference;
  };
  const cellOf = (row, column) => {
    const [text, , best, note] = valueOf(row, column), cell = element("td");
    const shown = best ? element("strong", { textContent: text }) : text;
    if (column.id === "rule") cell.append(element("button", { className: "link", type: "button", onclick: () => openCell(row) }, shown));
    else cell.append(shown);
    if (column.id === "status") cell.className = row.failed ? "status error" : "status ok";
    if (note) cell.title = note;
    if (note && text !== "—") cell.append(element("sup", { textContent: "*", ariaLabel: note, role: "note" }));
    return cell;
  };
  const fill = () => {
    const shown = visible(), filters = columns.filter((column) => state.get(column.id));
    const kept = rows.filter((row) => filters.every((column) => {
      const [text, number] = valueOf(row, column);
      return accepts(state.get(column.id), text, number);
    })).sort(order);
    body.replaceChildren(...kept.map((row) => element("tr", {}, ...shown.map((column) => cellOf(row, column)))));
    document.getElementById("count").textContent = `${kept.length} of ${rows.length} cells`;
    const sort = state.get("sort") ?? "";
    for (const head of document.querySelectorAll("#results thead th")) {
      if (head.dataset.column === sort.replace(/^-/, "")) head.ariaSort = sort.startsWith("-") ? "descending" : "ascending";
      else head.removeAttribute("aria-sort");
    }
  };
  const set = (name, value) => { if (value) state.set(name, value); else state.delete(name); };
  const drawHead = () => {
    const heads = visible().map((column) => {
      const button = element("button", { type: "button", textContent: column.title, onclick: () => {
        set("sort", state.get("sort") === column.id ? `-${column.id}` : column.id);
        save();
      } });
      const input = element("input", { type: "search", value: state.get(column.id) ?? "", ariaLabel: `Filter ${column.title}`,
        oninput: () => { set(column.id, input.value); save(); } });
      const head = element("th", { scope: "col" }, button, input);
      head.dataset.column = column.id;
      return head;
    });
    document.querySelector("#results thead").replaceChildren(element("tr", {}, ...heads));
  };
  const drawPicker = () => document.querySelector("#columns .picker").replaceChildren(...columns.map((column) => {
    const box = element("input", { type: "checkbox", checked: visible().includes(column), onchange: () => {
      const chosen = columns.filter((one) => one === column ? box.checked : visible().includes(one));
      set("columns", chosen.map((one) => one.id).join(","));
      drawHead();
      save();
    } });
    return element("label", {}, box, ` ${column.title}`);
  }));
  const draw = () => { drawHead(); drawPicker(); fill(); };
  document.getElementById("reset").onclick = () => { state = new URLSearchParams(); writeState(state); draw(); };
  document.getElementById("copy-link").onclick = async (event) => {
    await navigator.clipboard.writeText(location.href).catch(() => {});
    event.target.textContent = "Copied";
  };
  const arrive = () => {
    const wanted = readState();
    if ([...wanted.keys()].some((name) => known.has(name) || name === "sort" || name === "columns")) {
      state = wanted;
      document.getElementById("table").scrollIntoView();
      draw();
    }
    const row = rows.find((one) => one.id === wanted.get("run"));
    if (row) openCell(row);
  };
  draw();
  arrive();
  addEventListener("hashchange", arrive);
};

// --- runs of a cell ---
const definition = (facts) => element("dl", {}, ...facts.flatMap(([name, text]) =>
  [element("dt", { textContent: name }), element("dd", { textContent: text })]));

const curveFigure = (runs) => {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.curve)))].filter((name) => name !== "epoch");
  if (!names.length) return element("p", { className: "soft", textContent: "No run left a learning curve." });
  const figure = element("figure", {}, element("div", { className: "tools" }), element("div", { className: "plot" }));
  const first = names.find((name) => name.startsWith("validation")) ?? names[0];
  const options = { log: {} };
  const select = element("select", {}, ...names.map((name) => element("option", { value: name, textContent: name, selected: name === first })));
  const palette = ["#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#949494"];
  const draw = () => {
    const traces = runs.map((run, i) => ({ name: `replicate ${run.replicate}`, colour: palette[i % palette.length],
      x: run.curve.epoch ?? [], y: run.curve[select.value] ?? [], width: 1.6, dash: "solid", symbol: "circle", size: 5 }));
    const values = traces.flatMap((trace) => trace.x);
    const axis = (label, range) => ({ label, log: false, range });
    const panel = { row: 0, column: 0, title: "", texts: [], levels: [], traces, x: axis("epoch", [Math.min(...values), Math.max(...values)]), y: axis(select.value, []) };
    drawFigure(figure, [panel], 1, options).catch((error) => console.warn(error));
  };
  select.onchange = draw;
  figure.querySelector(".tools").append(element("label", {}, "Learning curve: ", select));
  requestAnimationFrame(draw);
  return figure;
};

const runPart = (run) => {
  const head = element("summary", {}, `replicate ${run.replicate} `, element("span", { className: `status ${run.status}`, textContent: run.status }),
    ` ${run.id} ${run.reason}`);
  const measures = element("table", {}, element("thead", {}, element("tr", {}, ...["measure", "value", "method"].map((name) => element("th", { scope: "col", textContent: name })))),
    element("tbody", {}, ...run.measures.map((row) => element("tr", {}, ...row.map((text) => element("td", { textContent: text }))))));
  const part = element("details", { open: run.replicate === 0 || !["ok", "skipped"].includes(run.status) }, head,
    element("h3", { textContent: "Command" }), element("pre", { textContent: run.command || "not recorded" }),
    element("p", {}, "Folder: ", element("a", { href: run.link, textContent: run.folder })),
    definition(run.facts));
  const scroll = element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: `Measures of run ${run.id}` }, measures);
  if (run.measures.length) part.append(element("details", {}, element("summary", { textContent: `${run.measures.length} measures` }), scroll));
  part.append(run.log ? element("details", {}, element("summary", { textContent: `Log ${run.log_note}` }), element("pre", { textContent: run.log, tabIndex: 0 }))
    : element("p", { className: "soft", textContent: `Log: ${run.log_note || "empty"}` }));
  return part;
};

const opener = (allRuns) => {
  const dialog = document.getElementById("cell");
  dialog.addEventListener("close", () => {
    const state = readState();
    state.delete("run");
    writeState(state);
  });
  return (row) => {
    const runs = row.runs.map((i) => allRuns[i]), [suite, scale, dataset, neuron, rule] = row.labels, state = readState();
    state.set("run", row.id);
    writeState(state);
    dialog.replaceChildren(
      element("button", { className: "close", type: "button", textContent: "Close", onclick: () => dialog.close() }),
      element("h2", { id: "cell-title", textContent: `${rule} · ${neuron} · ${dataset}` }),
      element("p", { className: "soft", textContent: `Suite ${suite}, scale ${scale}. ${row.note}` }),
      curveFigure(runs), ...runs.map(runPart));
    if (!dialog.open) dialog.showModal();
  };
};

// A browser that does not know the style ::details-content prints a closed <details> without its content.
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("main details:not([open])")];
  for (const details of closed) details.open = true;
});
addEventListener("afterprint", () => { for (const details of closed) details.open = false; });

unpack("data").then((text) => {
  const data = JSON.parse(text);
  setUpTable(data.table, opener(data.runs));
  for (const figure of document.querySelectorAll("figure[data-figure]")) {
    if (data.figures[figure.dataset.figure]) setUpFigure(figure, data.figures[figure.dataset.figure]);
  }
  document.documentElement.dataset.ready = "true";
});
