// The one sentence that says what happens in a step.

import type { Index } from "./index";
import { brief, format, plural, strengthOf, toNumber } from "./numbers";
import type { Step, Timeline } from "./timeline";
import { upstreamsOf } from "./timeline";
import type { Arr } from "./types";

export const STAGE_NAMES = {
  forward: "Forward",
  loss: "Loss",
  backward: "Backward",
  update: "Update",
} as const;

function list(texts: string[]): string {
  if (texts.length < 2) return texts[0] ?? "";
  return `${texts.slice(0, -1).join(", ")} and ${texts.at(-1)}`;
}

/** A gradient or a step as a noun with its size: "a gradient of norm 0.3". */
function sized(noun: string, array: Arr): string {
  const strength = strengthOf(array);
  if (strength.kind === "zero") return `a zero ${noun}`;
  if (strength.kind === "broken") return `a ${noun} that is not finite`;
  if (strength.kind === "empty") return `an empty ${noun}`;
  const only = array.values?.length === 1 ? array.values[0] : undefined;
  return only !== undefined ? `a ${noun} of ${format(only)}` : `a ${noun} of norm ${format(strength.norm)}`;
}

export function describe(step: Step, timeline: Timeline, index: Index): string {
  const { iteration } = timeline;
  if (step.kind === "call") {
    const call = iteration.calls[step.call]!;
    const inputs = call.inputs.map((one) => `${one.name} (${brief(index.array(one.value))})`);
    const outputs = call.outputs.map((out) => brief(index.array(out)));
    const from = inputs.length ? ` takes ${list(inputs)} and` : "";
    const what = outputs.length ? list(outputs) : "nothing";
    const by = step.stage === "backward" ? "the backward pass itself runs " : "";
    return `${by}${index.title(call)}${by ? ", which" : ""}${from} gives ${what}.`;
  }
  if (step.kind === "loss") {
    const passes = iteration.passes.length;
    const loss = iteration.loss === null ? "was not recorded" : `is ${format(iteration.loss)}`;
    const then = passes
      ? "its gradient by itself is 1, and from here the chain rule goes backward."
      : "no backward pass follows.";
    return `the loss ${loss}; ${then}`;
  }
  if (step.kind === "flow") {
    const flow = iteration.flows[step.flow]!;
    const call = flow.call === null ? null : iteration.calls[flow.call];
    const name = call ? index.title(call) : flow.operation;
    const arrived = upstreamsOf(flow);
    const several = arrived.length > 3;
    const up = several
      ? plural(arrived.length, "gradient")
      : list(arrived.map((one) => sized("gradient", one))) || "no gradient";
    const reaches = arrived.length > 1 ? "reach" : "reaches";
    const parts = flow.parts.map((part) => {
      const input = call?.inputs[part.input]?.name ?? `input ${part.input + 1}`;
      return `${sized("gradient", part.product)} to ${input}`;
    });
    if (!parts.length) return `${up} ${reaches} ${name} and ${arrived.length > 1 ? "go" : "goes"} no further.`;
    return `${up} ${reaches} ${name}, which passes on ${list(parts)}.`;
  }
  const update = iteration.updates[step.update]!;
  if (update.gradient === null && toNumber(update.step.norm ?? 0) === 0) {
    return `${update.parameter} has no gradient and stays as it is.`;
  }
  return `${update.optimizer} moves ${update.parameter} by ${sized("step", update.step)}.`;
}
