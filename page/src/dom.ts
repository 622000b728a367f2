// Elements without a framework.

type Child = Node | string | number | null | undefined | false | Child[];
type Props = Record<string, unknown>;

const SVG = "http://www.w3.org/2000/svg";

function fill(element: Element, props: Props, children: Child[]): void {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value as EventListener);
    } else if (name === "vars") {
      // The policy of the page forbids style attributes; properties may be set.
      for (const [key, one] of Object.entries(value as Record<string, string>)) {
        (element as HTMLElement).style.setProperty(key, one);
      }
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  append(element, children);
}

function append(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : String(child));
  }
}

/** An HTML element; `tag` may carry classes: "div.card.wide". */
export function h<E extends HTMLElement = HTMLElement>(
  tag: string,
  props: Props = {},
  ...children: Child[]
): E {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name ?? "div");
  if (classes.length) element.className = classes.join(" ");
  fill(element, props, children);
  return element as E;
}

/** An SVG element. */
export function s<E extends SVGElement = SVGElement>(
  tag: string,
  props: Props = {},
  ...children: Child[]
): E {
  const [name, ...classes] = tag.split(".");
  const element = document.createElementNS(SVG, name ?? "g");
  if (classes.length) element.setAttribute("class", classes.join(" "));
  fill(element, props, children);
  return element as unknown as E;
}

/** Text for screen readers alone. */
export function hidden(text: string): HTMLElement {
  return h("span.hidden", {}, text);
}

let count = 0;

export function freshId(stem: string): string {
  count += 1;
  return `${stem}-${count}`;
}
