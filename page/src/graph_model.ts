// What the graph shows for a given folding: nodes, edges, and how much gradient each edge carries.

import type { Group, Groups } from "./groups";
import type { Index } from "./index";
import { format, plural, shapeText, strengthOf } from "./numbers";
import type { Timeline } from "./timeline";
import type { Part } from "./types";

export type NodeKind = "call" | "group" | "parameter" | "input" | "constant" | "loss";

export interface GraphNode {
  id: string;
  kind: NodeKind;
  label: string;
  sub: string;
  group: Group | null;
  call: number | null;
  value: number | null;
  /** The first step in which it does something forward, and backward. */
  forwardAt: number;
  backwardAt: number;
}

/** "none": no gradient goes here, and none is expected. "cut": one would, but for a break. */
export type Carry = "some" | "zero" | "broken" | "cut" | "none";

export interface GraphEdge {
  from: string;
  to: string;
  forwardAt: number;
  backwardAt: number;
  carry: Carry;
  norm: number;
}

export interface GraphModel {
  nodes: GraphNode[];
  edges: GraphEdge[];
  ofCall: (call: number) => string;
  ofValue: Map<number, string>;
}

/** Beyond this many nodes, those unfolded first are folded again. */
export const MOST_NODES = 260;
/** Parameters and constants are shown while the operations are no more than this. */
const WITH_LEAVES = 60;

const NEVER = Infinity;
const WORST: Carry[] = ["some", "zero", "none", "cut", "broken"];

/** The node that stands for each call: itself, or the outermost folded group around it. */
export function standIn(groups: Groups, unfolded: Set<string>, call: number): Group | null {
  for (const group of groups.ancestors(call)) if (!unfolded.has(group.id)) return group;
  return null;
}

export function countNodes(groups: Groups, unfolded: Set<string>): number {
  const count = (group: Group): number =>
    group.children.reduce<number>(
      (sum, child) =>
        sum + (typeof child === "number" || !unfolded.has(child.id) ? 1 : count(child)),
      0,
    );
  return count(groups.root);
}

