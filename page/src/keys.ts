// Keys that step, and a switch that turns them off.

import { h } from "./dom";
import type { PlayerActions } from "./player";

const HELP: [string, string][] = [
  ["← →", "previous, next step"],
  ["Home End", "first, last step"],
  ["[ ] or PageUp PageDown", "previous, next layer"],
  ["↑ ↓ in the graph", "from node to node"],
  ["Enter on a node", "unfold it, or go to its step"],
];

export function keys(actions: PlayerActions, last: () => number): HTMLElement {
  const toggle = h<HTMLInputElement>("input", { type: "checkbox", id: "keys-on", checked: true });
  document.addEventListener("keydown", (event) => {
    if (!toggle.checked || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const target = event.target as Element | null;
    // They have a use of their own in fields.
    if (target?.closest("input, select, textarea, [contenteditable]") && target !== toggle) return;
    switch (event.key) {
      case "ArrowLeft":
        actions.move(-1);
        break;
      case "ArrowRight":
        actions.move(1);
        break;
      case "Home":
        actions.go(0);
        break;
      case "End":
        actions.go(last());
        break;
      case "[":
      case "PageUp":
        actions.layer(-1);
        break;
      case "]":
      case "PageDown":
        actions.layer(1);
        break;
      default:
        return;
    }
    event.preventDefault();
  });
  return h(
    "details.keys",
    {},
    h("summary", {}, "Keys"),
    h(
      "div.keys-body",
      {},
      h("dl", {}, HELP.map(([key, what]) => h("div", {}, h("dt", {}, key), h("dd", {}, what)))),
      h("p", {}, toggle, " ", h("label", { for: "keys-on" }, "Keys step through the iteration")),
    ),
  );
}
