// `ast`: expressions are interpreted, for the page forbids programs made from text.
const DRAWING = { actions: false, ast: true, renderer: "svg" };

async function draw(chart) {
  const plot = chart.querySelector(".plot");
  const { view } = await vegaEmbed(plot, dataOf(chart.dataset.chart), DRAWING);
  const boxes = [...chart.querySelectorAll("input")];
  const term = chart.querySelector("select");
  const update = () => {
    view.signal("arms", boxes.filter((box) => box.checked).map((box) => box.value));
    if (term) {
      view.signal("term", term.value);
    }
    return view.runAsync();
  };
  chart.addEventListener("change", update);
  await update();
}

Promise.all([...document.querySelectorAll(".chart")].map(draw))
  .then(() => { document.documentElement.dataset.charts = "drawn"; })
  .catch(failed);
