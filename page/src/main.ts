// The page of a story: reads the embedded JSON and shows one step at a time.

import { LossChart } from "./chart";
import { describe } from "./describe";
import { h, hidden } from "./dom";
import { buildGraph, countNodes, MOST_NODES } from "./graph_model";
import { GraphView } from "./graph_view";
import { Groups } from "./groups";
import { Index } from "./index";
import { keys } from "./keys";
import { format, plural } from "./numbers";
import { panel } from "./panel";
import type { View } from "./pieces";
import { Player } from "./player";
import { reasonsList } from "./reasons";
import { themeButton } from "./theme";
import { Timeline } from "./timeline";
import { tree } from "./tree";
import type { Iteration, Reason, Story } from "./types";

const NOTHING: Iteration = {
  index: 0, loss: null, values: [], calls: [], passes: [], flows: [], updates: [],
}; // prettier-ignore

/** What belongs to one iteration, made when it is first looked at. */
interface Chapter extends View {
  groups: Groups;
}

class Page {
  private readonly chapters = new Map<number, Chapter>();
  private readonly iterations: Iteration[];
  private at = { iteration: 0, step: 0 };
  private unfolded = new Set<string>();
  private shown: Chapter | null = null;
  private path = new Set<number>();
  private readonly player: Player;
  private readonly graph: GraphView;
  private readonly chart: LossChart;
  private readonly step = h("main.paper", { id: "step", "aria-labelledby": "step-title" });
  private readonly modules = h("div");
  private readonly graphNote = h("p.graph-note", { role: "status" });
  private readonly inside = h(
    "button.small.inside",
    { type: "button", hidden: true, onclick: () => this.unfoldHere() },
    "Unfold to this step's operation",
  );

  constructor(private readonly story: Story) {
    this.iterations = story.iterations.length ? story.iterations : [NOTHING];
    const actions = {
      go: (step: number) => this.go(this.at.iteration, step),
      move: (by: number) => this.go(this.at.iteration, this.at.step + by),
      layer: (direction: 1 | -1) => {
        const { timeline } = this.chapter();
        if (timeline.steps.length) this.go(this.at.iteration, timeline.nextLayer(this.at.step, direction));
      },
    };
    this.player = new Player(actions);
    this.graph = new GraphView({
      unfold: (group) => this.toggle(group),
      goTo: (node) => {
        const { timeline } = this.chapter();
        const backward = ["backward", "update"].includes(timeline.steps[this.at.step]?.stage ?? "");
        let step: number | undefined;
        if (node.call !== null) step = (backward ? timeline.stepOfCallsFlow(node.call) : undefined) ?? timeline.stepOfCall(node.call);
        else if (node.kind === "loss") step = timeline.stepOfLoss();
        else step = (backward ? timeline.stepOfUpdate(node.label) : undefined) ?? (node.forwardAt === Infinity ? undefined : node.forwardAt);
        if (step !== undefined) this.go(this.at.iteration, step);
      },
    });
    this.chart = new LossChart(this.iterations, (iteration) => this.keepPlace(iteration));
    this.build(keys(actions, () => this.chapter().timeline.steps.length - 1));
    addEventListener("hashchange", () => this.read());
    this.read();
  }

  private build(help: HTMLElement): void {
    const { story } = this;
    document.body.append(
      h("a.skip", { href: "#step", onclick: (event: Event) => this.skip(event) }, "Skip to the step"),
      h(
        "header.top",
        {},
        h(
          "div.heading",
          {},
          h("p.kicker", {}, "Backpropagation, step by step"),
          h("h1", {}, story.title || "A training step"),
          h("p.subtitle", {}, this.subtitle()),
        ),
        h("div.tools", {}, help, themeButton()),
        story.notes.length
          ? h("div.notes", { role: "note" }, hidden("Notes"), story.notes.map((note) => h("p", {}, note)))
          : null,
      ),
      this.player.element,
      h(
        "div.columns",
        {},
        this.step,
        h(
          "section.panel.graph-panel",
          { "aria-labelledby": "graph-title" },
          h("div.panel-head", {}, h("h2", { id: "graph-title" }, "Graph"), this.graph.tools),
          this.graphNote,
          this.inside,
          this.graph.element,
        ),
        h(
          "aside.side",
          { "aria-label": "Iterations, parameters and modules" },
          h("section.panel", {}, h("h2", {}, "Loss"), this.chart.element),
          h("section.panel", { id: "why" }, h("h2", {}, "Parameters and why"), this.reasons()),
          h("section.panel", {}, h("h2", {}, "Modules"), this.modules),
        ),
      ),
      h("footer.bottom", {}, `Recorded with tensorflowlite ${story.library}.`),
    );
  }

