// A step of the backward pass: upstream × local = product, and sums where values fan out.

import { card, contents, shapeLine } from "./arrays";
import { h, hidden } from "./dom";
import { format, sizeOf, strengthOf, toNumber } from "./numbers";
import { equation, operator, section, stepLink } from "./pieces";
import type { View } from "./pieces";
import type { Term } from "./timeline";
import { upstreamsOf } from "./timeline";
import type { Arr, Call, Flow, Operation, Part } from "./types";

function unravel(at: number, shape: number[]): string {
  if (!shape.length) return "";
  const found: number[] = [];
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    found.unshift(at % shape[axis]!);
    at = Math.floor(at / shape[axis]!);
  }
  return `[${found.join(", ")}]`;
}

function signed(x: number): string {
  return x < 0 ? `(${format(x)})` : format(x);
}

/** One element worked out: the one with the largest product. */
function example(upstream: Arr, part: Part): HTMLElement | null {
  const g = upstream.values;
  const local = part.local?.array.values;
  const product = part.product.values;
  if (!g || !local || !product || product.length === 0) return null;
  let at = 0;
  product.forEach((value, i) => {
    const size = Math.abs(toNumber(value));
    if (size > Math.abs(toNumber(product[at])) || Number.isNaN(size)) at = i;
  });
  const where = product.length > 1 ? `For element ${unravel(at, part.product.shape)}: ` : "";
  let terms: [number, number][];
  if (part.local!.kind === "elementwise") {
    if (g.length !== local.length || g.length !== product.length) return null;
    if (product.length === 1) return null; // the cards show it
    terms = [[toNumber(g[at]), toNumber(local[at])]];
  } else {
    if (local.length !== g.length * product.length) return null;
    terms = g.map((one, i) => [toNumber(one), toNumber(local[i * product.length + at])]);
    const counting = terms.filter(([a, b]) => a !== 0 && b !== 0);
    if (counting.length) terms = counting;
  }
  const shown = terms.slice(0, 4).map(([a, b]) => `${signed(a)} × ${signed(b)}`);
  const rest = terms.length > 4 ? ` + … (${terms.length} terms)` : "";
  return h(
    "p.worked",
    {},
    where,
    h("span.numbers", {}, `${shown.join(" + ")}${rest} = ${format(product[at])}`),
  );
}

/** Why the gradient is gone, or that it shrinks or grows. */
function verdict(upstreams: Arr[], part: Part): HTMLElement | null {
  const after = strengthOf(part.product);
  const before = upstreams.map(strengthOf);
  if (after.kind === "broken") {
    const already = before.some((one) => one.kind === "broken");
    return h(
      "p.hint.alarm",
      {},
      already
        ? "The gradient is not finite: NaN or infinity had already arrived from upstream."
        : "The gradient is not finite from here on: what arrived was finite, the product is not.",
    );
  }
  if (after.kind === "zero") {
    if (before.every((one) => one.kind === "zero" || one.kind === "empty")) {
      return h("p.hint", {}, "The gradient is zero here because what arrived from upstream is already zero.");
    }
    const local = part.local?.array;
    const dead = local && strengthOf(local).kind === "zero";
    return h(
      "p.hint.alarm",
      {},
      dead
        ? "The gradient ends here: a gradient arrived, but the local derivative is zero everywhere."
        : "The gradient ends here: a gradient arrived, but its product with the local derivative is zero.",
    );
  }
  const first = before[0];
  if (after.kind === "some" && before.length === 1 && first?.kind === "some") {
    const factor = after.norm / first.norm;
    if (factor < 0.01 || factor > 100) {
      const verb = factor < 1 ? "shrinks" : "grows";
      return h("p.hint", {}, `The gradient's norm ${verb} here by the factor ${format(factor, 3)}.`);
    }
  }
  return null;
}

function formulaFor(operation: Operation | undefined, input: string): string | null {
  const all = operation?.formulas ?? [];
  const own = all.find((one) => one.input === input) ?? all.find((one) => one.input === "all inputs" || one.input === "joint");
  return own?.text ?? null;
}

