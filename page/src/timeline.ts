// The steps of one iteration, in the order in which they are shown.

import type { Arr, Call, Flow, Iteration, Part, Story } from "./types";

export type Stage = "forward" | "loss" | "backward" | "update";
export const STAGES: Stage[] = ["forward", "loss", "backward", "update"];

export type Step =
  | { stage: "forward"; kind: "call"; call: number }
  | { stage: "loss"; kind: "loss" }
  | { stage: "backward"; kind: "flow"; flow: number }
  | { stage: "backward"; kind: "call"; call: number } // recorded by a pass with create_graph
  | { stage: "update"; kind: "update"; update: number };

/** One term of the gradient of a value: what a flow gives it. */
export interface Term {
  flow: number;
  part: Part;
}

export class Timeline {
  readonly steps: Step[] = [];
  readonly spans = new Map<Stage, { first: number; last: number }>();
  private readonly ofCall = new Map<number, number>();
  private readonly ofFlow = new Map<number, number>();
  private readonly ofCallsFlow = new Map<number, number>();
  private readonly ofUpdate = new Map<string, number>();
  private lossStep: number | null = null;
  private terms: Map<string, Term[]> | null = null;

  constructor(
    readonly story: Story,
    readonly iteration: Iteration,
  ) {
    iteration.calls.forEach((call, index) => {
      if (call.phase === "forward") this.add({ stage: "forward", kind: "call", call: index });
    });
    if (iteration.passes.length || iteration.loss !== null) {
      this.add({ stage: "loss", kind: "loss" });
    }
    const passes = Math.max(iteration.passes.length, 1);
    for (let pass = 0; pass < passes; pass += 1) {
      iteration.flows.forEach((flow, index) => {
        if (flow.pass === pass) this.add({ stage: "backward", kind: "flow", flow: index });
      });
      iteration.calls.forEach((call, index) => {
        if (call.phase === "backward" && (call.pass ?? 0) === pass) {
          this.add({ stage: "backward", kind: "call", call: index });
        }
      });
    }
    iteration.updates.forEach((_, index) =>
      this.add({ stage: "update", kind: "update", update: index }),
    );
  }

  private add(step: Step): void {
    const at = this.steps.push(step) - 1;
    const span = this.spans.get(step.stage);
    if (span) span.last = at;
    else this.spans.set(step.stage, { first: at, last: at });
    if (step.kind === "call") this.ofCall.set(step.call, at);
    else if (step.kind === "loss") this.lossStep = at;
    else if (step.kind === "flow") {
      this.ofFlow.set(step.flow, at);
      const call = this.iteration.flows[step.flow]?.call;
      if (call !== null && call !== undefined && !this.ofCallsFlow.has(call)) {
        this.ofCallsFlow.set(call, at);
      }
    } else {
      const name = this.iteration.updates[step.update]?.parameter;
      if (name !== undefined) this.ofUpdate.set(name, at);
    }
  }

  stepOfCall(call: number): number | undefined {
    return this.ofCall.get(call);
  }

  stepOfFlow(flow: number): number | undefined {
    return this.ofFlow.get(flow);
  }

  /** The step in which a call's gradient is computed; else the call itself. */
  stepOfCallsFlow(call: number): number | undefined {
    return this.ofCallsFlow.get(call) ?? this.ofCall.get(call);
  }

  stepOfUpdate(parameter: string): number | undefined {
    return this.ofUpdate.get(parameter);
  }

  stepOfLoss(): number | undefined {
    return this.lossStep ?? undefined;
  }

  callOf(step: Step): Call | null {
    if (step.kind === "call") return this.iteration.calls[step.call] ?? null;
    const index = this.callIndexOf(step);
    return index === null ? null : (this.iteration.calls[index] ?? null);
  }

  callIndexOf(step: Step): number | null {
    if (step.kind === "call") return step.call;
    if (step.kind === "flow") return this.iteration.flows[step.flow]?.call ?? null;
    return null;
  }

  moduleOf(step: Step): number | null {
    if (step.kind === "update") {
      return this.moduleOfParameter(this.iteration.updates[step.update]?.parameter ?? "");
    }
    return this.callOf(step)?.module ?? null;
  }

  /** The module with the longest path that begins a parameter's name. */
  moduleOfParameter(name: string): number | null {
    let best: number | null = null;
    this.story.modules.forEach((module, index) => {
      const inside = module.path === "" || name.startsWith(`${module.path}.`);
      const longer = best === null || module.path.length > this.story.modules[best]!.path.length;
      if (inside && longer) best = index;
    });
    return best;
  }

  /** What the gradient of a value is the sum of, in one pass. */
  termsOf(value: number, pass: number): Term[] {
    if (this.terms === null) {
      this.terms = new Map();
      this.iteration.flows.forEach((flow, index) => {
        for (const part of flow.parts) {
          if (part.value === null) continue;
          const key = `${flow.pass}:${part.value}`;
          const found = this.terms!.get(key);
          if (found) found.push({ flow: index, part });
          else this.terms!.set(key, [{ flow: index, part }]);
        }
      });
    }
    return this.terms.get(`${pass}:${value}`) ?? [];
  }

  /** The first step of the next run of another module; of the one before, its first too. */
  nextLayer(from: number, direction: 1 | -1): number {
    const key = (at: number): string => {
      const step = this.steps[at]!;
      return `${step.stage} ${this.moduleOf(step) ?? "-"}`;
    };
    const last = this.steps.length - 1;
    let at = from;
    if (direction === 1) {
      while (at < last && key(at) === key(from)) at += 1;
      return at;
    }
    if (at > 0 && key(at - 1) !== key(at)) at -= 1;
    while (at > 0 && key(at - 1) === key(at)) at -= 1;
    return at;
  }
}

/** What reached an operation: an array for each output that has a gradient. */
export function upstreamsOf(flow: Flow): Arr[] {
  const all = Array.isArray(flow.upstream) ? flow.upstream : [flow.upstream];
  return all.filter((one) => one !== null);
}
