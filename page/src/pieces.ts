// What the panels are made of.

import { h } from "./dom";
import type { Index } from "./index";
import type { Timeline } from "./timeline";

export interface View {
  timeline: Timeline;
  index: Index;
  /** The address of a step of this iteration. */
  link: (step: number) => string;
}

export function stepLink(view: View, step: number | undefined, text: string): HTMLElement {
  if (step === undefined) return h("span", {}, text);
  return h("a.step-link", { href: view.link(step) }, text);
}

/** A section of the panel. */
export function section(title: string, ...children: (Node | string | null)[]): HTMLElement {
  return h("section.part", {}, h("h3", {}, title), ...children);
}

export function operator(sign: string, spoken = sign): HTMLElement {
  return h(
    "span.operator",
    {},
    spoken === sign ? sign : [h("span.hidden", {}, spoken), h("span", { "aria-hidden": "true" }, sign)],
  );
}

/** Cards in a row with signs between them; a sign stays with the card after it. */
export function equation(kind: string, label: string, ...items: HTMLElement[]): HTMLElement {
  const row = h(`div.equation.${kind}`, { role: "group", "aria-label": label });
  let pair: HTMLElement | null = null;
  for (const item of items) {
    if (item.classList.contains("operator")) {
      pair = h("div.pair", {}, item);
      row.append(pair);
    } else if (pair) {
      pair.append(item);
      pair = null;
    } else {
      // Where the cards stand below each other, they have one left edge.
      row.append(h("div.pair", {}, h("span.operator", { "aria-hidden": "true" }), item));
    }
  }
  return row;
}
