// Numbers as texts.

import type { Arr, Num } from "./types";

const SUPER: Record<string, string> = {
  "-": "⁻", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴",
  "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹",
}; // prettier-ignore

export function toNumber(value: Num | null | undefined): number {
  if (value === null || value === undefined || value === "nan") return NaN;
  if (value === "inf") return Infinity;
  if (value === "-inf") return -Infinity;
  return value;
}

/** A number with up to `digits` significant digits and a true minus sign. */
export function format(value: Num | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return "none";
  const x = toNumber(value);
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e-3 && size < 1e6) {
    const rounded = Number(x.toPrecision(digits));
    const text = Number.isInteger(x) ? x : rounded;
    return String(text).replace("-", "−");
  }
  const [mantissa = "", exponent = ""] = x.toExponential(Math.max(digits - 2, 1)).split("e");
  const power = [...String(Number(exponent))].map((c) => SUPER[c] ?? c).join("");
  const short = String(Number(mantissa)).replace("-", "−");
  return `${short}×10${power}`;
}

/** The number with all its digits, for a tooltip. */
export function exact(value: Num): string {
  return typeof value === "number" ? String(value).replace("-", "−") : format(value);
}

export function percent(fraction: number): string {
  if (fraction === 0 || fraction === 1) return `${fraction * 100} %`;
  const value = fraction * 100;
  if (value < 0.1) return "< 0.1 %";
  if (value > 99.9) return "> 99.9 %";
  return `${Number(value.toPrecision(3))} %`;
}

export function grouped(count: number): string {
  return count.toLocaleString("en").replaceAll(",", " ");
}

/** A count in few letters: "445 k". */
export function compact(count: number): string {
  if (count < 1e4) return grouped(count);
  const [size, unit] = count < 1e6 ? [1e3, "k"] : count < 1e9 ? [1e6, "M"] : [1e9, "G"];
  return `${Number((count / size).toPrecision(3))} ${unit}`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${grouped(count)} ${count === 1 ? one : many}`;
}

export function sizeOf(array: Arr): number {
  return array.shape.reduce((product, n) => product * n, 1);
}

export function shapeText(array: Arr): string {
  return array.shape.length === 0 ? "scalar" : array.shape.join(" × ");
}

/** An array in a few words: the number itself, or its shape and size. */
export function brief(array: Arr): string {
  if (sizeOf(array) === 0) return `empty, ${shapeText(array)}`;
  const only = array.values?.length === 1 ? array.values[0] : undefined;
  if (only !== undefined) return format(only);
  if (array.norm === undefined || array.norm === null) return shapeText(array);
  return `${shapeText(array)}, norm ${format(array.norm)}`;
}

/** How much gradient an array carries. */
export type Strength =
  | { kind: "some"; norm: number }
  | { kind: "zero" }
  | { kind: "broken" } // NaN or infinite
  | { kind: "empty" };

export function strengthOf(array: Arr): Strength {
  if (sizeOf(array) === 0) return { kind: "empty" };
  if ((array.nan ?? 0) > 0 || (array.inf ?? 0) > 0) return { kind: "broken" };
  const norm = toNumber(array.norm);
  if (Number.isNaN(norm)) return { kind: "empty" };
  return norm === 0 ? { kind: "zero" } : { kind: "some", norm };
}
