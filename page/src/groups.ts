// The calls of an iteration as a tree: modules, and runs of calls where there are too many.

import type { Iteration, Story } from "./types";

export interface Group {
  id: string;
  label: string;
  type: string;
  module: number | null;
  parent: Group | null;
  children: (Group | number)[];
  calls: number;
  first: number; // its first call
  last: number;
}

/** More calls than this are shown folded. */
export const FOLD_ABOVE = 60;
/** So many nodes are shown unfolded without being asked to. */
const AT_FIRST = 36;
/** A group with more children has them bundled. */
const MOST_CHILDREN = 60;
const BUNDLE = 40;

export class Groups {
  readonly root: Group;
  readonly all = new Map<string, Group>();
  private readonly home: Group[] = [];

  constructor(story: Story, iteration: Iteration) {
    this.root = this.make("root", "", "", null, null);
    const ofModule = (index: number): Group => {
      const id = `module-${index}`;
      const found = this.all.get(id);
      if (found) return found;
      const module = story.modules[index]!;
      const parent = module.parent === null ? this.root : ofModule(module.parent);
      const label = module.path === "" ? module.type : module.path;
      return this.make(id, label, module.type, index, parent);
    };
    iteration.calls.forEach((call, index) => {
      if (call.phase === "update") return;
      let group = this.root;
      if (call.phase === "backward") {
        const id = `pass-${call.pass ?? 0}`;
        group =
          this.all.get(id) ??
          this.make(id, `recorded by pass ${(call.pass ?? 0) + 1}`, "backward", null, this.root);
      } else if (call.module !== null && story.modules[call.module]) {
        group = ofModule(call.module);
      }
      group.children.push(index);
      this.home[index] = group;
      for (let one: Group | null = group; one; one = one.parent) {
        if (one.calls === 0) one.first = index;
        one.calls += 1;
        one.last = index;
      }
    });
    for (const group of [...this.all.values()]) this.bundle(group);
  }

  private make(
    id: string,
    label: string,
    type: string,
    module: number | null,
    parent: Group | null,
  ): Group {
    const group: Group = {
      id, label, type, module, parent, children: [], calls: 0, first: 0, last: 0,
    }; // prettier-ignore
    this.all.set(id, group);
    parent?.children.push(group);
    return group;
  }

  private bundle(group: Group): void {
    if (group.children.length <= MOST_CHILDREN) return;
    const children = group.children;
    const size = Math.max(BUNDLE, Math.ceil(children.length / BUNDLE));
    group.children = [];
    for (let start = 0; start < children.length; start += size) {
      const some = children.slice(start, start + size);
      const made = this.make(`${group.id}-${start}`, "", "", group.module, group);
      made.children = some;
      made.calls = 0;
      made.first = Infinity;
      for (const child of some) {
        if (typeof child === "number") this.home[child] = made;
        else child.parent = made;
        const [first, last, calls] =
          typeof child === "number" ? [child, child, 1] : [child.first, child.last, child.calls];
        made.first = Math.min(made.first, first);
        made.last = Math.max(made.last, last);
        made.calls += calls;
      }
      made.label = nameOf(some, made);
      this.bundle(made);
    }
  }

  /** The groups a call is in, from the outermost to the innermost, without the root. */
  ancestors(call: number): Group[] {
    const found: Group[] = [];
    for (let one = this.home[call] ?? null; one && one !== this.root; one = one.parent) {
      found.unshift(one);
    }
    return found;
  }

  /** What is unfolded at first: level by level, as long as it stays a picture. */
  unfoldedAtFirst(): Set<string> {
    const groups = (list: (Group | number)[]): Group[] =>
      list.filter((one): one is Group => typeof one !== "number");
    if (this.root.calls <= FOLD_ABOVE) return new Set(this.all.keys());
    const unfolded = new Set([this.root.id]);
    let level = groups(this.root.children);
    let shown = this.root.children.length;
    while (level.length) {
      const more = level.reduce((sum, group) => sum + group.children.length - 1, 0);
      if (shown + more > AT_FIRST) break;
      for (const group of level) unfolded.add(group.id);
      shown += more;
      level = level.flatMap((group) => groups(group.children));
    }
    return unfolded;
  }
}

/** What a bundle is called: its first and last module, or the numbers of its operations. */
function nameOf(some: (Group | number)[], bundle: Group): string {
  const first = some[0];
  const last = some.at(-1);
  if (typeof first === "object" && typeof last === "object" && first.module !== null && last.module !== null) {
    return `${first.label} … ${last.label}`;
  }
  return `operations ${bundle.first + 1}–${bundle.last + 1}`;
}
