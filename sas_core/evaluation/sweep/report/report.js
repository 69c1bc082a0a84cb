// Draws the report's plots in the colours of the reader's scheme, and saves them, always on white.
(() => {
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const LIGHT = { text: "#1c2530", grid: "#e6ebef", ground: "#ffffff", line: "#d3dae1" };
  const DARK = { text: "#e3e8ed", grid: "#262e37", ground: "#0e1216", line: "#37414c" };
  const CONFIG = { displayModeBar: false, responsive: true, showTips: false };

  function themed(figure, colours, ground) {
    const { data, layout } = structuredClone(figure);
    Object.assign(layout, {
      font: { family: "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", size: 13, color: colours.text },
      paper_bgcolor: ground, plot_bgcolor: ground, dragmode: false,
    });
    layout.hoverlabel = {
      ...layout.hoverlabel, bgcolor: colours.ground, bordercolor: colours.line, font: { color: colours.text },
    };
    for (const key of Object.keys(layout).filter((name) => /^[xy]axis/.test(name))) {
      Object.assign(layout[key], { gridcolor: colours.grid, linecolor: colours.line, fixedrange: true });
    }
    return { data, layout };
  }

  // On a narrow screen a legend inside would leave no room for the plot.
  const narrow = matchMedia("(max-width: 34rem)");
  const plain = (name) => name.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

  function listLegend({ place, figure }) {
    const list = document.createElement("p");
    list.className = "arms";
    const named = figure.data.filter((trace) => trace.name && trace.showlegend !== false);
    named.sort((a, b) => (a.legendrank ?? 1000) - (b.legendrank ?? 1000));
    for (const trace of named) {
      const [entry, swatch] = [document.createElement("span"), document.createElement("i")];
      swatch.style.borderTop = `3px ${{ solid: "solid", dot: "dotted" }[trace.line?.dash ?? "solid"] ?? "dashed"}`;
      swatch.style.borderColor = trace.line?.color ?? trace.marker?.color;
      entry.append(swatch, plain(trace.name));
      list.append(entry);
    }
    if (figure.layout.showlegend !== false) place.querySelector(".scroll").before(list);
  }

  const plots = [...document.querySelectorAll("figure.plot")].map((place) => ({
    place,
    canvas: place.querySelector(".canvas"),
    figure: JSON.parse(place.querySelector("script").textContent),
  }));

  // Paper is narrower than a screen, and a page that is printed is not told its new width in time.
  const PAPER_WIDTH = 660;

  function draw(dark, width) {
    for (const { canvas, figure } of plots) {
      const { data, layout } = themed(figure, dark ? DARK : LIGHT, "rgba(0,0,0,0)");
      if (narrow.matches && !width) layout.showlegend = false;
      if (width) layout.width = width;
      Plotly.react(canvas, data, layout, CONFIG);
    }
  }

  function save({ place, canvas, figure }, format) {
    const { data, layout } = themed(figure, LIGHT, "#ffffff");
    const title = place.querySelector("h3").textContent;
    const room = 40;
    const escaped = title.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
    const height = layout.height + room;
    layout.height = height;
    layout.title = { text: escaped, x: 0, xref: "paper", y: 1 - 20 / height, yref: "container", font: { size: 16 } };
    layout.margin = { ...layout.margin, t: (layout.margin.t || 0) + room, b: (layout.margin.b || 0) + 12, l: 24, r: 24 };
    const width = Math.max(800, canvas.clientWidth);
    return Plotly.downloadImage({ data, layout }, {
      format, width, height, scale: format === "png" ? 2 : 1, filename: place.dataset.name,
    });
  }

  for (const plot of plots) {
    listLegend(plot);
    for (const button of plot.place.querySelectorAll("button")) {
      button.addEventListener("click", () => save(plot, button.dataset.format));
    }
  }
  scheme.addEventListener("change", () => draw(scheme.matches));
  narrow.addEventListener("change", () => draw(scheme.matches));
  addEventListener("beforeprint", () => draw(false, PAPER_WIDTH));
  addEventListener("afterprint", () => {
    draw(scheme.matches);
    for (const { canvas } of plots) Plotly.Plots.resize(canvas);
  });
  draw(scheme.matches);
})();
