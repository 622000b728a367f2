// The format of a story, version 1, as `story.to_json()` writes it.

/** A number, or one that JSON has no literal for. */
export type Num = number | "nan" | "inf" | "-inf";

export interface Histogram {
  low: Num;
  high: Num;
  counts: number[];
}

export interface Heat {
  rows: number;
  columns: number;
  low: Num;
  high: Num;
  /** base64, a byte for each cell: 0 = low … 254 = high, 255 = NaN */
  cells: string;
}

export interface Arr {
  shape: number[];
  dtype: string;
  min?: Num | null;
  max?: Num | null;
  mean?: Num | null;
  std?: Num | null;
  norm?: Num | null;
  /** The fraction of elements that are zero. */
  zeros?: number;
  nan?: number;
  inf?: number;
  values?: Num[];
  histogram?: Histogram | null;
  heat?: Heat | null;
}

export interface Module {
  path: string;
  type: string;
  parent: number | null;
  parameters?: number;
}

export interface Source {
  file: string;
  line: number;
  function?: string;
  text?: string;
}

export interface Operation {
  summary?: string;
  formulas?: { input: string; text: string }[];
  stands_for?: string | null;
}

export interface Value {
  kind: "parameter" | "input" | "result" | "constant";
  name: string;
  made_by: number | null;
  array: Arr;
}

export interface Call {
  operation: string;
  module: number | null;
  source: number | null;
  inputs: { name: string; value: number }[];
  outputs: number[];
  attributes?: Record<string, string>;
  recorded: boolean;
  /** update: what clips gradients, or is a step by hand; `Iteration.updates` tells what came of it. */
  phase: "forward" | "backward" | "update";
  pass: number | null;
}

export interface Pass {
  root: number | null;
  create_graph: boolean;
}

export interface Part {
  input: number;
  value: number | null;
  local: { kind: "elementwise" | "jacobian"; array: Arr } | null;
  product: Arr;
}

export interface Flow {
  pass: number;
  call: number | null;
  operation: string;
  upstream: Arr | (Arr | null)[];
  parts: Part[];
}

export interface Update {
  parameter: string;
  value: number | null;
  optimizer: string;
  settings: Record<string, unknown>;
  before: Arr;
  gradient: Arr | null;
  slots: { name: string; before: Arr | null; after: Arr }[];
  step: Arr;
  after: Arr;
}

export interface Iteration {
  index: number;
  loss: Num | null;
  values: Value[];
  calls: Call[];
  passes: Pass[];
  flows: Flow[];
  updates: Update[];
}

export interface Reason {
  parameter: string;
  state: string;
  sentence: string;
  iteration: number;
  call: number | null;
  source: number | null;
  path?: number[];
}

export interface Story {
  format: string;
  version: number;
  library: string;
  title: string;
  notes: string[];
  modules: Module[];
  sources: Source[];
  operations: Record<string, Operation>;
  parameters: string[];
  iterations: Iteration[];
  reasons: Reason[];
}
