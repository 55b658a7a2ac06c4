// The theme switch. Runs before the first paint so that a saved choice never flashes.
(function () {
  "use strict";
  const KEY = "theme";
  const root = document.documentElement;

  function savedChoice() {
    try {
      const saved = window.localStorage.getItem(KEY);
      return saved === "light" || saved === "dark" ? saved : "";
    } catch (_error) {
      return "";
    }
  }

  function shownTheme() {
    if (root.dataset.bsTheme) return root.dataset.bsTheme;
    return window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }

  function choose(theme) {
    root.dataset.bsTheme = theme;
    try {
      window.localStorage.setItem(KEY, theme);
    } catch (_error) {
      // A browser that forbids storage still switches for this page.
    }
  }

  const saved = savedChoice();
  if (saved) root.dataset.bsTheme = saved;

  document.addEventListener("DOMContentLoaded", function () {
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      const tell = function () {
        button.setAttribute("aria-label", "Switch to " + (shownTheme() === "dark" ? "light" : "dark") + " theme");
        button.title = button.getAttribute("aria-label");
      };
      tell();
      button.hidden = false;
      button.addEventListener("click", function () {
        choose(shownTheme() === "dark" ? "light" : "dark");
        tell();
      });
    }
  });
})();
