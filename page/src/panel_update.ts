// An update: value + step = new value, and what the optimizer made the step of.

import { card } from "./arrays";
import { h, hidden } from "./dom";
import { format } from "./numbers";
import { sumOfTerms } from "./panel_backward";
import { equation, operator, section, stepLink } from "./pieces";
import type { View } from "./pieces";
import type { Num } from "./types";

/** The rules in their plain forms; settings such as weight decay add to them. */
const RULES: Record<string, string> = {
  SGD: "step = −lr · gradient   (with momentum: −lr · buffer, buffer ← momentum · buffer + gradient)",
  Adam: "step = −lr · m̂ / (√v̂ + eps),   m: mean of gradients, v: mean of their squares, both corrected for the start at 0",
  AdamW: "step = −lr · m̂ / (√v̂ + eps) − lr · weight_decay · value,   m: mean of gradients, v: mean of their squares",
  RMSprop: "step = −lr · gradient / (√v + eps),   v: moving mean of squared gradients",
  Adagrad: "step = −lr · gradient / (√sum + eps),   sum: of all squared gradients so far",
  Lion: "step = −lr · sign(β₁ · m + (1 − β₁) · gradient) − lr · weight_decay · value",
};

function settingText(value: unknown): string {
  if (typeof value === "number" || value === "nan" || value === "inf" || value === "-inf") {
    return format(value as Num);
  }
  if (Array.isArray(value)) return value.map(settingText).join(", ");
  if (value === null || value === undefined) return "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export function updatePanel(view: View, at: number): HTMLElement[] {
  const update = view.timeline.iteration.updates[at]!;
  const value = update.value;
  const found: HTMLElement[] = [];
  const rule = RULES[update.optimizer];
  if (rule) found.push(h("p.formula", {}, hidden("Rule: "), h("code", {}, rule)));
  found.push(
    section(
      "Value + step = new value",
      equation(
        "sum",
        "The value plus the step is the new value",
        card("before", update.before),
        operator("+"),
        card("step", update.step, { tone: "update" }),
        operator("="),
        card("after", update.after, { tone: "result-update" }),
      ),
    ),
  );
  const made: HTMLElement[] = [];
  if (update.gradient) {
    made.push(card("gradient ∂loss / ∂value", update.gradient, { tone: "backward" }));
  } else {
    made.push(h("p.hint", {}, "There is no gradient, so the optimizer leaves this parameter alone."));
  }
  found.push(section("The gradient it is made of", h("div.values", {}, made)));
  if (value !== null) {
    const terms = view.timeline.iteration.passes.flatMap((_, pass) => view.timeline.termsOf(value, pass));
    const first = terms[0];
    if (terms.length > 1) {
      found.at(-1)!.append(
        h("p.value-note", {}, `The parameter is used ${terms.length} times; the gradient is the sum of what comes back:`),
        sumOfTerms(view, terms, update.parameter, null),
      );
    } else if (first) {
      const flow = view.timeline.iteration.flows[first.flow]!;
      const call = flow.call === null ? null : view.timeline.iteration.calls[flow.call];
      const name = call ? view.index.title(call) : flow.operation;
      const link = stepLink(view, view.timeline.stepOfFlow(first.flow), name);
      found.at(-1)!.append(h("p.value-note", {}, "It came from ", link, "."));
    }
  }
  if (update.slots.length) {
    found.push(
      section(
        "What the optimizer remembers",
        h(
          "div.slots",
          {},
          update.slots.map((slot) =>
            equation(
              "slot",
              `${slot.name}, before and after`,
              slot.before
                ? card(`${slot.name} before`, slot.before)
                : h("div.value", {}, h("div.value-head", {}, h("span.value-name", {}, `${slot.name} before`)), h("p.quiet", {}, "not there yet")),
              operator("→", "becomes"),
              card(`${slot.name} after`, slot.after, { tone: "update" }),
            ),
          ),
        ),
      ),
    );
  }
  // What isn't set says nothing.
  const settings = Object.entries(update.settings ?? {})
    .filter(([, one]) => one !== null)
    .sort(([a], [b]) => Number(b === "lr") - Number(a === "lr"));
  if (settings.length) {
    found.push(
      section(
        `Settings of ${update.optimizer}`,
        h(
          "dl.settings",
          {},
          settings.map(([name, one]) => h("div", {}, h("dt", {}, name), h("dd", {}, settingText(one)))),
        ),
      ),
    );
  }
  return found;
}
