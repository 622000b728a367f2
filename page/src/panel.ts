// The panel of a step: what happens, where it stands in the program, with which numbers.

import { card } from "./arrays";
import { STAGE_NAMES } from "./describe";
import { h, hidden } from "./dom";
import { format } from "./numbers";
import { backwardPanel } from "./panel_backward";
import { updatePanel } from "./panel_update";
import { section, stepLink } from "./pieces";
import type { View } from "./pieces";
import type { Step } from "./timeline";
import type { Call, Operation } from "./types";

export function place(view: View, call: Call | null): HTMLElement | null {
  if (!call) return null;
  const path = view.index.modulePath(call.module);
  const module = call.module === null ? null : view.index.story.modules[call.module];
  const source = view.index.source(call.source);
  if (!path && !source) return null;
  return h(
    "div.place",
    {},
    path
      ? h(
          "p.module",
          {},
          h("span.term", {}, "Module "),
          h("span.path", {}, path),
          module?.type && module.type !== path ? h("span.type", {}, module.type) : null,
        )
      : null,
    source
      ? h(
          "figure.source",
          {},
          h("figcaption", {}, `${source.file}:${source.line}`, source.function ? `, in ${source.function}` : ""),
          source.text ? h("pre", { tabindex: "0" }, h("code", {}, source.text)) : null,
        )
      : null,
  );
}

function attributes(call: Call): HTMLElement | null {
  const entries = Object.entries(call.attributes ?? {});
  if (!entries.length) return null;
  return h(
    "dl.settings",
    {},
    entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))),
  );
}

export function standsFor(operation: Operation | undefined): HTMLElement | null {
  if (!operation?.stands_for) return null;
  return h(
    "div.fused",
    {},
    h("p.fused-head", {}, "A fused operation: one step that stands for several"),
    h("pre", { tabindex: "0" }, h("code", {}, operation.stands_for)),
  );
}

/** Where a value comes from: a link to the step that made it, or its kind. */
function origin(view: View, value: number): HTMLElement | string {
  const found = view.index.iteration.values[value];
  if (!found) return "";
  if (found.made_by !== null) {
    const call = view.index.iteration.calls[found.made_by];
    return stepLink(view, view.timeline.stepOfCall(found.made_by), `from ${view.index.title(call)}`);
  }
  const kinds = { parameter: "a parameter, learned", input: "an input", constant: "a constant", result: "made elsewhere" };
  return kinds[found.kind];
}

function users(view: View, value: number): HTMLElement | null {
  const found = view.index.usersOf(value);
  const shown = found.slice(0, 6);
  if (!found.length) return null;
  const links = shown.map(({ call }) => {
    const used = view.index.iteration.calls[call];
    return h("li", {}, stepLink(view, view.timeline.stepOfCall(call), view.index.title(used)));
  });
  if (found.length > shown.length) links.push(h("li", {}, `and ${found.length - shown.length} more`));
  const fans = found.length > 1;
  return h(
    "div.users",
    {},
    h(
      "p",
      {},
      fans ? `Fans out to ${found.length} uses: its gradient will be the sum of what they send back.` : "Goes on to",
    ),
    h("ul.links", {}, links),
  );
}

export function callPanel(view: View, call: Call): HTMLElement[] {
  const { index } = view;
  const found: HTMLElement[] = [];
  if (call.inputs.length) {
    found.push(
      section(
        call.inputs.length === 1 ? "Input" : "Inputs",
        h(
          "div.values",
          {},
          call.inputs.map((one) => {
            const value = index.iteration.values[one.value];
            const own = value?.name && value.name !== one.name ? `${one.name} = ${value.name}` : one.name;
            return card(own, index.array(one.value), { note: h("span", {}, origin(view, one.value)) });
          }),
        ),
      ),
    );
  }
  const many = call.outputs.length > 1;
  found.push(
    section(
      many ? "Outputs" : "Output",
      h(
        "div.values",
        {},
        call.outputs.map((out, i) =>
          h("div", {}, card(many ? `output ${i + 1}` : "output", index.array(out), { tone: "forward" }), users(view, out)),
        ),
      ),
      call.recorded
        ? null
        : h("p.hint", {}, "The tape has no record of this operation, so no gradient passes through it."),
    ),
  );
  return found;
}

function lossPanel(view: View): HTMLElement[] {
  const { iteration } = view.timeline;
  const { index } = view;
  const found = [
    h("p.display.loss", {}, hidden("Loss "), iteration.loss === null ? "not recorded" : format(iteration.loss, 6)),
    h(
      "p.prose",
      {},
      "The loss is one number that says how wrong the outputs are. Training asks how it would change " +
        "if each parameter changed a little: that is the parameter's gradient.",
    ),
  ];
  iteration.passes.forEach((pass, at) => {
    if (pass.root === null) return;
    const value = iteration.values[pass.root];
    const title = iteration.passes.length > 1 ? `Backward pass ${at + 1} starts here` : "The backward pass starts here";
    const maker = value?.made_by ?? null;
    found.push(
      section(
        title,
        h("div.values", {}, card(value?.name || "loss", index.array(pass.root), { tone: "loss" })),
        h(
          "p.prose",
          {},
          "By itself the loss changes one to one, so its own gradient is 1. ",
          maker === null ? "" : "It was made by ",
          maker === null
            ? ""
            : stepLink(view, view.timeline.stepOfCall(maker), index.title(iteration.calls[maker])),
          maker === null ? "" : ", the first operation that the gradient goes back through.",
          pass.create_graph ? " This pass is recorded itself, for derivatives of higher order." : "",
        ),
      ),
    );
  });
  if (!iteration.passes.length) {
    found.push(h("p.hint", {}, "No backward pass was recorded in this iteration, so there are no gradients to show."));
  }
  return found;
}

/** The panel of a step. The heading has the id "step-title". */
export function panel(view: View, at: number): HTMLElement {
  const { timeline, index } = view;
  const step: Step | undefined = timeline.steps[at];
  if (!step) {
    return h(
      "div.step.forward",
      {},
      h("h2", { id: "step-title" }, "Nothing was recorded"),
      h("p.prose", {}, "This iteration has no operations, no backward pass and no updates."),
    );
  }
  const call = timeline.callOf(step);
  let title = "The loss";
  let operation: Operation | undefined;
  let body: HTMLElement[];
  if (step.kind === "update") {
    title = timeline.iteration.updates[step.update]!.parameter;
    body = updatePanel(view, step.update);
  } else if (step.kind === "loss") {
    body = lossPanel(view);
  } else {
    title = call?.operation ?? timeline.iteration.flows[step.kind === "flow" ? step.flow : -1]?.operation ?? "";
    operation = index.story.operations[title];
    body = step.kind === "flow" ? backwardPanel(view, step.flow) : callPanel(view, call!);
  }
  const span = timeline.spans.get(step.stage)!;
  const eyebrow = `${STAGE_NAMES[step.stage]} ${at - span.first + 1} of ${span.last - span.first + 1}`;
  return h(
    `div.step.${step.stage}`,
    {},
    h("p.eyebrow", {}, eyebrow),
    h("h2", { id: "step-title", tabindex: "-1" }, title),
    operation?.summary ? h("p.summary", {}, operation.summary) : null,
    place(view, call),
    standsFor(operation),
    step.kind === "call" && call ? attributes(call) : null,
    body,
  );
}
