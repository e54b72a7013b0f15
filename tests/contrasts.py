"""How clearly each text of a page stands out from what is behind it."""

from __future__ import annotations

from playwright.sync_api import Page as Tab

# of each text against the nearest painted background, by the formula of WCAG 2; of what is disabled none is asked
_CONTRASTS = """() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = node => { for (; node; node = node.parentElement) {
    const c = parts(getComputedStyle(node).backgroundColor); if (c.length < 4 || c[3] > 0) return c; }
    return parts(getComputedStyle(document.documentElement).backgroundColor); };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
    if (!own || node.closest("script, style, noscript") || node.disabled) continue;
    const style = getComputedStyle(node), svg = node.namespaceURI.endsWith("svg");
    const a = light(parts(svg ? style.fill : style.color)), b = light(behind(node));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio, node.tagName + ": " + node.textContent.slice(0, 40)]);
  }
  return found;
}"""


def contrasts(tab: Tab) -> list[tuple[float, str]]:
    """Of each text, its contrast (1 to 21) and how it begins."""
    return [(ratio, text) for ratio, text in tab.evaluate(_CONTRASTS)]
