// Draws the figures of the chosen language in place of their still pictures, and says numbers under the pointer.

const NARROW = 520;
const GAP = 74;
const LONG = 16;

function layersOf(spec) {
  return (spec.spec || spec).layer;
}

function fitted(spec, width) {
  const copy = structuredClone(spec);
  if (copy.facet) {
    copy.columns = width < NARROW ? 1 : copy.columns;
    copy.spec.width = Math.floor(width / copy.columns) - GAP;
  } else {
    copy.width = width;
  }
  if (width < NARROW) {
    narrowLegend(copy);
  }
  return copy;
}

// Where there is no room for names at the ends of the lines, a legend takes their place; long names stand in a column.
function narrowLegend(spec) {
  const layers = layersOf(spec);
  const named = layers.some((layer) => layer.name === "names");
  if (named) {
    layers.splice(0, layers.length, ...layers.filter((layer) => layer.name !== "names"));
    delete spec.padding;
  }
  const pointed = layers.some((layer) => layer.encoding && layer.encoding.shape);
  for (const layer of layers) {
    for (const channel of ["color", pointed ? "shape" : "strokeDash"]) {
      const encoding = layer.encoding && layer.encoding[channel];
      if (encoding && encoding.field === "series" && (named || encoding.legend)) {
        const columns = Math.max(...encoding.scale.domain.map((name) => name.length)) > LONG ? 1 : 2;
        encoding.legend = { title: null, columns, ...(pointed ? {} : { symbolType: "stroke" }) };
      }
    }
  }
}

const pointer = document.createElement("div");
pointer.id = "pointer";
pointer.hidden = true;
document.body.append(pointer);

function say(handler, event, item, value) {
  pointer.hidden = value === null || value === undefined || value === "";
  if (pointer.hidden) {
    return;
  }
  const lines = Object.entries(value).map(([key, shown]) => {
    const line = document.createElement("div");
    line.textContent = key.trim() ? `${key}: ${shown}` : String(shown);
    return line;
  });
  pointer.replaceChildren(...lines);
  const room = document.documentElement.clientWidth - pointer.offsetWidth - 12;
  pointer.style.left = `${Math.max(8, Math.min(event.clientX + 14, room))}px`;
  pointer.style.top = `${event.clientY + 16}px`;
}

async function draw(drawing) {
  const width = drawing.clientWidth;
  if (!width || drawing.dataset.width === String(width)) {
    return;
  }
  drawing.dataset.width = String(width);
  const spec = JSON.parse(document.getElementById(drawing.dataset.spec).textContent);
  const live = drawing.querySelector(".live");
  const options = { ast: true, actions: false, defaultStyle: false, renderer: "svg", tooltip: say };
  try {
    await vegaEmbed(live, fitted(spec, width), options);
    drawing.classList.add("drawn");
  } catch (fault) {
    drawing.classList.remove("drawn");
    console.error(fault);
  }
}

function drawAll() {
  document.querySelectorAll("[data-spec]").forEach(draw);
}

document.addEventListener("change", (event) => {
  if (event.target.name === "language") {
    document.documentElement.lang = event.target.value === "zh" ? "zh-Hans" : "en";
    drawAll();
  }
});
let waiting = 0;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(drawAll, 150);
});
document.documentElement.lang = document.getElementById("language-zh").checked ? "zh-Hans" : "en";
drawAll();
