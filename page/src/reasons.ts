// Why each parameter's gradient is as it is.

import { h } from "./dom";
import { plural } from "./numbers";
import type { Reason, Story } from "./types";

export interface ReasonActions {
  /** The address of the step that shows a reason, where there is one. */
  link: (reason: Reason) => string | null;
  linkOfCall: (reason: Reason, call: number) => { href: string; text: string } | null;
  source: (reason: Reason) => string;
  mark: (reason: Reason) => void;
}

const FINE = new Set(["healthy"]);
const CALM = new Set(["healthy", "frozen", "unused"]);
const AT_FIRST = 24;
const ON_PATH = 40;

function item(reason: Reason, actions: ReasonActions): HTMLElement {
  const link = actions.link(reason);
  const path = (reason.path ?? []).slice(0, ON_PATH).flatMap((call) => {
    const found = actions.linkOfCall(reason, call);
    return found ? [h("li", {}, h("a.step-link", { href: found.href }, found.text))] : [];
  });
  const more = (reason.path?.length ?? 0) - ON_PATH;
  const source = actions.source(reason);
  return h(
    "li.reason",
    { "data-tone": FINE.has(reason.state) ? "fine" : CALM.has(reason.state) ? "calm" : "alarm" },
    h(
      "p.reason-head",
      {},
      link
        ? h("a.parameter", { href: link, onclick: () => actions.mark(reason) }, reason.parameter)
        : h("span.parameter", {}, reason.parameter),
      h("span.state", {}, reason.state),
    ),
    h("p.why", {}, reason.sentence.charAt(0).toUpperCase() + reason.sentence.slice(1)),
    source ? h("p.where", {}, source) : null,
    path.length
      ? h(
          "details",
          {},
          h("summary", {}, "Path from the loss"),
          h("ol.links", {}, path, more > 0 ? h("li", {}, `and ${more} more`) : null),
        )
      : null,
  );
}

export function reasonsList(story: Story, actions: ReasonActions): HTMLElement {
  const worst = [...story.reasons].sort(
    (a, b) => Number(CALM.has(a.state)) - Number(CALM.has(b.state)) || Number(FINE.has(a.state)) - Number(FINE.has(b.state)),
  );
  if (!worst.length) {
    return h(
      "p.quiet",
      {},
      story.parameters.length
        ? "There is no backward pass to judge the parameters' gradients by."
        : "The story has no parameters.",
    );
  }
  const bad = worst.filter((one) => !CALM.has(one.state)).length;
  const summary = bad
    ? `${bad} of ${plural(worst.length, "parameter")} ${bad === 1 ? "needs" : "need"} a look.`
    : worst.length === 1
      ? "The one parameter has nothing to worry about."
      : `Nothing to worry about in ${plural(worst.length, "parameter")}.`;
  const list = h("ul.reasons", {}, worst.slice(0, AT_FIRST).map((one) => item(one, actions)));
  const view = h("div", {}, h("p.prose", {}, summary), list);
  if (worst.length > AT_FIRST) {
    const rest = h(
      "button.small",
      {
        type: "button",
        onclick: () => {
          const added = worst.slice(AT_FIRST).map((one) => item(one, actions));
          list.append(...added);
          rest.remove();
          added[0]?.querySelector<HTMLElement>("a, summary")?.focus();
        },
      },
      `Show the other ${worst.length - AT_FIRST}`,
    );
    view.append(rest);
  }
  return view;
}
