// What is wrong with the page that is shown, as a list of sentences. Runs inside the page, changes nothing.
() => {
  const problems = [];
  const describe = (element) => {
    const words = (element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);
    const css = typeof element.className === "string" && element.className ? "." + element.className.split(" ")[0] : "";
    return `<${element.tagName.toLowerCase()}${css}> "${words}"`;
  };
  const isShown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const isForReadersOnly = (element) => element.closest(".visually-hidden, .chain-list, thead") !== null
    && element.closest(".visually-hidden, .chain-list, thead").getBoundingClientRect().width <= 1;

  // One title, one heading.
  if (!document.title.trim()) problems.push("the document has no title");
  const headings = [...document.querySelectorAll("h1")].filter(isShown);
  if (headings.length !== 1) problems.push(`${headings.length} visible h1`);

  // Nothing to scroll sideways, nothing that sticks out.
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > window.innerWidth) {
    const wide = [...document.body.querySelectorAll("*")].filter((e) => isShown(e) && e.getBoundingClientRect().right > width + 1);
    problems.push(`scrolls sideways by ${document.documentElement.scrollWidth - window.innerWidth} px: ${wide.slice(-2).map(describe).join(", ")}`);
  }
  for (const box of document.querySelectorAll(".table-scroll")) {
    if (isShown(box) && box.scrollWidth > box.clientWidth + 1) problems.push(`a table scrolls sideways by ${box.scrollWidth - box.clientWidth} px`);
  }

  // Everything that is filled in or pressed has a name, and ids are unique.
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    const named = [...(field.labels || [])].some((label) => label.textContent.trim()) || field.getAttribute("aria-label") || field.getAttribute("aria-labelledby");
    if (!named) problems.push(`no label: ${field.outerHTML.slice(0, 80)}`);
  }
  for (const pressed of document.querySelectorAll("a[href], button, summary")) {
    if (!isShown(pressed)) continue;
    if (!pressed.textContent.trim() && !pressed.getAttribute("aria-label")) problems.push(`no name: ${pressed.outerHTML.slice(0, 80)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids.filter((one, index) => ids.indexOf(one) !== index))) problems.push(`id ${id} is there twice`);

  // Contrast of text with what is behind it (WCAG 2.2, 1.4.3).
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (text) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = text;
    pen.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const luminance = (colour) => {
    const [red, green, blue] = colour.slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || seen.has(element) || !isShown(element) || element.closest("script, style")) continue;
    seen.add(element);
    if (isForReadersOnly(element)) continue;
    const style = getComputedStyle(element);
    const isDrawn = element.closest("svg") !== null;
    // The initials stand on a shape, whose fill is the background that counts.
    const outline = isDrawn && element.closest(".shape") ? element.closest(".shape").querySelector("circle, rect, path") : null;
    const below = outline ? over(rgba(getComputedStyle(outline).fill), behind(element.closest("svg").parentElement)) : behind(isDrawn ? element.closest("svg").parentElement : element);
    let opacity = 1;
    for (let at = element; at; at = at.parentElement) opacity *= parseFloat(getComputedStyle(at).opacity);
    const colour = rgba(isDrawn ? style.fill : style.color);
    const ink = over([...colour.slice(0, 3), colour[3] * opacity], below);
    const [light, dark] = [luminance(ink), luminance(below)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) problems.push(`contrast ${ratio.toFixed(2)}: ${describe(element)}`);
  }
  return problems;
}