  private subtitle(): string {
    const { story } = this;
    const first = this.iterations[0]!;
    const texts = [
      plural(this.iterations.length, "iteration"),
      plural(first.calls.filter((call) => call.phase !== "update").length, "operation"),
      plural(story.parameters.length, "parameter"),
    ];
    const last = this.iterations.at(-1)!;
    if (last !== first && first.loss !== null && last.loss !== null) {
      texts.push(`loss ${format(first.loss)} → ${format(last.loss)}`);
    }
    return texts.join(" · ");
  }

  private skip(event: Event): void {
    event.preventDefault();
    document.getElementById("step-title")?.focus();
  }

  private chapter(iteration = this.at.iteration): Chapter {
    let found = this.chapters.get(iteration);
    if (!found) {
      const one = this.iterations[iteration]!;
      found = {
        timeline: new Timeline(this.story, one),
        index: new Index(this.story, one),
        groups: new Groups(this.story, one),
        link: (step) => `#i=${iteration}&s=${step}`,
      };
      this.chapters.set(iteration, found);
    }
    return found;
  }

  /** Where a reason's or a link's iteration stands in the list. */
  private position(index: number): number {
    const found = this.iterations.findIndex((one) => one.index === index);
    return found >= 0 ? found : Math.min(Math.max(index, 0), this.iterations.length - 1);
  }

  private reasons(): HTMLElement {
    const stepOf = (reason: Reason, call: number): [number, number] | null => {
      const iteration = this.position(reason.iteration);
      const step = this.chapter(iteration).timeline.stepOfCallsFlow(call);
      return step === undefined ? null : [iteration, step];
    };
    return reasonsList(this.story, {
      link: (reason) => {
        const iteration = this.position(reason.iteration);
        const { timeline } = this.chapter(iteration);
        // Where nothing went wrong, the way of the gradient ends at the parameter.
        const call = reason.call ?? reason.path?.at(-1);
        const step = (call === undefined ? undefined : timeline.stepOfCallsFlow(call)) ?? timeline.stepOfUpdate(reason.parameter);
        return step === undefined ? null : `#i=${iteration}&s=${step}`;
      },
      linkOfCall: (reason, call) => {
        const found = stepOf(reason, call);
        if (!found) return null;
        const { index } = this.chapter(found[0]);
        return { href: `#i=${found[0]}&s=${found[1]}`, text: index.title(index.iteration.calls[call]) };
      },
      source: (reason) => {
        const source = reason.source === null ? null : this.story.sources[reason.source];
        return source ? `${source.file}:${source.line}` : "";
      },
      mark: (reason) => {
        this.path = new Set(reason.path ?? []);
        this.render();
      },
    });
  }

  /** The same step in another iteration, as far as it has one. */
  private keepPlace(iteration: number): void {
    const before = this.chapter().timeline;
    const step = before.steps[this.at.step];
    const after = this.chapter(iteration).timeline;
    const from = step && before.spans.get(step.stage);
    const to = step && after.spans.get(step.stage);
    const target = from && to ? Math.min(to.first + this.at.step - from.first, to.last) : 0;
    this.go(iteration, target);
  }

  private read(): void {
    const found = new URLSearchParams(location.hash.slice(1));
    const number = (name: string): number => {
      const value = Number(found.get(name) ?? 0);
      return Number.isFinite(value) ? Math.trunc(value) : 0;
    };
    this.go(number("i"), number("s"), false);
  }

  private go(iteration: number, step: number, write = true): void {
    iteration = Math.min(Math.max(iteration, 0), this.iterations.length - 1);
    const last = this.chapter(iteration).timeline.steps.length - 1;
    this.at = { iteration, step: Math.max(Math.min(step, last), 0) };
    if (write) {
      const hash = `#i=${this.at.iteration}&s=${this.at.step}`;
      try {
        history.replaceState(null, "", hash);
      } catch {
        location.hash = hash;
      }
    }
    this.render();
  }

