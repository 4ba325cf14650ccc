"use strict";
// Unpacks the data of the page, and draws the table of results and the runs of a cell.
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

// --- files: those beside the page are in it too, for a page that was sent alone ---
let files = null;
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-file]");
  if (!link) return;
  event.preventDefault();
  files ??= unpack("files").then(JSON.parse);
  const path = link.getAttribute("href"), address = URL.createObjectURL(new Blob([(await files)[path]], { type: "text/plain" }));
  element("a", { href: address, download: path.split("/").pop() }).click();
  URL.revokeObjectURL(address);
});

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

const setUpTable = (table, openCell, openCurves) => {
  const { columns, rows } = table;
  const known = new Set(columns.map((column) => column.id)), body = document.querySelector("#results tbody");
  const valueOf = (row, column) => column.text ? [row.labels[column.id], null, false, ""]
    : row.values[column.id] ?? ["", null, false, ""];
  let state = readState();
  const visible = () => {
    const chosen = state.get("columns")?.split(",");
    const room = innerWidth < 600 ? 3 : innerWidth < 1000 ? 6 : columns.length; // a narrow window begins with fewer
    return chosen ? columns.filter((column) => chosen.includes(column.id)) : columns.filter((column) => column.shown).slice(0, room);
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
  // Cells that are chosen for a figure of their curves stand in the address, too.
  const compare = document.getElementById("compare");
  const chosen = () => rows.filter((row) => state.get("compare")?.split(",").includes(row.id));
  const boxOf = (row) => {
    const name = `Curves of ${row.labels.rule}, ${row.labels.neuron}, ${row.labels.dataset}`;
    const box = element("input", { type: "checkbox", checked: chosen().includes(row), ariaLabel: name, onchange: () => {
      set("compare", rows.filter((one) => one === row ? box.checked : chosen().includes(one)).map((one) => one.id).join(","));
      writeState(state);
      compare.disabled = !chosen().length;
    } });
    return box;
  };
  compare.onclick = () => openCurves(chosen());
  const fill = () => {
    const shown = visible(), filters = columns.filter((column) => state.get(column.id));
    const kept = rows.filter((row) => filters.every((column) => {
      const [text, number] = valueOf(row, column);
      return accepts(state.get(column.id), text, number);
    })).sort(order);
    body.replaceChildren(...kept.map((row) => element("tr", {}, element("td", {}, boxOf(row)), ...shown.map((column) => cellOf(row, column)))));
    compare.disabled = !chosen().length;
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
    document.querySelector("#results thead").replaceChildren(element("tr", {}, element("td", { textContent: "curves", className: "soft" }), ...heads));
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
    if ([...wanted.keys()].some((name) => known.has(name) || ["sort", "columns", "compare"].includes(name))) {
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

// A figure of the curves of runs; a series has a name, runs and perhaps a colour, and each of its runs is a line.
const PALETTE = ["#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#949494", "#3aa7c9", "#ca9161"];
const curveFigure = (series) => {
  const runs = series.flatMap((one) => one.runs);
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.curve)))].filter((name) => name !== "epoch");
  if (!names.length) return element("p", { className: "soft", textContent: "No run left a learning curve." });
  const figure = element("figure", {}, element("div", { className: "tools" }), element("div", { className: "plot" }));
  const first = names.find((name) => name.startsWith("validation")) ?? names[0];
  const options = { log: {} };
  const select = element("select", {}, ...names.map((name) => element("option", { value: name, textContent: name, selected: name === first })));
  const draw = () => {
    const traces = series.flatMap(({ name, runs }, i) => runs.map((run) => ({ name, colour: PALETTE[i % PALETTE.length],
      x: run.curve.epoch ?? [], y: run.curve[select.value] ?? [], width: 1.6, dash: "solid", symbol: "circle", size: 5 })));
    const values = traces.flatMap((trace) => trace.x);
    const axis = (label, range) => ({ label, log: false, range });
    const panel = { row: 0, column: 0, title: "", texts: [], labels: [], levels: [], traces, x: axis("epoch", [Math.min(...values), Math.max(...values)]), y: axis(select.value, []) };
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
    element("h3", { textContent: "Command" }), element("pre", { textContent: run.command }),
    ...(run.link ? [element("p", {}, "Folder: ", element("a", { href: run.link, textContent: decodeURIComponent(run.link) }))] : []),
    definition(run.facts));
  const scroll = element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: `Measures of run ${run.id}` }, measures);
  if (run.measures.length) part.append(element("details", {}, element("summary", { textContent: `${run.measures.length} measures` }), scroll));
  part.append(run.log ? element("details", {}, element("summary", { textContent: `Log ${run.log_note}` }), element("pre", { textContent: run.log, tabIndex: 0 }))
    : element("p", { className: "soft", textContent: `Log: ${run.log_note || "empty"}` }));
  return part;
};

const opener = (allRuns) => {
  const dialog = document.getElementById("cell");
  const show = (...parts) => {
    dialog.replaceChildren(element("button", { className: "close", type: "button", textContent: "Close", onclick: () => dialog.close() }), ...parts);
    if (!dialog.open) dialog.showModal();
  };
  const runsOf = (row) => row.runs.map((i) => allRuns[i]);
  const nameOf = ({ labels }) => `${labels.rule} · ${labels.neuron} · ${labels.dataset}`;
  dialog.addEventListener("close", () => {
    const state = readState();
    state.delete("run");
    writeState(state);
  });
  const openCell = (row) => {
    const runs = runsOf(row), state = readState();
    state.set("run", row.id);
    writeState(state);
    show(element("h2", { id: "cell-title", textContent: nameOf(row) }),
      element("p", { className: "soft", textContent: `Suite ${row.labels.suite}, scale ${row.labels.scale}. ${row.note}` }),
      curveFigure(runs.map((run) => ({ name: `replicate ${run.replicate}`, runs: [run] }))), ...runs.map(runPart));
  };
  const openCurves = (rows) => show(element("h2", { id: "cell-title", textContent: "Learning curves" }),
    element("p", { className: "soft", textContent: "A line for each run of the chosen cells." }),
    curveFigure(rows.map((row) => ({ name: nameOf(row), runs: runsOf(row) }))));
  return [openCell, openCurves];
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
  setUpTable(data.table, ...opener(data.runs));
  for (const figure of document.querySelectorAll("figure[data-figure]")) {
    if (data.figures[figure.dataset.figure]) setUpFigure(figure, data.figures[figure.dataset.figure]);
  }
  document.documentElement.dataset.ready = "true";
});
