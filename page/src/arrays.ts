// An array as a picture: all its numbers where they are few, else statistics and coarse pictures.

import { freshId, h, s } from "./dom";
import { exact, format, percent, plural, shapeText, sizeOf, toNumber } from "./numbers";
import type { Arr, Heat, Histogram, Num } from "./types";

/** Numbers beside each other where an array is one row. */
const WRAP = 8;
/** Significant digits in tables; a tooltip has them all. */
const DIGITS = 3;

function cell(value: Num, largest: number, digits: number, tag = "td"): HTMLElement {
  const x = toNumber(value);
  const text = format(value, digits);
  if (!Number.isFinite(x)) return h(`${tag}.num.broken`, {}, text);
  if (x === 0) return h(`${tag}.num.nought`, {}, text);
  const weight = largest > 0 ? Math.min(Math.abs(x) / largest, 1) : 0;
  return h(
    `${tag}.num.${x > 0 ? "positive" : "negative"}`,
    { vars: { "--weight": weight.toFixed(3) }, title: exact(value) },
    text,
  );
}

function indexText(shape: number[], row: number): string {
  // The leading axes of a row, "1, 2" of shape (2, 3, 4).
  const axes = shape.slice(0, -1);
  const found: number[] = [];
  for (let axis = axes.length - 1; axis >= 0; axis -= 1) {
    const size = axes[axis]!;
    found.unshift(row % size);
    row = Math.floor(row / size);
  }
  return found.join(", ");
}

function table(array: Arr, values: Num[], name: string): HTMLElement {
  const finite = values.map((v) => Math.abs(toNumber(v))).filter(Number.isFinite);
  const largest = finite.length ? Math.max(...finite) : 0;
  const shape = array.shape;
  if (values.length === 1) {
    return h("p.scalar", {}, cell(values[0]!, largest, 5, "span"));
  }
  const columns = shape.at(-1) ?? 1;
  const vector = columns === values.length;
  const width = vector ? Math.min(columns, WRAP) : columns;
  const rows: HTMLElement[] = [];
  for (let start = 0; start < values.length; start += width) {
    const some = values.slice(start, start + width);
    const head = vector ? `${start}` : indexText(shape, Math.floor(start / columns));
    rows.push(
      h(
        "tr",
        {},
        rows.length || values.length > width || !vector
          ? h("th.axis", { scope: "row" }, `[${head}]`)
          : null,
        some.map((value) => cell(value, largest, DIGITS)),
      ),
    );
  }
  const label = freshId("caption");
  return h(
    "div.scroll",
    { role: "group", tabindex: "0", "aria-labelledby": label },
    h(
      "table.matrix",
      {},
      h("caption.hidden", { id: label }, `${name}, shape ${shapeText(array)}`),
      h("tbody", {}, rows),
    ),
  );
}