export function buildGraph(
  timeline: Timeline,
  index: Index,
  groups: Groups,
  unfolded: Set<string>,
): GraphModel {
  const { iteration } = timeline;
  const nodes = new Map<string, GraphNode>();
  const edges = new Map<string, GraphEdge>();
  const ofValue = new Map<number, string>();
  const names: string[] = [];
  const leaves = countNodes(groups, unfolded) <= WITH_LEAVES;
  const parts = new Map<string, { part: Part; at: number }>();
  const reached = new Set<number>();
  iteration.flows.forEach((flow, at) => {
    if (flow.call === null) return;
    reached.add(flow.call);
    const step = timeline.stepOfFlow(at) ?? NEVER;
    for (const part of flow.parts) {
      const key = `${flow.call}:${part.input}`;
      if (!parts.has(key)) parts.set(key, { part, at: step });
    }
  });

  const node = (id: string, make: () => Omit<GraphNode, "id" | "forwardAt" | "backwardAt">): GraphNode => {
    let found = nodes.get(id);
    if (!found) {
      found = { id, ...make(), forwardAt: NEVER, backwardAt: NEVER };
      nodes.set(id, found);
    }
    return found;
  };

  const connect = (from: string, to: string, at: number, back: number, carry: Carry, norm: number): void => {
    if (from === to) return;
    const key = `${from} ${to}`;
    const found = edges.get(key);
    if (!found) {
      edges.set(key, { from, to, forwardAt: at, backwardAt: back, carry, norm });
      return;
    }
    found.forwardAt = Math.min(found.forwardAt, at);
    found.backwardAt = Math.min(found.backwardAt, back);
    found.norm = Math.hypot(found.norm, norm);
    // A bundle carries something as soon as one of its strands does; NaN shows through everything.
    if (carry === "broken" || found.carry === "broken") found.carry = "broken";
    else if (carry === "some" || found.carry === "some") found.carry = "some";
    else if (WORST.indexOf(carry) > WORST.indexOf(found.carry)) found.carry = carry;
  };

  const carryOf = (call: number, input: number, value: number): [Carry, number, number] => {
    const found = parts.get(`${call}:${input}`);
    if (found) {
      const strength = strengthOf(found.part.product);
      if (strength.kind === "some") return ["some", strength.norm, found.at];
      if (strength.kind === "broken") return ["broken", 0, found.at];
      return ["zero", 0, found.at];
    }
    if (!iteration.passes.length || !index.needsGradient(value)) return ["none", 0, NEVER];
    const used = iteration.calls[call]!;
    const own = iteration.values[value]?.kind === "parameter";
    if (!used.recorded || (reached.has(call) && !own)) return ["cut", 0, NEVER];
    return ["none", 0, NEVER];
  };

  iteration.calls.forEach((call, at) => {
    if (call.phase === "update") return;
    const group = standIn(groups, unfolded, at);
    const id = group ? `g-${group.id}` : `c-${at}`;
    names[at] = id;
    const found = node(id, () =>
      group
        ? { kind: "group", label: group.label, sub: groupText(group), group, call: null, value: null }
        : {
            kind: "call",
            label: call.operation,
            sub: call.outputs[0] === undefined ? "" : shapeText(index.array(call.outputs[0])),
            group: null,
            call: at,
            value: null,
          },
    );
    const forward = timeline.stepOfCall(at) ?? NEVER;
    found.forwardAt = Math.min(found.forwardAt, forward);
    if (reached.has(at)) found.backwardAt = Math.min(found.backwardAt, timeline.stepOfCallsFlow(at) ?? NEVER);
    call.inputs.forEach((one, input) => {
      const value = iteration.values[one.value];
      if (!value) return;
      const [carry, norm, back] = carryOf(at, input, one.value);
      if (value.made_by !== null) {
        const from = names[value.made_by];
        if (from !== undefined) connect(from, id, forward, back, carry, norm);
        return;
      }
      const kind = value.kind === "result" ? "constant" : value.kind;
      // What only a folded group uses is folded with it.
      if (group ? kind !== "input" : !leaves && kind !== "input") return;
      const leaf = `v-${one.value}`;
      ofValue.set(one.value, leaf);
      const made = node(leaf, () => ({
        kind,
        label: value.name || (kind === "constant" ? valueLabel(index, one.value) : kind),
        sub: shapeText(value.array),
        group: null,
        call: null,
        value: one.value,
      }));
      made.forwardAt = Math.min(made.forwardAt, forward);
      if (back !== NEVER) made.backwardAt = Math.min(made.backwardAt, back);
      connect(leaf, id, forward, back, carry, norm);
    });
  });

  const loss = timeline.stepOfLoss();
  iteration.passes.forEach((pass, at) => {
    const maker = pass.root === null ? null : (iteration.values[pass.root]?.made_by ?? null);
    if (pass.root === null || maker === null || loss === undefined) return;
    const id = `loss-${pass.root}`;
    const only = index.array(pass.root).values;
    const made = node(id, () => ({
      kind: "loss",
      label: iteration.values[pass.root!]?.name || "loss",
      sub: only?.length === 1 ? format(only[0]) : `pass ${at + 1}`,
      group: null,
      call: null,
      value: pass.root,
    }));
    made.forwardAt = loss;
    made.backwardAt = loss;
    ofValue.set(pass.root, id);
    const from = names[maker];
    if (from !== undefined) connect(from, id, loss, loss, "some", 1);
  });
  return {
    nodes: [...nodes.values()],
    edges: [...edges.values()],
    ofCall: (call) => names[call] ?? "",
    ofValue,
  };
}

function groupText(group: Group): string {
  const text = plural(group.calls, "operation");
  return group.type && group.type !== group.label ? `${text} · ${group.type}` : text;
}

function valueLabel(index: Index, value: number): string {
  const values = index.array(value).values;
  return values?.length === 1 ? format(values[0], 3) : "constant";
}
