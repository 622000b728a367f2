// Places for the graph's nodes, in layers from top to bottom.

import { Graph, layout } from "@dagrejs/dagre";
import type { GraphModel } from "./graph_model";

export interface Placed {
  width: number;
  height: number;
  nodes: Map<string, { x: number; y: number; width: number; height: number }>;
  /** A path for each edge of the model, in its order, and the middle of each. */
  paths: { d: string; x: number; y: number }[];
}

const LETTER = 7.4;

export function place(model: GraphModel): Placed {
  const graph = new Graph();
  graph.setGraph({ rankdir: "TB", nodesep: 18, edgesep: 12, ranksep: 38, marginx: 16, marginy: 16 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of model.nodes) {
    const leaf = node.kind === "parameter" || node.kind === "input" || node.kind === "constant";
    const letters = Math.max(shorten(node.label).length * (leaf ? 0.94 : 1.06), clip(node.sub).length * 0.86);
    const width = Math.max(letters * LETTER + 26, leaf ? 62 : 92);
    graph.setNode(node.id, { width, height: node.kind === "group" ? 52 : leaf ? 38 : 46 });
  }
  for (const edge of model.edges) graph.setEdge(edge.from, edge.to, { weight: edge.from.startsWith("v-") ? 1 : 3 });
  layout(graph);
  const nodes: Placed["nodes"] = new Map();
  let right = 0;
  let bottom = 0;
  for (const node of model.nodes) {
    const { x = 0, y = 0, width = 0, height = 0 } = graph.node(node.id) as Record<string, number>;
    nodes.set(node.id, { x, y, width, height });
    right = Math.max(right, x + width / 2);
    bottom = Math.max(bottom, y + height / 2);
  }
  const paths = model.edges.map((edge) => {
    const found = graph.edge(edge.from, edge.to) as unknown as { points?: { x: number; y: number }[] };
    const points = found?.points ?? [];
    for (const point of points) {
      right = Math.max(right, point.x);
      bottom = Math.max(bottom, point.y);
    }
    return curve(points);
  });
  return { width: Math.ceil(right + 16), height: Math.ceil(bottom + 16), nodes, paths };
}

function curve(points: { x: number; y: number }[]): { d: string; x: number; y: number } {
  const at = (value: number): string => value.toFixed(1);
  const first = points[0];
  const last = points.at(-1);
  if (!first || !last) return { d: "", x: 0, y: 0 };
  let d = `M${at(first.x)} ${at(first.y)}`;
  for (let i = 1; i < points.length - 1; i += 1) {
    const here = points[i]!;
    const next = points[i + 1]!;
    const end = i === points.length - 2 ? next : { x: (here.x + next.x) / 2, y: (here.y + next.y) / 2 };
    d += `Q${at(here.x)} ${at(here.y)} ${at(end.x)} ${at(end.y)}`;
  }
  if (points.length === 2) d += `L${at(last.x)} ${at(last.y)}`;
  const middle = points[Math.floor(points.length / 2)]!;
  return { d, x: middle.x, y: middle.y };
}

/** A text of at most so many letters, without its end. */
export function clip(text: string, most = 28): string {
  const letters = [...text];
  return letters.length <= most ? text : `${letters.slice(0, most - 1).join("")}…`;
}

export function shorten(text: string, most = 26): string {
  const letters = [...text];
  if (letters.length <= most) return text;
  // Paths differ at their ends.
  return `…${letters.slice(letters.length - most + 1).join("")}`;
}
