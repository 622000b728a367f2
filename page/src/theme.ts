// Light and dark: the system's choice, or the reader's.

import { h } from "./dom";

type Theme = "auto" | "light" | "dark";
const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const NAMES: Record<Theme, string> = { auto: "Auto", light: "Light", dark: "Dark" };
const KEY = "tensorflowlite-story-theme";

// Pages opened from disk may have no storage; the choice then lasts as long as the page.
function stored(): Theme {
  try {
    const found = localStorage.getItem(KEY);
    return found === "light" || found === "dark" ? found : "auto";
  } catch {
    return "auto";
  }
}

function store(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    return;
  }
}

export function themeButton(): HTMLElement {
  let theme = stored();
  const name = h("span");
  const button = h(
    "button.theme",
    {
      type: "button",
      onclick: () => {
        theme = NEXT[theme];
        store(theme);
        show();
      },
    },
    h("span", {}, "Theme: "),
    name,
  );
  const show = (): void => {
    document.documentElement.dataset["theme"] = theme;
    name.textContent = NAMES[theme];
  };
  show();
  return button;
}
