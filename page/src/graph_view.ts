// The graph as SVG. A new folding lays it out anew; a step only changes classes.

import { h, s } from "./dom";
import { clip, place, shorten } from "./graph_layout";
import type { Placed } from "./graph_layout";
import type { Carry, GraphEdge, GraphModel, GraphNode } from "./graph_model";
import { format } from "./numbers";
import type { Stage } from "./timeline";

export interface Moment {
  at: number;
  stage: Stage;
  call: number | null;
  value: number | null;
  path: Set<number>;
}

export interface GraphActions {
  unfold: (group: string) => void;
  goTo: (node: GraphNode) => void;
}

const MARKS: Partial<Record<Carry, string>> = { zero: "0", broken: "NaN", cut: "cut" };
const KINDS = {
  call: "operation",
  group: "folded module",
  parameter: "parameter",
  input: "input",
  constant: "constant",
  loss: "loss",
} as const;

/** Texts stay readable; a larger graph is scrolled. */
const SMALLEST = 0.74;

export class GraphView {
  readonly element: HTMLElement;
  readonly tools: HTMLElement;
  private readonly frame: HTMLElement;
  private svg: SVGElement | null = null;
  private model: GraphModel | null = null;
  private placed: Placed | null = null;
  private readonly nodes = new Map<string, SVGElement>();
  private edges: { edge: GraphEdge; group: SVGElement }[] = [];
  private scale = 1;
  private chosen: "auto" | "fit" | "own" = "auto";
  private focused = "";
  private current = "";

  constructor(private readonly actions: GraphActions) {
    this.frame = h("div.graph-frame", { role: "region", "aria-label": "Graph, scrollable", tabindex: "0" });
    const button = (text: string, label: string, act: () => void): HTMLElement =>
      h("button.small", { type: "button", "aria-label": label, title: label, onclick: act }, text);
    this.tools = h(
      "div.graph-tools",
      { role: "group", "aria-label": "Size of the graph" },
      button("−", "Make the graph smaller", () => this.zoom(this.scale / 1.25)),
      button("+", "Make the graph larger", () => this.zoom(this.scale * 1.25)),
      button("Fit", "Fit the whole graph", () => {
        this.chosen = "fit";
        this.resize();
      }),
    );
    this.element = h("div.graph", {}, this.frame, legend());
    new ResizeObserver(() => {
      if (this.chosen !== "own") this.resize();
    }).observe(this.frame);
  }

