// Small comforts of the pages; every one works without them.
(() => {
  "use strict";
  const form = document.getElementById("chosen");
  if (form) {
    const boxes = [...form.querySelectorAll("input[name=number]")];
    const place = form.querySelector(".tick-all");
    if (place && boxes.length) {
      const all = Object.assign(document.createElement("input"), { type: "checkbox" });
      all.setAttribute("aria-label", "Choose all on this page");
      all.addEventListener("change", () => boxes.forEach((box) => (box.checked = all.checked)));
      place.replaceWith(all);
    }
    const action = form.elements.action;
    const fit = () => form.querySelectorAll("[data-for]").forEach((part) => (part.hidden = part.dataset.for !== action.value));
    if (action) {
      action.addEventListener("change", fit);
      fit();
    }
  }
  document.querySelectorAll("[data-copy]").forEach((block) => {
    if (!navigator.clipboard) return;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: "Copy" });
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(block.textContent.trim());
      button.textContent = "Copied";
    });
    block.before(button);
  });
  const here = document.querySelector("nav.pages [aria-current]");
  if (here) here.parentElement.parentElement.parentElement.scrollLeft = here.offsetLeft - 60;
})();