function histogram(found: Histogram, name: string): SVGElement {
  const most = Math.max(...found.counts, 1);
  const width = 100 / found.counts.length;
  const total = found.counts.reduce((sum, n) => sum + n, 0);
  const peak = found.counts.indexOf(Math.max(...found.counts));
  const low = toNumber(found.low);
  const high = toNumber(found.high);
  const bin = (high - low) / found.counts.length;
  const text =
    `Histogram of ${name}: ${plural(total, "element")} from ${format(found.low)} to ` +
    `${format(found.high)}; most, ${percent(total ? most / total : 0)}, lie between ` +
    `${format(low + bin * peak)} and ${format(low + bin * (peak + 1))}.`;
  const zero = low < 0 && high > 0 ? (100 * -low) / (high - low) : null;
  return s(
    "svg.histogram",
    { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": text },
    found.counts.map((n, i) => {
      const tall = n === 0 ? 0 : Math.max((38 * n) / most, 0.8);
      return s("rect", {
        x: (i * width + 0.4).toFixed(2),
        y: (40 - tall).toFixed(2),
        width: (width - 0.8).toFixed(2),
        height: tall.toFixed(2),
      });
    }),
    zero === null ? null : s("line.zero", { x1: zero, x2: zero, y1: 0, y2: 40 }),
  );
}

function heat(found: Heat, name: string): SVGElement | null {
  let bytes: string;
  try {
    bytes = atob(found.cells);
  } catch {
    return null;
  }
  if (!found.rows || !found.columns || bytes.length < found.rows * found.columns) return null;
  const low = toNumber(found.low);
  const high = toNumber(found.high);
  const largest = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const cells: SVGElement[] = [];
  for (let i = 0; i < found.rows * found.columns; i += 1) {
    const byte = bytes.charCodeAt(i);
    const x = i % found.columns;
    const y = Math.floor(i / found.columns);
    const place = { x, y, width: 1, height: 1 };
    if (byte === 255) {
      cells.push(s("rect.broken", place));
      continue;
    }
    const value = low + ((high - low) * byte) / 254;
    const weight = Math.abs(value) / largest;
    if (!(weight > 0.004)) continue;
    cells.push(
      s(value > 0 ? "rect.positive" : "rect.negative", {
        ...place,
        "fill-opacity": Math.min(weight, 1).toFixed(2),
      }),
    );
  }
  const text =
    `Picture of ${name} in ${found.rows} by ${found.columns} cells, each a mean; ` +
    `the cells go from ${format(found.low)} to ${format(found.high)}.`;
  return s(
    "svg.heat",
    {
      viewBox: `0 0 ${found.columns} ${found.rows}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": text,
    },
    cells,
  );
}

/** What is worth saying beside all the numbers, and what stands for them. */
function facts(array: Arr, short = false): HTMLElement {
  const rows: [string, string, boolean?][] = [];
  const has = (x: Num | null | undefined): x is Num => x !== null && x !== undefined;
  if (!short && has(array.min) && has(array.max)) {
    rows.push(["range", `${format(array.min)} … ${format(array.max)}`]);
  }
  if (!short && has(array.mean)) rows.push(["mean", format(array.mean)]);
  if (!short && has(array.std)) rows.push(["spread", format(array.std)]);
  if (has(array.norm)) rows.push(["norm", format(array.norm)]);
  if (array.zeros !== undefined && (!short || array.zeros > 0)) {
    rows.push(["zeros", percent(array.zeros)]);
  }
  if (array.nan) rows.push(["NaN", plural(array.nan, "element"), true]);
  if (array.inf) rows.push(["infinite", plural(array.inf, "element"), true]);
  return h(
    "dl.facts",
    {},
    rows.map(([term, text, alarm]) =>
      h(alarm ? "div.alarm" : "div", {}, h("dt", {}, term), h("dd", {}, text)),
    ),
  );
}

/** The small line under an array's name: its shape and type. */
export function shapeLine(array: Arr): string {
  return `${shapeText(array)} · ${array.dtype}`;
}

/** An array's contents, without its name. */
export function contents(array: Arr, name: string): HTMLElement {
  const size = sizeOf(array);
  if (size === 0) return h("p.quiet", {}, "No elements: nothing is computed here.");
  if (array.values && array.values.length === size) {
    const view = h("div.array", {}, table(array, array.values, name));
    if (size > 1) view.append(facts(array, true));
    return view;
  }
  const pictures: (Element | null)[] = [];
  if (array.heat) pictures.push(heat(array.heat, name));
  if (array.histogram) {
    const { low, high } = array.histogram;
    pictures.push(
      h(
        "div.bars",
        {},
        histogram(array.histogram, name),
        h("p.ends", { "aria-hidden": "true" }, h("span", {}, format(low, 3)), h("span", {}, format(high, 3))),
      ),
    );
  }
  return h(
    "div.array.large",
    {},
    pictures.length ? h("div.pictures", {}, pictures) : null,
    facts(array),
    pictures.length ? null : h("p.quiet", {}, "Its picture is left out to keep the page small."),
  );
}

/** A named array as a card. */
export function card(
  name: string | HTMLElement,
  array: Arr,
  more: { label?: string; tone?: string; note?: string | HTMLElement | null } = {},
): HTMLElement {
  const text = more.label ?? (typeof name === "string" ? name : (name.textContent ?? ""));
  return h(
    `div.value${more.tone ? `.${more.tone}` : ""}`,
    {},
    h("div.value-head", {}, h("span.value-name", {}, name), h("span.shape", {}, shapeLine(array))),
    more.note ? h("p.value-note", {}, more.note) : null,
    contents(array, text),
  );
}
