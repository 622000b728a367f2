// The loss over the iterations: a curve, a slider, and the same as a table.

import { h, s } from "./dom";
import { format, plural, toNumber } from "./numbers";
import type { Iteration } from "./types";

const WIDTH = 320;
const HEIGHT = 120;
const LEFT = 8;
const TOP = 12;
const BOTTOM = 14;

export class LossChart {
  readonly element: HTMLElement;
  private readonly slider: HTMLInputElement;
  private readonly dot: SVGElement;
  private readonly rule: SVGElement;
  private readonly reading: HTMLElement;
  private readonly losses: number[];
  private low = 0;
  private high = 1;

  constructor(
    private readonly iterations: Iteration[],
    choose: (at: number) => void,
  ) {
    this.losses = iterations.map((one) => toNumber(one.loss));
    const finite = this.losses.filter(Number.isFinite);
    if (finite.length) {
      this.low = Math.min(...finite);
      this.high = Math.max(...finite);
    }
    if (this.low === this.high) {
      this.low -= Math.abs(this.low) * 0.1 + 0.1;
      this.high += Math.abs(this.high) * 0.1 + 0.1;
    }
    this.dot = s("circle.dot", { r: 5 });
    this.rule = s("line.rule", { y1: TOP - 6, y2: HEIGHT - BOTTOM + 6 });
    this.slider = h<HTMLInputElement>("input", {
      type: "range",
      id: "iteration",
      min: 0,
      max: Math.max(iterations.length - 1, 0),
      step: 1,
      value: 0,
      oninput: () => choose(Number(this.slider.value)),
    });
    this.reading = h("output.reading", { for: "iteration" });
    const many = iterations.length > 1;
    this.element = h(
      "div.chart",
      {},
      this.reading,
      many && finite.length ? this.curve() : null,
      many
        ? h("div.slide", {}, h("label", { for: "iteration" }, "Iteration"), this.slider)
        : null,
      many ? this.table() : null,
    );
  }

  private x(at: number): number {
    return LEFT + ((WIDTH - 2 * LEFT) * at) / Math.max(this.losses.length - 1, 1);
  }

  private y(loss: number): number {
    return TOP + ((HEIGHT - TOP - BOTTOM) * (this.high - loss)) / (this.high - this.low);
  }

  private curve(): SVGElement {
    let d = "";
    let pen = false;
    this.losses.forEach((loss, at) => {
      if (!Number.isFinite(loss)) {
        pen = false;
        return;
      }
      d += `${pen ? "L" : "M"}${this.x(at).toFixed(1)} ${this.y(loss).toFixed(1)}`;
      pen = true;
    });
    const few = this.losses.length <= 40;
    const dots = this.losses.flatMap((loss, at) =>
      few && Number.isFinite(loss) ? [s("circle.point", { cx: this.x(at), cy: this.y(loss), r: 2.4 })] : [],
    );
    const broken = this.losses.filter((loss) => !Number.isFinite(loss)).length;
    const first = this.losses.find(Number.isFinite);
    const last = this.losses.findLast(Number.isFinite);
    const text =
      `Loss over ${plural(this.losses.length, "iteration")}: from ${format(first ?? null)} to ` +
      `${format(last ?? null)}${broken ? `; ${plural(broken, "loss", "losses")} not finite` : ""}.`;
    return s(
      "svg.curve",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": text },
      s("line.ground", { x1: LEFT, x2: WIDTH - LEFT, y1: HEIGHT - BOTTOM + 6, y2: HEIGHT - BOTTOM + 6 }),
      this.rule,
      s("path.line", { d }),
      dots,
      this.dot,
    );
  }

  private table(): HTMLElement {
    const body = h("tbody");
    const details = h(
      "details.as-table",
      {
        ontoggle: () => {
          if (body.childElementCount) return;
          this.iterations.forEach((one) =>
            body.append(h("tr", {}, h("th", { scope: "row" }, one.index + 1), h("td.num", {}, format(one.loss, 6)))),
          );
        },
      },
      h("summary", {}, "Losses as a table"),
      h(
        "div.scroll.tall",
        { role: "group", tabindex: "0", "aria-label": "Losses as a table" },
        h(
          "table.plain",
          {},
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "iteration"), h("th", { scope: "col" }, "loss"))),
          body,
        ),
      ),
    );
    return details;
  }

  show(at: number): void {
    const iteration = this.iterations[at];
    if (!iteration) return;
    this.slider.value = String(at);
    const text = `iteration ${iteration.index + 1}, loss ${format(iteration.loss)}`;
    this.slider.setAttribute("aria-valuetext", text);
    this.reading.replaceChildren(
      h("span.label", {}, `Iteration ${iteration.index + 1}`),
      h("span.number", {}, iteration.loss === null ? "no loss" : format(iteration.loss)),
    );
    const loss = this.losses[at] ?? NaN;
    this.dot.setAttribute("visibility", Number.isFinite(loss) ? "visible" : "hidden");
    if (Number.isFinite(loss)) {
      this.dot.setAttribute("cx", this.x(at).toFixed(1));
      this.dot.setAttribute("cy", this.y(loss).toFixed(1));
    }
    this.rule.setAttribute("x1", this.x(at).toFixed(1));
    this.rule.setAttribute("x2", this.x(at).toFixed(1));
  }
}
