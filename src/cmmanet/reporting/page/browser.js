function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function percent(fraction) {
  return fraction === null ? "–" : `${(100 * fraction).toFixed(1)}\u00a0%`;
}

// A tracklet with lines of text below it. The text says all that is to be known of the picture.
function card(name, className, tracklet, lines) {
  const made = element(name, className, "");
  const figure = element("figure", "", "");
  const image = element("img", "", "");
  image.src = tracklet.image;
  image.alt = "";
  const caption = element("figcaption", "", "");
  caption.append(...lines.map((line, place) => element(place ? "div" : "strong", "", line)));
  figure.append(image, caption);
  made.append(figure);
  return made;
}

function described(tracklet) {
  return [`pid ${tracklet.pid}`, `camera ${tracklet.camera}`];
}

function browse(browser) {
  const data = dataOf(browser.dataset.retrievals);
  const arm = browser.querySelector(".arm");
  const place = browser.querySelector(".place");
  const told = browser.querySelector(".told");
  const answered = browser.querySelector(".answered");

  const show = () => {
    const query = data.queries[place.value - 1];
    const found = query.answers[arm.value];
    const right = found.right.filter(Boolean).length;
    const which = `Query ${place.value} of ${data.queries.length}`;
    place.setAttribute("aria-valuetext", `${which}: ${query.name}`);
    told.textContent =
      `${which}, ${query.name}, by ${arm.value}: AP ${percent(found.ap)}, first true match ` +
      `at rank ${found.first_right_rank ?? "–"}, ${right} of the first ${found.rows.length} right.`;
    const answers = element("ol", "answers", "");
    found.rows.forEach((row, rank) => {
      const tracklet = data.tracklets[row];
      const verdict = found.right[rank] ? "right" : "wrong";
      const mark = found.right[rank] ? "✓" : "✗";
      answers.append(card("li", verdict, tracklet, [
        `${rank + 1}. ${mark} ${verdict}`,
        ...described(tracklet),
        `distance ${found.distances[rank].toFixed(3)}`,
      ]));
    });
    const asked = card("div", "query", data.tracklets[query.row], ["query", ...described(query)]);
    answered.replaceChildren(asked, answers);
  };
  const step = (by) => {
    place.stepUp(by);
    show();
  };

  arm.addEventListener("change", show);
  place.addEventListener("input", show);
  browser.querySelector(".previous").addEventListener("click", () => step(-1));
  browser.querySelector(".next").addEventListener("click", () => step(1));
  show();
}

document.querySelectorAll(".browser").forEach(browse);