/** The terms of a gradient with plus signs between them, each named by the step it comes from. */
export function sumOfTerms(view: View, terms: Term[], what: string, total: Arr | null): HTMLElement {
  const items: HTMLElement[] = [];
  terms.slice(0, 8).forEach((term, i) => {
    const flow = view.timeline.iteration.flows[term.flow]!;
    const call = flow.call === null ? null : view.timeline.iteration.calls[flow.call];
    const from = call ? view.index.title(call) : flow.operation;
    const input = call?.inputs[term.part.input]?.name;
    if (i > 0) items.push(operator("+"));
    const name = h(
      "span",
      {},
      stepLink(view, view.timeline.stepOfFlow(term.flow), `from ${from}`),
      input ? `, its ${input}` : "",
    );
    items.push(card(name, term.part.product, { tone: "backward", label: `term from ${from}` }));
  });
  if (terms.length > 8) {
    items.push(operator("+"), h("p.quiet", {}, `${terms.length - 8} more terms`));
  }
  if (total) {
    items.push(operator("="), card("sum", total, { tone: "result", label: `sum for ${what}` }));
  }
  return equation("sum", `The gradient of ${what} as a sum`, ...items);
}

function fanOut(view: View, flow: Flow, call: Call): HTMLElement | null {
  const totals = Array.isArray(flow.upstream) ? flow.upstream : [flow.upstream];
  const found = call.outputs.flatMap((out, i) => {
    const terms = view.timeline.termsOf(out, flow.pass);
    if (terms.length < 2) return [];
    return [sumOfTerms(view, terms, view.index.nameOf(out), totals[i] ?? null)];
  });
  if (!found.length) return null;
  return section(
    "The gradient that arrives is a sum",
    h(
      "p.prose",
      {},
      "The output fans out: it was used more than once, and every use sends a gradient back. " +
        "A small change of the output acts through all of them, so they add up.",
    ),
    ...found,
  );
}

/** The other terms of an input's gradient, where this product is one of several. */
function shareNote(view: View, flow: Flow, part: Part, at: number): HTMLElement | null {
  if (part.value === null) return null;
  const terms = view.timeline.termsOf(part.value, flow.pass);
  if (terms.length < 2) return null;
  const position = terms.findIndex((one) => one.flow === at && one.part === part);
  const others = terms.filter((_, i) => i !== position);
  return h(
    "p.value-note.share",
    {},
    `Term ${position + 1} of ${terms.length} of this value's gradient; the others come `,
    others.slice(0, 4).map((one, i) => [
      i ? ", " : "",
      stepLink(
        view,
        view.timeline.stepOfFlow(one.flow),
        `from ${view.timeline.iteration.flows[one.flow]!.operation}`,
      ),
    ]),
    others.length > 4 ? " …" : "",
    ".",
  );
}

function localCard(part: Part, input: string, formula: string | null): HTMLElement {
  if (part.local) {
    const matrix = part.local.kind === "jacobian";
    return card(`∂output / ∂${input}`, part.local.array, {
      tone: "local",
      label: `local derivative by ${input}`,
      note: matrix ? "Jacobian: a row per output element, a column per input element" : null,
    });
  }
  return h(
    "div.value.local",
    {},
    h("div.value-head", {}, h("span.value-name", {}, `∂output / ∂${input}`)),
    h(
      "p.quiet",
      {},
      formula
        ? "Never formed as a matrix: the rule above applies it to the gradient g directly."
        : "Never formed as a matrix: the operation applies it to the gradient directly.",
    ),
  );
}

