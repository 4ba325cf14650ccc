// A table that is wider than the page scrolls, also by the arrow keys: the element that scrolls takes the focus.
function markWideTables() {
  for (const region of document.querySelectorAll(".md-typeset__scrollwrap"))
    if (region.scrollWidth > region.clientWidth) region.tabIndex = 0;
    else region.removeAttribute("tabindex");
}
addEventListener("load", () => requestAnimationFrame(markWideTables)); // the theme wraps the tables before
addEventListener("resize", markWideTables);