  show(model: GraphModel): void {
    this.model = model;
    this.placed = place(model);
    this.nodes.clear();
    const { width, height } = this.placed;
    const norms = model.edges.filter((e) => e.carry === "some" && e.norm > 0).map((e) => Math.log10(e.norm));
    const high = norms.length ? Math.max(...norms) : 0;
    const low = norms.length ? Math.max(Math.min(...norms), high - 8) : 0;
    this.edges = model.edges.map((edge, i) => {
      const { d, x, y } = this.placed!.paths[i]!;
      const share = high > low ? Math.max((Math.log10(edge.norm) - low) / (high - low), 0) : 0.5;
      const mark = MARKS[edge.carry];
      const group = s(
        "g",
        { "data-carry": edge.carry, vars: { "--flow": (1.4 + 3.6 * share).toFixed(2) } },
        s("path", { d }),
        mark
          ? s(
              "g.mark",
              { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
              s("rect", { x: -5 - mark.length * 3.6, y: -9, width: 10 + mark.length * 7.2, height: 18, rx: 9 }),
              s("text", { y: 4, "text-anchor": "middle" }, mark),
            )
          : null,
        s("title", {}, edgeText(edge)),
      );
      return { edge, group };
    });
    const groups = model.nodes.map((node) => this.draw(node));
    this.svg = s(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Operations and how they depend on each other" },
      s("defs", {}, marker("arrow-idle"), marker("arrow-forward"), marker("arrow-backward", 14)),
      s("g.edges", { "aria-hidden": "true" }, this.edges.map((one) => one.group)),
      s("g.nodes", {}, groups),
    );
    this.svg.addEventListener("keydown", (event) => this.keys(event as KeyboardEvent));
    this.frame.replaceChildren(this.svg);
    if (!model.nodes.length) this.frame.replaceChildren(h("p.quiet", {}, "There are no operations to draw."));
    this.focused = model.nodes[0]?.id ?? "";
    this.current = "";
    if (this.chosen === "own") this.zoom(this.scale);
    else this.resize();
  }

  private draw(node: GraphNode): SVGElement {
    const { x, y, width, height } = this.placed!.nodes.get(node.id)!;
    const box = { x: -width / 2, y: -height / 2, width, height };
    const radius = node.kind === "call" ? 9 : node.kind === "group" ? 11 : height / 2;
    const action = node.kind === "group" ? ", press Enter to unfold" : ", press Enter to go to its step";
    const element = s(
      `g.node.${node.kind}`,
      {
        transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`,
        role: "button",
        tabindex: "-1",
        "data-node": node.id,
        "aria-label": `${KINDS[node.kind]} ${node.label}, ${node.sub}${action}`,
        onclick: () => this.act(node),
        onfocus: () => this.rove(node.id),
      },
      node.kind === "group" ? s("rect.behind", { ...box, x: box.x + 5, y: box.y + 5, rx: radius }) : null,
      s("rect.box", { ...box, rx: radius }),
      s("text.label", { y: node.sub ? -2 : 5, "text-anchor": "middle" }, shorten(node.label)),
      node.sub ? s("text.sub", { y: 14, "text-anchor": "middle" }, clip(node.sub)) : null,
      s("title", {}, `${node.label}\n${node.sub}`),
    );
    this.nodes.set(node.id, element);
    return element;
  }

  private act(node: GraphNode): void {
    if (node.kind === "group" && node.group) this.actions.unfold(node.group.id);
    else this.actions.goTo(node);
  }

  private rove(id: string): void {
    this.nodes.get(this.focused)?.setAttribute("tabindex", "-1");
    this.focused = id;
    this.nodes.get(id)?.setAttribute("tabindex", "0");
  }

  private keys(event: KeyboardEvent): void {
    const order = this.model!.nodes;
    const at = order.findIndex((node) => node.id === this.focused);
    const node = order[at];
    if (!node) return;
    if (event.key === "Enter" || event.key === " ") {
      this.act(node);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = order[at + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) this.focus(next.id);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  focus(id: string): void {
    this.rove(id);
    (this.nodes.get(id) as unknown as HTMLElement | undefined)?.focus();
  }

  /** Mark where a step is. */
  update(moment: Moment): void {
    const model = this.model;
    if (!model) return;
    const backward = moment.stage === "backward" || moment.stage === "update";
    const current =
      moment.call !== null
        ? model.ofCall(moment.call)
        : moment.value !== null
          ? (model.ofValue.get(moment.value) ?? "")
          : "";
    const path = new Set([...moment.path].map((call) => model.ofCall(call)));
    const near = new Set<string>();
    for (const { edge, group } of this.edges) {
      const touches = edge.from === current || edge.to === current;
      if (touches) near.add(edge.from).add(edge.to);
      const gone = backward ? edge.backwardAt <= moment.at : edge.forwardAt <= moment.at;
      const state = gone ? (backward ? "backward" : "forward") : "idle";
      const still = backward && (edge.carry === "cut" || edge.carry === "none");
      group.setAttribute("class", `edge ${still ? "still" : state}${touches ? " near" : ""}${backward ? " marked" : ""}`);
    }
    for (const node of model.nodes) {
      const element = this.nodes.get(node.id)!;
      const done =
        backward && node.backwardAt <= moment.at ? "backward" : node.forwardAt <= moment.at ? "forward" : "idle";
      const here = node.id === current;
      const classes = ["node", node.kind, done];
      if (here) classes.push("here", `at-${moment.stage}`);
      else if (near.has(node.id)) classes.push("near");
      if (path.has(node.id)) classes.push("on-path");
      element.setAttribute("class", classes.join(" "));
      if (here) element.setAttribute("aria-current", "step");
      else element.removeAttribute("aria-current");
    }
    const target = current || (model.nodes[0]?.id ?? "");
    if (!this.frame.contains(document.activeElement) || document.activeElement === this.frame) this.rove(target);
    if (current && current !== this.current) this.reveal(current);
    this.current = current;
  }

  private reveal(id: string): void {
    const found = this.placed?.nodes.get(id);
    if (!found) return;
    const { clientWidth, clientHeight, scrollLeft, scrollTop } = this.frame;
    const x = found.x * this.scale;
    const y = found.y * this.scale;
    const margin = 70;
    const inside =
      x > scrollLeft + margin && x < scrollLeft + clientWidth - margin &&
      y > scrollTop + margin && y < scrollTop + clientHeight - margin; // prettier-ignore
    if (inside) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.frame.scrollTo({
      left: x - clientWidth / 2,
      top: y - clientHeight / 2,
      behavior: calm ? "instant" : "smooth",
    });
  }

  private zoom(scale: number): void {
    this.chosen = "own";
    this.apply(scale);
  }

  private resize(): void {
    if (!this.placed || !this.frame.clientWidth) return;
    const wide = (this.frame.clientWidth - 2) / this.placed.width;
    const tall = (this.frame.clientHeight - 2) / this.placed.height;
    if (this.chosen === "fit") this.apply(Math.min(wide, tall, 1.5));
    else if (tall >= SMALLEST && tall < 1) this.apply(Math.max(Math.min(wide, tall), SMALLEST));
    else this.apply(Math.max(Math.min(wide, 1), SMALLEST));
  }

  private apply(scale: number): void {
    if (!this.svg || !this.placed) return;
    this.scale = Math.min(Math.max(scale, 0.05), 3);
    this.svg.setAttribute("width", String(Math.round(this.placed.width * this.scale)));
    this.svg.setAttribute("height", String(Math.round(this.placed.height * this.scale)));
    if (this.current) this.reveal(this.current);
  }
}

function edgeText(edge: GraphEdge): string {
  const texts: Record<Carry, string> = {
    some: `gradient of norm ${format(edge.norm)}`,
    zero: "the gradient is zero",
    broken: "the gradient is not finite",
    cut: "cut: no gradient passes",
    none: "no gradient",
  };
  return texts[edge.carry];
}

function marker(id: string, size = 9): SVGElement {
  return s(
    "marker",
    {
      id, viewBox: "0 0 10 10", refX: 8.5, refY: 5, markerWidth: size, markerHeight: size,
      markerUnits: "userSpaceOnUse", orient: "auto-start-reverse",
    }, // prettier-ignore
    s("path", { d: "M0 0L10 5L0 10z" }),
  );
}

function legend(): HTMLElement {
  const sample = (carry: string, state: string, text: string, mark = ""): HTMLElement =>
    h(
      "li",
      {},
      s(
        "svg",
        { viewBox: "0 0 44 18", width: 44, height: 18, "aria-hidden": "true" },
        s(
          `g.edge.${state}.marked`,
          { "data-carry": carry, vars: { "--flow": "2.6" } },
          s("path", { d: state === "backward" ? "M6 9L38 9" : "M4 9L36 9" }),
          mark ? s("g.mark", { transform: "translate(22 9)" }, s("rect", { x: -5 - mark.length * 3.6, y: -9, width: 10 + mark.length * 7.2, height: 18, rx: 9 }), s("text", { y: 4, "text-anchor": "middle" }, mark)) : null,
        ),
      ),
      text,
    );
  return h(
    "ul.legend",
    { "aria-label": "What the lines mean" },
    sample("some", "forward", "values go forward"),
    sample("some", "backward", "gradient goes back; thicker is larger"),
    sample("zero", "backward", "gradient is zero", "0"),
    sample("cut", "still", "gradient is cut off", "cut"),
    sample("none", "still", "no gradient"),
  );
}
