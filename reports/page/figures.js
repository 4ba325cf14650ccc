// Draws the figures with plotly, in the colours of the page.
let plotly = null;
const loadPlotly = () => plotly ??= unpack("plotly").then((source) => {
  document.head.append(element("script", { textContent: source }));
  return window.Plotly;
});
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dark = matchMedia("(prefers-color-scheme: dark)");
// Blackish and whitish colours of matplotlib are those of the page's text and background.
const themed = (code) => {
  if (code === "#000000" || code === "#262626") return colour("--text");
  const parts = code.match(/[0-9a-f]{2}/gi)?.map((part) => parseInt(part, 16)) ?? [];
  const light = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  // Dark shades would vanish in the dark: they are mixed with white.
  return dark.matches && light < 90 ? `rgb(${parts.map((part) => Math.round(part + 0.45 * (255 - part))).join()})` : code;
};
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
    for (const label of panel.labels) {
      const at = (value, log) => log ? Math.log10(value) : value;
      layout.annotations.push({ text: plain(label.text), xref: `x${i}`, yref: `y${i}`, x: at(label.x, xLog), y: at(label.y, yLog),
        xanchor: "left", yanchor: "top", xshift: 3, showarrow: false, font: { size: 10 }, visible: !chosen });
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
