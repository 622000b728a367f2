// What is asked about an iteration's values: who uses them, what they are called, who needs gradients.

import type { Arr, Call, Iteration, Source, Story } from "./types";

const EMPTY: Arr = { shape: [0], dtype: "unknown" };

export class Index {
  private users: Map<number, { call: number; input: number }[]> | null = null;
  private needs: boolean[] | null = null;

  constructor(
    readonly story: Story,
    readonly iteration: Iteration,
  ) {}

  array(value: number): Arr {
    return this.iteration.values[value]?.array ?? EMPTY;
  }

  /** The calls that take a value, in order. */
  usersOf(value: number): { call: number; input: number }[] {
    if (this.users === null) {
      this.users = new Map();
      this.iteration.calls.forEach((call, index) => {
        if (call.phase === "update") return;
        call.inputs.forEach((one, input) => {
          const found = this.users!.get(one.value);
          if (found) found.push({ call: index, input });
          else this.users!.set(one.value, [{ call: index, input }]);
        });
      });
    }
    return this.users.get(value) ?? [];
  }

  /** Whether a value depends on a parameter. */
  needsGradient(value: number): boolean {
    if (this.needs === null) {
      this.needs = this.iteration.values.map((one) => one.kind === "parameter");
      for (const call of this.iteration.calls) {
        if (call.inputs.some((one) => this.needs![one.value])) {
          for (const out of call.outputs) this.needs[out] = true;
        }
      }
    }
    return this.needs[value] ?? false;
  }

  nameOf(value: number): string {
    const found = this.iteration.values[value];
    if (!found) return "a value";
    if (found.name) return found.name;
    if (found.made_by !== null) {
      const call = this.iteration.calls[found.made_by];
      if (call) return `the output of ${call.operation}`;
    }
    if (found.kind === "constant") return "a constant";
    return found.kind === "input" ? "an input" : "a value";
  }

  modulePath(module: number | null): string {
    if (module === null) return "";
    const found = this.story.modules[module];
    return found ? found.path || found.type : "";
  }

  source(index: number | null): Source | null {
    return index === null ? null : (this.story.sources[index] ?? null);
  }

  /** An operation with its module: "linear (encoder.0)". */
  title(call: Call | null | undefined): string {
    if (!call) return "an operation";
    const path = this.modulePath(call.module);
    return path ? `${call.operation} (${path})` : call.operation;
  }
}
