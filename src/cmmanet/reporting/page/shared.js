"use strict";

// What goes wrong is left where a test of the page finds it.
function failed(reason) {
  document.documentElement.dataset.failed = String(reason);
}
window.addEventListener("error", (event) => failed(event.message));
window.addEventListener("unhandledrejection", (event) => failed(event.reason));

function dataOf(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

// A box that has nothing to scroll needs no stop of the Tab key.
function stopWhereItScrolls() {
  for (const box of document.querySelectorAll(".scroll")) {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    box.tabIndex = scrolls ? 0 : -1;
  }
}
window.addEventListener("resize", stopWhereItScrolls);
document.addEventListener("toggle", stopWhereItScrolls, true);
stopWhereItScrolls();