function partSection(view: View, at: number, flow: Flow, call: Call | null, part: Part): HTMLElement {
  const operation = view.index.story.operations[flow.operation];
  const slot = call?.inputs[part.input];
  const input = slot?.name ?? `input ${part.input + 1}`;
  const value = part.value ?? slot?.value ?? null;
  const own = value === null ? "" : (view.index.iteration.values[value]?.name ?? "");
  const formula = formulaFor(operation, input);
  const upstreams = upstreamsOf(flow);
  const elementwise = part.local?.kind === "elementwise";
  const times = elementwise ? "×" : "·";
  const several = upstreams.length > 1;
  const maker = value === null ? null : (view.index.iteration.values[value]?.made_by ?? null);
  const goes =
    maker === null
      ? own
        ? `It is the gradient of ${own}.`
        : ""
      : "It goes on to ";
  return section(
    own && own !== input ? `For ${input} = ${own}` : `For ${input}`,
    formula
      ? h("p.formula", {}, hidden("Rule: "), h("span.formula-left", {}, `∂loss / ∂${input} = `), h("code", {}, formula))
      : null,
    equation(
      "chain",
      `Upstream times local is the product, for ${input}`,
      ...(several
        ? [h("div.value.backward", {}, h("div.value-head", {}, h("span.value-name", {}, "upstream g")), h("p.quiet", {}, `the ${upstreams.length} arrays above`))]
        : upstreams.map((one) => card("upstream g", one, { tone: "backward", label: "upstream gradient" }))),
      operator(times, elementwise ? "times, element by element" : "times"),
      localCard(part, input, formula),
      operator("="),
      h(
        "div.value.result",
        {},
        h(
          "div.value-head",
          {},
          h("span.value-name", {}, `∂loss / ∂${input}`),
          h("span.shape", {}, shapeLine(part.product)),
        ),
        contents(part.product, `product for ${input}`),
        shareNote(view, flow, part, at),
      ),
    ),
    !several && upstreams[0] ? example(upstreams[0], part) : null,
    verdict(upstreams, part),
    goes
      ? h(
          "p.value-note",
          {},
          goes,
          maker === null
            ? ""
            : stepLink(view, view.timeline.stepOfCallsFlow(maker), view.index.title(view.index.iteration.calls[maker])),
          maker === null ? "" : ".",
        )
      : null,
  );
}

/** The inputs that no gradient goes to, and why. */
function withoutGradient(view: View, flow: Flow, call: Call | null): HTMLElement[] {
  const { index } = view;
  const found: HTMLElement[] = [];
  call?.inputs.forEach((one, i) => {
    const value = index.iteration.values[one.value];
    if (value?.kind === "constant" || flow.parts.some((part) => part.input === i)) return;
    const maker = value?.made_by === null || value === undefined ? null : index.iteration.calls[value.made_by];
    const start = `No gradient goes to ${one.name}: `;
    if (!index.needsGradient(one.value)) {
      found.push(h("p.hint", {}, `${start}nothing that is learned lies behind it.`));
    } else if (maker && !maker.recorded) {
      const link = stepLink(view, view.timeline.stepOfCall(value!.made_by!), index.title(maker));
      found.push(h("p.hint.alarm", {}, start, "it was cut off by ", link, ", which the tape has no record of."));
    } else {
      found.push(h("p.hint", {}, `${start}none was asked for, or the rule has none.`));
    }
  });
  return found;
}

export function backwardPanel(view: View, at: number): HTMLElement[] {
  const flow = view.timeline.iteration.flows[at]!;
  const call = flow.call === null ? null : (view.timeline.iteration.calls[flow.call] ?? null);
  const found: HTMLElement[] = [];
  if (flow.call !== null) {
    found.push(
      h("p.twin", {}, stepLink(view, view.timeline.stepOfCall(flow.call), "See this operation in the forward pass")),
    );
  }
  const sum = call && fanOut(view, flow, call);
  if (sum) found.push(sum);
  if (Array.isArray(flow.upstream) && flow.upstream.length > 1) {
    found.push(
      section(
        "Upstream gradients, one for each output",
        h(
          "div.values",
          {},
          flow.upstream.map((one, i) =>
            one
              ? card(`g of output ${i + 1}`, one, { tone: "backward" })
              : h("p.quiet", {}, `Output ${i + 1} has no gradient: the loss does not depend on it.`),
          ),
        ),
      ),
    );
  }
  for (const part of flow.parts) found.push(partSection(view, at, flow, call, part));
  if (!flow.parts.length) {
    const arrived = upstreamsOf(flow);
    found.push(
      section(
        "The gradient ends here",
        h("div.values", {}, arrived.map((one) => card("upstream g", one, { tone: "backward" }))),
        h("p.hint", {}, "No input of this operation asks for a gradient."),
      ),
    );
  }
  if (flow.parts.length) found.push(...withoutGradient(view, flow, call));
  if (sizeOf(upstreamsOf(flow)[0] ?? { shape: [1], dtype: "" }) === 0) {
    found.push(h("p.hint", {}, "The arrays are empty, so the gradient is empty too."));
  }
  return found;
}
