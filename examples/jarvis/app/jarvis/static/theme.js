"use strict";
// Runs before the page is painted, so that a chosen theme does not flash.
{
  let saved = null;
  try { saved = localStorage.getItem("theme"); } catch { /* storage may be switched off */ }
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = saved || (dark ? "dark" : "light");
}