  private render(): void {
    const chapter = this.chapter();
    const { timeline, index } = chapter;
    const now = timeline.steps[this.at.step];
    if (this.shown !== chapter) {
      const same = this.shown !== null && sameTree(this.shown.groups, chapter.groups);
      this.shown = chapter;
      if (!same) this.unfolded = chapter.groups.unfoldedAtFirst();
      this.player.load(timeline);
      this.drawGraph();
    }
    const sentence = now ? describe(now, timeline, index) : "nothing was recorded in this iteration.";
    this.player.show(this.at.step, sentence);
    this.chart.show(this.at.iteration);
    const inside = this.step.contains(document.activeElement);
    this.step.replaceChildren(panel(chapter, this.at.step));
    if (inside) document.getElementById("step-title")?.focus({ preventScroll: true });
    this.drawTree();
    const loss = timeline.iteration.passes[0]?.root ?? null;
    this.graph.update({
      at: this.at.step,
      stage: now?.stage ?? "forward",
      call: now ? timeline.callIndexOf(now) : null,
      value: now?.kind === "loss" ? loss : now?.kind === "update" ? (timeline.iteration.updates[now.update]?.value ?? null) : null,
      path: this.path,
    });
  }

  private currentCall(): number | null {
    const { timeline } = this.chapter();
    const now = timeline.steps[this.at.step];
    return now ? timeline.callIndexOf(now) : null;
  }

  private unfoldHere(): void {
    const call = this.currentCall();
    if (call === null) return;
    const { groups } = this.chapter();
    const around = groups.ancestors(call);
    for (const group of around) this.unfolded.add(group.id);
    const note = this.makeRoom(groups, around.at(-1)?.id ?? "root");
    this.drawGraph();
    this.render();
    if (note) this.graphNote.textContent = note;
    this.graph.focus(this.nodeOf(call));
  }

  private drawGraph(): void {
    const { timeline, index, groups } = this.chapter();
    this.graph.show(buildGraph(timeline, index, groups, this.unfolded));
    const folded = countNodes(groups, this.unfolded) < groups.root.calls;
    this.graphNote.textContent = folded
      ? "Modules are folded; a click or Enter unfolds one. The list of modules folds it again."
      : "";
  }

  private drawTree(): void {
    const { timeline, groups, link } = this.chapter();
    const call = this.currentCall();
    const around = call === null ? [] : groups.ancestors(call);
    const here = new Set(around.map((group) => group.id));
    this.inside.hidden = around.every((group) => this.unfolded.has(group.id));
    const focused = document.activeElement?.getAttribute("data-group");
    this.modules.replaceChildren(
      tree(this.story, groups, this.unfolded, here, {
        toggle: (group) => this.toggle(group),
        link: (first) => link(timeline.stepOfCall(first) ?? 0),
      }),
    );
    if (focused) this.modules.querySelector<HTMLElement>(`[data-group="${CSS.escape(focused)}"]`)?.focus();
  }

  private toggle(id: string): void {
    const { groups } = this.chapter();
    const fromGraph = document.activeElement?.closest("svg") !== null && document.activeElement !== document.body;
    let note = "";
    if (!this.unfolded.delete(id)) {
      for (let group = groups.all.get(id) ?? null; group; group = group.parent) this.unfolded.add(group.id);
      note = this.makeRoom(groups, id);
    }
    this.drawGraph();
    this.render();
    if (note) this.graphNote.textContent = note;
    if (fromGraph) {
      const first = groups.all.get(id)?.first;
      if (first !== undefined) this.graph.focus(this.nodeOf(first));
    }
  }

  private nodeOf(call: number): string {
    const group = this.chapter().groups.ancestors(call).find((one) => !this.unfolded.has(one.id));
    return group ? `g-${group.id}` : `c-${call}`;
  }

  /** Fold what was unfolded longest ago, until the graph is small enough to be laid out at once. */
  private makeRoom(groups: Groups, keep: string): string {
    const kept = new Set<string>(["root"]);
    for (let group = groups.all.get(keep) ?? null; group; group = group.parent) kept.add(group.id);
    let folded = 0;
    for (const id of [...this.unfolded]) {
      if (countNodes(groups, this.unfolded) <= MOST_NODES) break;
      if (kept.has(id)) continue;
      this.unfolded.delete(id);
      folded += 1;
    }
    return folded ? `Folded ${plural(folded, "other part")}, so that the graph stays readable.` : "";
  }
}

function sameTree(a: Groups, b: Groups): boolean {
  return a.root.calls === b.root.calls && a.all.size === b.all.size && [...a.all.keys()].every((id) => b.all.has(id));
}

function start(): void {
  const text = document.getElementById("story")?.textContent ?? "";
  let story: Story;
  try {
    story = JSON.parse(text) as Story;
    if (story.version !== 1) throw new Error(`this page reads stories of version 1, got ${String(story.version)}`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    document.body.append(h("main.failure", {}, h("h1", {}, "This story cannot be read"), h("p", {}, reason)));
    return;
  }
  new Page(story);
}

start();
