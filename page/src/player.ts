// The timeline's controls: stages, buttons, a scrubber, and the sentence that is announced.

import { STAGE_NAMES } from "./describe";
import { h, s } from "./dom";
import { grouped } from "./numbers";
import { STAGES } from "./timeline";
import type { Stage, Timeline } from "./timeline";

export interface PlayerActions {
  go: (step: number) => void;
  move: (by: number) => void;
  layer: (direction: 1 | -1) => void;
}

const PACE = 1400;

export class Player {
  readonly element: HTMLElement;
  private readonly stages = new Map<Stage, { button: HTMLButtonElement; count: HTMLElement }>();
  private readonly buttons: Record<"first" | "back" | "previous" | "next" | "ahead" | "last" | "play", HTMLButtonElement>;
  private readonly scrubber: HTMLInputElement;
  private readonly live: HTMLElement;
  private timeline: Timeline | null = null;
  private timer: number | null = null;
  private step = 0;

  constructor(private readonly actions: PlayerActions) {
    const make = (sign: string, label: string, act: () => void, tag = "button"): HTMLButtonElement =>
      h<HTMLButtonElement>(tag, { type: "button", title: label, "aria-label": label, onclick: act }, h("span", { "aria-hidden": "true" }, sign));
    this.buttons = {
      first: make("⏮", "First step", () => actions.go(0)),
      back: make("«", "Layer before", () => actions.layer(-1)),
      previous: make("‹", "Previous step", () => actions.move(-1), "button.main"),
      next: make("›", "Next step", () => actions.move(1), "button.main"),
      ahead: make("»", "Next layer", () => actions.layer(1)),
      last: make("⏭", "Last step", () => actions.go(this.count() - 1)),
      play: make("▶", "Play", () => this.toggle(), "button.play"),
    };
    this.buttons.first.replaceChildren(icon("first"));
    this.buttons.last.replaceChildren(icon("last"));
    this.scrubber = h<HTMLInputElement>("input.scrubber", {
      type: "range",
      min: 0,
      step: 1,
      "aria-label": "Step",
      oninput: () => actions.go(Number(this.scrubber.value)),
    });
    this.live = h("p.live", { role: "status", "aria-live": "polite", id: "announcement" });
    const { first, back, previous, next, ahead, last, play } = this.buttons;
    this.element = h(
      "nav.player",
      { "aria-label": "Steps of the iteration" },
      h("ol.stages", {}, STAGES.map((stage) => this.stage(stage))),
      h(
        "div.controls",
        {},
        h("div.buttons", { role: "group", "aria-label": "Go to a step" }, first, back, previous, play, next, ahead, last),
        this.scrubber,
      ),
      this.live,
    );
    this.playing(false);
  }

  private stage(stage: Stage): HTMLElement {
    const count = h("span.stage-count");
    const button = h<HTMLButtonElement>(
      `button.stage.${stage}`,
      {
        type: "button",
        onclick: () => {
          const span = this.timeline?.spans.get(stage);
          if (span) this.actions.go(span.first);
        },
      },
      h("span.stage-name", {}, STAGE_NAMES[stage]),
      count,
    );
    this.stages.set(stage, { button, count });
    return h("li", {}, button);
  }

  private count(): number {
    return this.timeline?.steps.length ?? 0;
  }

  load(timeline: Timeline): void {
    this.timeline = timeline;
    this.scrubber.max = String(Math.max(timeline.steps.length - 1, 0));
    this.scrubber.disabled = timeline.steps.length < 2;
    for (const [stage, { button }] of this.stages) button.disabled = !timeline.spans.has(stage);
  }

  show(at: number, sentence: string): void {
    const timeline = this.timeline;
    if (!timeline) return;
    this.step = at;
    const total = timeline.steps.length;
    const stage = timeline.steps[at]?.stage;
    const name = stage ? `, ${STAGE_NAMES[stage].toLowerCase()}` : "";
    const text = total ? `Step ${grouped(at + 1)} of ${grouped(total)}${name}: ${sentence}` : sentence;
    this.live.textContent = text;
    this.scrubber.value = String(at);
    this.scrubber.setAttribute("aria-valuetext", text);
    this.scrubber.style.setProperty("--done", total > 1 ? `${(100 * at) / (total - 1)}%` : "0%");
    this.element.dataset["stage"] = stage ?? "forward";
    for (const [one, { button, count }] of this.stages) {
      const span = timeline.spans.get(one);
      const size = span ? span.last - span.first + 1 : 0;
      const done = span ? Math.min(Math.max(at - span.first + 1, 0), size) : 0;
      count.textContent = span ? `${grouped(done)} / ${grouped(size)}` : "none";
      button.style.setProperty("--done", size ? `${(100 * done) / size}%` : "0%");
      if (one === stage) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    }
    const start = at <= 0;
    const end = at >= total - 1;
    // A disabled button would lose the focus of those who press it until the end.
    for (const name of ["first", "back", "previous"] as const) this.buttons[name].setAttribute("aria-disabled", String(start));
    for (const name of ["next", "ahead", "last"] as const) this.buttons[name].setAttribute("aria-disabled", String(end));
    if (end) this.stop();
  }

  private toggle(): void {
    if (this.timer !== null) {
      this.stop();
      return;
    }
    if (this.step >= this.count() - 1) this.actions.go(0);
    this.timer = window.setInterval(() => this.actions.move(1), PACE);
    this.playing(true);
  }

  stop(): void {
    if (this.timer !== null) window.clearInterval(this.timer);
    this.timer = null;
    this.playing(false);
  }

  private playing(on: boolean): void {
    const label = on ? "Pause" : "Play";
    this.buttons.play.setAttribute("aria-label", label);
    this.buttons.play.title = label;
    this.buttons.play.replaceChildren(icon(on ? "pause" : "play"));
  }
}

const ICONS = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M6 5h4v14H6zM14 5h4v14h-4z",
  first: "M5 5h2.6v14H5zM19 5v14L8.6 12z",
  last: "M16.4 5H19v14h-2.6zM5 5v14l10.4-7z",
};

function icon(name: keyof typeof ICONS): Element {
  return s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
}
