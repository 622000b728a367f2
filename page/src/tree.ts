// The tree of modules: the same folding as the graph's, as a list.

import { h, hidden } from "./dom";
import type { Group, Groups } from "./groups";
import { compact, plural } from "./numbers";
import type { Story } from "./types";

export interface TreeActions {
  toggle: (group: string) => void;
  link: (call: number) => string;
}

export function tree(
  story: Story,
  groups: Groups,
  unfolded: Set<string>,
  here: Set<string>,
  actions: TreeActions,
): HTMLElement {
  const item = (group: Group): HTMLElement => {
    const open = unfolded.has(group.id);
    const inner = group.children.filter((child): child is Group => typeof child !== "number");
    const module = group.module === null ? null : story.modules[group.module];
    const parameters = group.id.startsWith("module-") && module?.parameters ? module.parameters : 0;
    // Of a nested module the last part of its path says enough.
    const parent = group.parent && group.parent.module !== null ? group.parent.label : "";
    const short = group.label.startsWith(`${parent}.`) ? group.label.slice(parent.length + 1) : group.label;
    return h(
      here.has(group.id) ? "li.here" : "li",
      {},
      h(
        "div.row",
        {},
        h(
          "button.fold",
          {
            type: "button",
            "aria-expanded": String(open),
            "aria-label": `${open ? "Fold" : "Unfold"} ${group.label}`,
            "data-group": group.id,
            onclick: () => actions.toggle(group.id),
          },
          h("span", { "aria-hidden": "true" }, open ? "−" : "+"),
        ),
        h(
          "a.name",
          { href: actions.link(group.first), title: group.label },
          short,
          here.has(group.id) ? hidden(", the step is in here") : null,
        ),
        group.type && group.type !== group.label ? h("span.type", {}, group.type) : null,
        h(
          "span.count",
          {
            title: `${plural(group.calls, "operation")}, ${plural(parameters, "number")} to learn`,
          },
          parameters ? compact(parameters) : "",
        ),
      ),
      open && inner.length ? h("ul", {}, inner.map(item)) : null,
    );
  };
  const tops = groups.root.children.filter((child): child is Group => typeof child !== "number");
  if (!tops.length) return h("p.quiet", {}, "No modules took part: the operations stand by themselves.");
  return h("ul.tree", {}, tops.map(item));
}
